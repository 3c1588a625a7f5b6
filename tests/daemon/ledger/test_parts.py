"""A report that comes in parts is that report or nothing, in whatever order, however often, and whoever else writes."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.ledger import Ledger
from daemon.ledger import parts as module
from daemon.ports.inputs import Input
from daemon.ports.parts import PartTaken, ReportPart
from pipeline.errors import LedgerError
from pipeline.finding import Reject
from tests.daemon.ledger.reports import START, open_ledger, report
from tests.depth import examples

KIND = "topic"


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Topic:
    """Hands over parts as a source does: each with the position behind it, and the whole when it is there."""

    ledger: Ledger
    source: Input
    whole: list[bytes] = field(default_factory=list)
    at: int = 0

    def take(self, part: ReportPart) -> PartTaken:
        self.at += 1
        source = replace(self.source, position=str(self.at))
        taken = self.ledger.parts.admit_part(source, replace(part, at=self.at))
        if taken.whole is not None:
            self.whole.append(taken.whole)
            assert self.position() != str(self.at)  # not before what it holds is there
            self.ledger.inputs.admit_document(
                replace(source, part_set=taken.part_set), part.report, [report("a", digest=part.report)], []
            )
        assert self.position() == str(self.at)
        assert self.ledger.fsck() == []
        return taken

    def position(self) -> str:
        return next(one.position for one in self.ledger.inputs.known(KIND) if one.input_id == self.source.input_id)

    def rows(self, table: str) -> int:
        (count,) = self.ledger.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)

    def reasons(self) -> list[str]:
        return [row.reason for row in reversed(self.ledger.quarantine.rows())]


def cut(content: bytes, count: int, host: str | None = "web01") -> list[ReportPart]:
    name = hashlib.sha256(content).hexdigest()
    size = -(-len(content) // count)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    assert len(pieces) == count
    return [ReportPart(host, name, number, count, data, 0) for number, data in enumerate(pieces, 1)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def topic(tmp_path: Path, clock: Clock) -> Iterator[Topic]:
    with Ledger.open(tmp_path / "state", clock=clock, max_part_bytes=1000) as ledger:
        yield Topic(ledger, ledger.inputs.add(KIND, "t/0"))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_does_not_matter(topic: Topic, order: tuple[int, ...]) -> None:
    parts = cut(b"abcdefghi", 3)
    missing = [topic.take(parts[at]).missing for at in order]
    assert (missing, topic.whole) == ([2, 1, 0], [b"abcdefghi"])
    assert topic.rows("parts") == 0 and topic.ledger.parts.parts_from(KIND) is None
    assert topic.reasons() == []


def test_one_part_is_a_report_too(topic: Topic) -> None:
    topic.take(cut(b"abc", 1)[0])
    assert topic.whole == [b"abc"]


def test_a_part_that_comes_twice_changes_nothing(topic: Topic) -> None:
    first, second = cut(b"abcdef", 2)
    assert [topic.take(first).missing for _ in range(3)] == [1, 1, 1]
    topic.take(second)
    assert topic.whole == [b"abcdef"] and topic.reasons() == []


def test_a_part_that_comes_again_after_the_whole_is_forgotten_without_a_word(topic: Topic, clock: Clock) -> None:
    parts = cut(b"abcdef", 2)
    for part in (*parts, parts[1]):
        topic.take(part)
    clock.now += 100
    assert topic.ledger.parts.expire_parts(KIND, 60) == []
    assert topic.rows("part_sets") == 0 and topic.reasons() == []


def test_a_report_that_is_sent_again_is_handed_over_again(topic: Topic) -> None:
    parts = cut(b"abcdef", 2)
    for part in (*parts, *reversed(parts)):
        topic.take(part)
    assert topic.whole == [b"abcdef"] * 2


def test_parts_of_other_reports_hosts_and_cuts_do_not_mix(topic: Topic) -> None:
    ones, others = cut(b"abcdef", 2), cut(b"ABCDEF", 2)
    elsewhere = cut(b"abcdef", 2, "db02")
    finer = cut(b"abcdef", 3)
    for part in (ones[0], elsewhere[1], others[1], finer[1]):
        assert topic.take(part).whole is None
    assert topic.rows("part_sets") == 4
    topic.take(ones[1])
    assert topic.whole == [b"abcdef"]
    assert topic.ledger.parts.parts_from(KIND) == 2  # db02's; that of the other cut went with the whole
    topic.take(others[0])
    topic.take(elsewhere[0])
    assert topic.whole == [b"abcdef", b"ABCDEF", b"abcdef"] and topic.rows("parts") == 0


def test_of_two_that_contradict_each_other_the_first_stays(topic: Topic) -> None:
    first, second = cut(b"abcdef", 2)
    topic.take(first)
    taken = topic.take(replace(first, data=b"xyz"))
    assert isinstance(taken.reject, Reject) and taken.reject.reason == "bad_part"
    topic.take(second)
    assert topic.whole == [b"abcdef"] and topic.reasons() == ["bad_part"]


def test_what_is_not_what_it_says_is_refused_and_may_be_sent_again(topic: Topic) -> None:
    first, second = cut(b"abcdef", 2)
    topic.take(replace(first, data=b"xyz"))  # the liar was there first
    taken = topic.take(second)
    assert taken.reject is not None and "publish it again" in taken.reject.detail
    assert topic.whole == [] and topic.rows("part_sets") == 0 and topic.reasons() == ["bad_part"]
    topic.take(first)
    topic.take(second)
    assert topic.whole == [b"abcdef"]


def test_a_set_that_is_too_large_is_refused_once(topic: Topic) -> None:
    parts = cut(bytes(range(250)) * 8, 10)
    rejects = [topic.take(part).reject for part in parts]
    assert [reject.reason for reject in rejects if reject] == ["too_large"]
    assert topic.reasons() == ["too_large"] and topic.rows("parts") == 0 and topic.whole == []


def test_the_largest_that_is_allowed_is_taken(topic: Topic) -> None:
    for part in cut(b"x" * 1000, 10):
        topic.take(part)
    assert topic.whole == [b"x" * 1000]


def test_parts_that_never_come_are_named_in_the_quarantine(topic: Topic, clock: Clock) -> None:
    parts = cut(b"abcdefghijklmno", 5)
    for at in (0, 1, 3):
        topic.take(parts[at])
        clock.now += 50
    assert topic.ledger.parts.expire_parts(KIND, 60) == []  # one came 50 s ago
    assert topic.ledger.parts.expire_parts("other", 0) == []
    clock.now += 50
    (expired,) = topic.ledger.parts.expire_parts(KIND, 60)
    assert (expired.host, expired.report, expired.source.name) == ("web01", parts[0].report, "t/0")
    assert "of 5 parts only 1-2, 4 came in time" in expired.reject.detail
    assert expired.reject.offset == 1 and expired.reject.excerpt == b"abc"
    (row,) = topic.ledger.quarantine.rows()
    assert (row.reason, row.source, row.excerpt) == ("parts_missing", "t/0", b"abc")
    assert topic.rows("part_sets") == topic.rows("parts") == 0
    assert topic.ledger.parts.expire_parts(KIND, 60) == []


def test_an_input_that_is_dropped_leaves_its_parts_in_the_quarantine(topic: Topic) -> None:
    topic.take(cut(b"abcdef", 2)[0])
    topic.ledger.inputs.drop(topic.source.input_id)
    assert topic.reasons() == ["parts_missing"] and topic.rows("part_sets") == topic.rows("parts") == 0
    assert topic.ledger.fsck() == []


def test_where_all_take_too_much_the_greediest_gives_up_its_oldest(topic: Topic, clock: Clock) -> None:
    topic.take(cut(b"m" * 1000, 2, "modest")[0])
    for number in range(20):
        clock.now += 1
        topic.take(cut(bytes([number]) * 1000, 2, "greedy")[0])
        (size,) = topic.ledger.database.connection.execute("SELECT sum(bytes) FROM part_sets").fetchone()
        assert size <= 4 * 1000
    assert topic.reasons() == ["parts_missing"] * 13
    assert all("greedy" in row.detail for row in topic.ledger.quarantine.rows())
    topic.take(cut(b"m" * 1000, 2, "modest")[1])
    assert topic.whole == [b"m" * 1000]


def test_the_number_of_sets_is_bounded(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SETS", 5)
    for number in range(12):
        topic.take(cut(b"%02d" % number, 2)[0])
        assert topic.rows("part_sets") <= 5
    assert len(topic.reasons()) == 7


def test_an_input_that_is_not_there_is_an_error(topic: Topic) -> None:
    with pytest.raises(LedgerError):
        topic.ledger.parts.admit_part(Input(99, KIND, "nowhere"), cut(b"ab", 2)[0])


def test_where_the_oldest_part_came_from_is_known_until_it_is_done(topic: Topic) -> None:
    first, second = cut(b"abcdef", 2)
    other = cut(b"ABCDEF", 2)[0]
    topic.take(first)
    topic.take(other)
    assert topic.ledger.parts.parts_from(KIND) == 1
    assert topic.ledger.parts.parts_from("other") is None
    topic.take(second)
    assert topic.ledger.parts.parts_from(KIND) == 2


def test_parts_outlive_the_process(tmp_path: Path) -> None:
    first, second = cut(b"abcdef", 2)
    with open_ledger(tmp_path) as ledger:
        topic = Topic(ledger, ledger.inputs.add(KIND, "t/0"))
        topic.take(first)
    with open_ledger(tmp_path) as ledger:
        # The last one, and the process ends before what it holds is admitted: the position says so, so it comes again.
        assert ledger.parts.admit_part(replace(topic.source, position="2"), second).whole == b"abcdef"
    with open_ledger(tmp_path) as ledger:
        (source,) = ledger.inputs.known(KIND)
        assert source.position == "1"
        taken = ledger.parts.admit_part(replace(source, position="2"), second)
        assert taken.whole == b"abcdef"
        ledger.inputs.admit_records(replace(source, position="2", part_set=taken.part_set), [])
        assert ledger.fsck() == [] and ledger.inputs.known(KIND)[0].position == "2"
        assert ledger.database.connection.execute("SELECT count(*) FROM parts").fetchone() == (0,)


CONTENTS = (b"abcdef", b"ABCDEF", b"012345678")
SENT = st.lists(
    st.tuples(
        st.sampled_from(CONTENTS), st.integers(1, 3), st.integers(0, 2), st.sampled_from(["h", "i"]), st.booleans()
    ),
    max_size=25,
)


@settings(max_examples=examples(150), deadline=None)
@given(sent=SENT)
def test_as_a_plain_model_says(sent: list[tuple[bytes, int, int, str, bool]]) -> None:
    """The model: a dict of dicts, without bounds."""
    with TemporaryDirectory() as directory, open_ledger(Path(directory)) as ledger:
        topic = Topic(ledger, ledger.inputs.add(KIND, "t/0"))
        model: dict[tuple[str, bytes], dict[int, dict[int, bytes]]] = {}
        expected: list[bytes] = []
        refused = 0
        for content, count, at, host, honest in sent:
            part = cut(content, count, host)[at % count]
            data = part.data if honest else b"?" + part.data
            cuts = model.setdefault((host, content), {})
            pieces = cuts.setdefault(count, {})
            if pieces.get(part.number, data) != data:
                refused += 1
            else:
                pieces[part.number] = data
            if len(pieces) == count:
                whole = b"".join(pieces[number] for number in sorted(pieces))
                if whole == content:
                    expected.append(content)
                    cuts.clear()
                else:
                    refused += 1
                    del cuts[count]
            taken = topic.take(replace(part, data=data))
            assert (taken.reject is not None) == (refused > 0)
            refused = 0
        assert topic.whole == expected
        waiting = sum(len(pieces) for cuts in model.values() for pieces in cuts.values())
        assert topic.rows("parts") == waiting
