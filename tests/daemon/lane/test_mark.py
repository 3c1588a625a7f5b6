"""Marks: written and read, and what they make of a ledger."""

import json
from dataclasses import replace

import pytest

from daemon.lane.mark import (
    MAX_BYTES,
    MAX_CUT,
    VERSION,
    Cut,
    Held,
    Kind,
    Mark,
    NewerMark,
    decide,
    read_mark,
    read_whole,
)
from daemon.lane.transaction import carried
from pipeline.review.chain import Head

MARK = Mark(7, "me", 40, "key40", 6, (9, "0" * 32), 12, {"scan": Cut(3, 5)})


def test_what_is_written_is_read() -> None:
    assert read_mark(MARK.offset, MARK.metadata()) == MARK
    assert read_whole(MARK.whole()) == MARK


def test_the_longest_mark_fits_into_what_brokers_keep() -> None:
    cut = {"f" * 32: Cut(10**9, 10**9)} | {f"{number:032x}": Cut(10**9, 10**9) for number in range(MAX_CUT - 1)}
    mark = Mark(1 << 62, "f" * 16, 1 << 62, "f" * 32, 1 << 62, (1 << 62, "f" * 32), 99_999, cut)
    assert len(mark.metadata()) <= MAX_BYTES


def test_an_older_mark_is_read_and_a_newer_one_is_named() -> None:
    assert read_mark(MARK.offset, MARK.metadata().replace(f'"v":{VERSION}', '"v":1')) == MARK
    newer = replace(MARK, told=Head(1, "ab")).metadata().replace(f'"v":{VERSION}', f'"v":{VERSION + 1}')
    with pytest.raises(NewerMark, match="upgrade this one"):
        read_mark(MARK.offset, newer)
    with pytest.raises(NewerMark, match="upgrade this one"):
        read_whole(json.dumps({"offset": 1, "mark": newer}))


@pytest.mark.parametrize(
    "text", ["", "{}", "null", "[]", '{"v": 3}', '{"v": 0, "ledger": "a"}', '{"v": 1, "ledger": "a"}', "1"]
)
def test_what_others_have_committed_is_no_mark(text: str) -> None:
    with pytest.raises(ValueError, match="no mark of ours"):
        read_mark(1, text)
    with pytest.raises(ValueError, match="no mark of ours"):
        read_whole(text)


@pytest.mark.parametrize(
    ("mark", "held", "kind"),
    [
        (None, None, "new"),
        (None, Held("me", 0, 9), "new"),  # killed before anything was committed
        (None, Held("me", 1, 9), "lost"),
        (MARK, None, "rebuilt"),
        (MARK, Held("other", 40, 40, "key40"), "stale"),
        (MARK, Held("me", 40, 90), "own"),
        (MARK, Held("me", 30, 90, "key40"), "adopted"),
        (MARK, Held("me", 30, 40, "key40"), "adopted"),
        (MARK, Held("me", 30, 39), "restored"),  # it never got there
        (MARK, Held("me", 30, 90, "another"), "restored"),  # it went another way
        (MARK, Held("me", 41, 90, "key40"), "lost"),
    ],
)
def test_a_mark_and_a_ledger_decide(mark: Mark | None, held: Held | None, kind: Kind) -> None:
    assert decide(mark, held) == kind


def test_a_ledger_made_of_states_begins_with_no_rows_and_knows_what_is_out() -> None:
    begun = carried(MARK, "new")
    assert (begun.ledger, begun.through, begun.offset, begun.letters, begun.seen) == ("new", 0, 7, 6, (9, "0" * 32))
    assert begun.cut == {"scan": Cut(0, 5)}
