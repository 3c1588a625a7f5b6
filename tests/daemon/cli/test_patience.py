"""Waiting at the start."""

import pytest

from daemon.cli.patience import Patience
from daemon.notify import Notifier
from pipeline.errors import LedgerError


def attempts(faults: list[LedgerError]) -> int:
    if faults:
        raise faults.pop(0)
    return 7


def test_what_may_pass_is_waited_for_with_growing_delays() -> None:
    slept: list[float] = []
    patience = Patience(Notifier({}), forever=True, sleep=slept.append)
    faults = [LedgerError("full", transient=True) for _ in range(7)]
    assert patience.until_possible(lambda: attempts(faults)) == 7
    assert slept == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]


def test_damage_is_not_waited_for() -> None:
    faults = [LedgerError("full", transient=True), LedgerError("damaged")]
    slept: list[float] = []
    with pytest.raises(LedgerError, match="damaged"):
        Patience(Notifier({}), forever=True, sleep=slept.append).until_possible(lambda: attempts(faults))
    assert slept == [1.0]


def test_a_run_that_is_to_end_does_not_wait() -> None:
    with pytest.raises(LedgerError, match="full"):
        Patience(Notifier({}), forever=False).until_possible(lambda: attempts([LedgerError("full", transient=True)]))
