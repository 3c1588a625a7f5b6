"""Waiting at the start."""

import errno

import pytest

from daemon.cli.patience import Patience
from daemon.notify import Notifier
from pipeline.errors import AgentError, ConfigError, LedgerError


def attempts(faults: list[AgentError | OSError]) -> int:
    if faults:
        raise faults.pop(0)
    return 7


def test_what_may_pass_is_waited_for_with_growing_delays() -> None:
    slept: list[float] = []
    patience = Patience(Notifier({}), forever=True, sleep=slept.append)
    faults: list[AgentError | OSError] = [LedgerError("full", transient=True) for _ in range(7)]
    assert patience.until_possible(lambda: attempts(faults)) == 7
    assert slept == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]


def test_damage_is_not_waited_for() -> None:
    faults: list[AgentError | OSError] = [LedgerError("full", transient=True), LedgerError("damaged")]
    slept: list[float] = []
    with pytest.raises(LedgerError, match="damaged"):
        Patience(Notifier({}), forever=True, sleep=slept.append).until_possible(lambda: attempts(faults))
    assert slept == [1.0]


def test_a_run_that_is_to_end_does_not_wait() -> None:
    with pytest.raises(LedgerError, match="full"):
        Patience(Notifier({}), forever=False).until_possible(lambda: attempts([LedgerError("full", transient=True)]))


def test_a_shortage_is_waited_for_whatever_was_made_of_it_and_a_mistake_is_not() -> None:
    none_left = OSError(errno.EMFILE, "Too many open files")
    refused, damaged = ConfigError("knowledge.d: cannot be read"), LedgerError("cannot be locked")
    refused.__cause__ = damaged.__cause__ = none_left
    faults: list[AgentError | OSError] = [refused, none_left, damaged, ConfigError("policy.yaml:1: not YAML")]
    slept: list[float] = []
    with pytest.raises(ConfigError, match="not YAML"):
        patience = Patience(Notifier({}), forever=True, sleep=slept.append)
        patience.until_possible(lambda: attempts(faults))
    assert len(slept) == 3
