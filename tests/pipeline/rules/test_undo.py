"""Notes of what was there: one for each action and target, and no way back without one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Remediation
from pipeline.rules.undo import note_name
from tests.pipeline.remedies.scenarios import SAVES

VALUES = st.lists(
    st.one_of(st.binary(max_size=30), st.sampled_from([b"/tmp", b"a", b"a-b", b"a,b", b"", b"-", b"."])), max_size=3
)


def named(values: list[bytes]) -> dict[str, bytes]:
    return {f"p{number}": value for number, value in enumerate(values)}


@given(one=VALUES, other=VALUES)
def test_two_targets_never_share_a_note(one: list[bytes], other: list[bytes]) -> None:
    if len(one) == len(other) and one != other:
        assert note_name("some.action", named(one)) != note_name("some.action", named(other))


@given(values=VALUES)
def test_the_name_of_a_note_is_one_plain_word_of_bounded_length(values: list[bytes]) -> None:
    name = note_name("some.action", named(values))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@=,-]{0,160}", name)


def test_another_value_for_the_same_setting_has_the_same_note() -> None:
    first = note_name("sysctl.set", {"key": b"kernel.sysrq", "value": b"0"})
    assert first == note_name("sysctl.set", {"key": b"kernel.sysrq", "value": b"1"}) == "sysctl.set-kernel.sysrq"
    assert first != note_name("sysctl.other", {"key": b"kernel.sysrq", "value": b"0"})


def test_every_shipped_command_that_changes_something_notes_what_was_there() -> None:
    for name, action in load_knowledge(load_features).remediations.items():
        if action.command is not None and name not in ("process.restart_upgraded", *SAVES):  # which list or copy
            assert action.note, name
        if action.command is None:
            assert action.rollback == ": nothing to undo", name


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "x", "needs": "y"}, {"command": "x", "let": "y=1"}, {"note": "x"},
    ],
)  # fmt: skip
def test_parts_of_a_note_without_the_rest_are_an_error(entry: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="with a"):
        Remediation.model_validate({"kind": "manual", "summary": "s", "check": "c", "rollback": "r", **entry})
