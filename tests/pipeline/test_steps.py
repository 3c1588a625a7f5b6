"""Work in steps: where it is cut changes nothing of what comes out."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.steps
from pipeline.classes import scan
from pipeline.graph import session as graph_session
from pipeline.output import scan_record
from pipeline.output import write as writer
from pipeline.output.records import BaselineSection, GoneFinding, ScanRecord
from pipeline.output.write import write, write_steps
from pipeline.rules import baseline, correlate
from pipeline.steps import PIECE, Steps, finish, pieces, release, sort_in_steps
from tests.depth import examples
from tests.pipeline.output.any_record import full
from tests.pipeline.sessions import Baseline, context_of, lines_of, report, resources

T = TypeVar("T")
CUT: list[ModuleType] = [scan, graph_session, scan_record, writer, baseline, correlate]


def counted(steps: Steps[T]) -> tuple[int, T]:
    """Take all steps, and say how many there were."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return count, end.value
        count += 1


@given(st.lists(st.integers()), st.integers(1, 50))
def test_pieces_are_the_whole_in_order(items: list[int], size: int) -> None:
    cut = list(pieces(items, size))
    assert [item for piece in cut for item in piece] == items
    assert all(0 < len(piece) <= size for piece in cut)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.text(max_size=3))), st.integers(1, 9))
@settings(max_examples=examples(50))
def test_sorting_in_steps_sorts(items: list[tuple[bool, int, str]], at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.steps, "_SORTED_AT_ONCE", at_once)
        count, ordered = counted(sort_in_steps(items))
    assert ordered == sorted(items)
    assert count >= len(items) // at_once


def test_what_is_let_go_of_is_empty() -> None:
    held: list[int] = list(range(10 * PIECE))
    table = dict.fromkeys(held)
    count, _ = counted(release(held, table))
    assert (held, table) == ([], {})
    assert count >= 4


def test_a_long_record_is_written_in_steps_to_the_same_bytes() -> None:
    gone = tuple(GoneFinding(f"{n:032}", "c", "title", f"label {n}", "2026", "gone") for n in range(5 * PIECE))
    record = full(ScanRecord)
    assert isinstance(record, ScanRecord)
    section = BaselineSection(True, {"new": 1}, gone, (), 0)
    for one in (record, section, replace(record, baseline=section)):
        count, line = counted(write_steps(one))
        assert line == write(one)
        assert count >= 5 or one is record


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_where_a_scan_is_cut_changes_neither_lines_nor_record(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def analysed() -> list[tuple[Any, ...]]:
        memory, found = Baseline(), []
        for number, name in enumerate(("db02-drift-1.json", "db02-drift-2.json", "web01-ioc.json"), 1):
            session = memory.session(report(name), resources(), number)
            found.append((lines_of(session), write(session.record()), session.comparison, session.groups))
        return found

    expected = analysed()

    def cut(items: Sequence[T], _: int = 0) -> Iterator[Sequence[T]]:
        return pieces(items, size)

    for module in CUT:
        monkeypatch.setattr(module, "pieces", cut)
    assert analysed() == expected


def test_two_scans_can_be_opened_in_turns() -> None:
    on = resources()
    names = ("web01-ioc.json", "db02-drift-1.json")
    opened: dict[str, Any] = {}
    waiting = {
        name: graph_session.ScanSession.steps(context_of(report(name)), report(name).findings, on, {}) for name in names
    }
    while waiting:
        for name in list(waiting):
            try:
                next(waiting[name])
            except StopIteration as end:
                opened[name] = end.value
                del waiting[name]
    for name in names:
        alone = finish(graph_session.ScanSession.steps(context_of(report(name)), report(name).findings, on, {}))
        assert lines_of(opened[name]) == lines_of(alone)
