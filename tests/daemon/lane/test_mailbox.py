"""The queue between the thread that fetches and the one that takes in."""

from daemon.lane import mailbox as boxes
from daemon.lane.mailbox import Mailbox, digest_of
from daemon.sources.kafka.messages import Message


def message(offset: int, value: bytes = b"v") -> Message:
    return Message("in", 0, offset, b"k", value)


def test_it_gives_what_came_in_order_and_once() -> None:
    box, woken = Mailbox(), []
    box.wake = lambda: woken.append(True)
    box.put([message(3)], 4, 9)
    assert box.take(9, 99) == []  # nothing is wanted yet
    box.open(3)
    box.put([message(2), message(3), message(4)], 5, 9)
    box.put([message(4), message(5)], 6, 9)  # fetched again
    assert [one.offset for one in box.take(2, 99)] == [3, 4]
    assert (box.fetched, box.end, box.position) == (-1, 9, 6)
    assert [one.offset for one in box.take(9, 99)] == [5]
    assert box.fetched == 6
    assert woken


def test_what_could_not_be_taken_in_comes_first_again() -> None:
    box = Mailbox()
    box.open(0)
    box.put([message(0), message(1), message(2)], 3, 3)
    taken = box.take(2, 99)
    box.put_back(taken)
    assert [one.offset for one in box.take(9, 99)] == [0, 1, 2]


def test_a_gap_is_told_between_what_came_before_and_after_it() -> None:
    box = Mailbox()
    box.open(0)
    box.put([message(0)], 1, 1)
    box.put_gap(7)
    box.put([message(7)], 8, 8)
    assert box.take_gap() is None
    assert [one.offset for one in box.take(9, 99)] == [0]
    assert box.take(9, 99) == []
    assert box.take_gap() == 7
    assert box.take_gap() is None
    assert [one.offset for one in box.take(9, 99)] == [7]


def test_it_wants_no_more_than_it_has_room_for() -> None:
    box = Mailbox()
    assert not box.wanting
    box.open(0)
    assert box.wanting
    box.put([message(0, b"x" * boxes.MAX_BYTES)], 1, 1)
    assert not box.wanting
    box.take(1, 1)
    assert box.wanting
    box.close()
    assert not box.wanting


def test_records_are_known_by_all_that_they_hold() -> None:
    first = Message("in", 0, 1, b"k", b"v", (), 5)
    same = Message("in", 0, 2, b"k", b"v", (("h", b""),), 5)
    assert digest_of(first) == digest_of(same)
    others = [
        Message("in", 0, 1, None, b"v", (), 5), Message("in", 0, 1, b"k", None, (), 5),
        Message("in", 0, 1, b"kv", b"", (), 5), Message("in", 0, 1, b"k", b"v", (), 6),
    ]  # fmt: skip
    assert len({digest_of(one) for one in (first, *others)}) == 5
