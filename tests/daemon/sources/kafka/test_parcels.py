"""What is made of a file arrives as the file: each scan whole, under its host, in messages that brokers take."""

import gzip
import io
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.sources.kafka.messages import Lines, Message, Part, Read, Refused, Reports, joined, read_message
from daemon.sources.kafka.parcels import Packer, Parcel
from pipeline.finding import RawFinding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.report.records import FindingLine, MetaLine
from tests.daemon.ledger.reports import scan
from tests.depth import examples

SCANS = Path(__file__).parents[3] / "data" / "scans"
LIMITS = Limits()
FULL = gzip.decompress((SCANS / "web01-base-full.json.gz").read_bytes())


def pack(
    content: bytes, host: str | None = None, limits: Limits = LIMITS, most: int = 900_000
) -> list[Parcel | Refused]:
    return list(Packer(limits, host, most).pack(io.BytesIO(content)))


def arrive(parcel: Parcel, limits: Limits = LIMITS) -> Iterator[Read]:
    """Read the messages as a reader does, joining parts as the ledger does."""
    pieces: dict[int, bytes] = {}
    for offset, (value, headers) in enumerate(parcel.messages):
        one = Message("t", 0, offset, parcel.host.encode(), value, headers)
        found = read_message(one, limits, require_key=True)
        if isinstance(found, Part):
            pieces[found.number] = found.data
            if len(pieces) < found.count:
                continue
            found = read_message(joined(one, b"".join(pieces[at] for at in sorted(pieces))), limits, require_key=True)
        yield found


def findings_of(found: list[Read]) -> list[RawFinding]:
    got: list[RawFinding] = []
    for one in found:
        if isinstance(one, Reports):
            got += [finding for report in one.reports for finding in report.findings]
        elif isinstance(one, Lines):
            got += [record.finding for _, record in one.records() if isinstance(record, FindingLine)]
        else:
            raise AssertionError(one)
    return got


@pytest.mark.parametrize("most", [900_000, 20_000])
@pytest.mark.parametrize(
    "name", sorted(path.name for path in SCANS.iterdir() if path.is_file() and path.name != "index.json")
)
def test_every_real_report_arrives_as_it_is(name: str, most: int) -> None:
    raw = (SCANS / name).read_bytes()
    parcels = pack(raw, "spare", most=most)
    arrived = [one for parcel in parcels if isinstance(parcel, Parcel) for one in arrive(parcel)]
    document = read_document(raw, LIMITS)
    assert findings_of(arrived) == [finding for report in document.reports for finding in report.findings]
    expected = {report.header.host or "spare" for report in document.reports}
    assert {parcel.host for parcel in parcels if isinstance(parcel, Parcel)} == expected
    for parcel in parcels:
        assert isinstance(parcel, Parcel)
        assert all(len(value) <= most for value, _ in parcel.messages)


def test_what_is_large_goes_in_parts_and_what_is_small_whole() -> None:
    (whole,) = pack(FULL)
    (cut,) = pack(FULL, most=10_000)
    assert isinstance(whole, Parcel) and isinstance(cut, Parcel)
    assert len(whole.messages) == 1 and len(cut.messages) > 3
    assert b"".join(value for value, _ in cut.messages) == whole.messages[0][0]
    assert cut.report == whole.report


def test_the_same_report_gives_the_same_bytes() -> None:
    assert pack(FULL) == pack(gzip.compress(FULL, 9))


def test_each_scan_of_a_stream_is_a_parcel_under_its_own_host() -> None:
    scans = [scan("a", "b", host="h1"), scan("c", host="h2"), scan(host="h1"), scan("d", host="h1")]
    content = b"".join(line + b"\n" for lines in scans for line in lines)
    parcels = pack(content)
    assert [parcel.host for parcel in parcels if isinstance(parcel, Parcel)] == ["h1", "h2", "h1", "h1"]
    texts = [gzip.decompress(parcel.messages[0][0]) for parcel in parcels if isinstance(parcel, Parcel)]
    assert texts == [b"".join(line + b"\n" for line in lines) for lines in scans]
    assert pack(gzip.compress(content)) == parcels


def test_header_and_log_lines_in_front_of_a_meta_line_go_with_it() -> None:
    meta, summary, extension, finding = scan("a", host="h1")
    lines = [b"[INFO ] begins", summary, meta, extension, finding]
    content = b"".join(line + b"\r\n" for line in lines)
    (parcel,) = pack(content)
    assert isinstance(parcel, Parcel) and parcel.host == "h1"
    assert gzip.decompress(parcel.messages[0][0]) == content


@pytest.mark.parametrize(
    ("content", "host", "reason"),
    [
        (b"", None, "empty"),
        (b"\n\n", None, "empty"),
        (b"nonsense", None, "not_a_report"),
        (b'{"results":[', None, "truncated"),
        ((SCANS / "web01-base-default.sarif").read_bytes(), None, "no_key"),
        (b"".join(line + b"\n" for line in scan("a", host=None)), None, "no_key"),
        (b"".join(line + b"\n" for line in scan("a", host="localhost")), None, "no_key"),
        (gzip.compress(FULL)[:1000], None, "truncated_gzip"),
    ],
)
def test_what_cannot_be_published_says_why(content: bytes, host: str | None, reason: str) -> None:
    (refused,) = pack(content, host)
    assert isinstance(refused, Refused) and refused.reason == reason


def test_a_host_that_is_given_is_for_reports_that_name_none() -> None:
    for content in (
        (SCANS / "web01-base-default.sarif").read_bytes(),
        b"".join(line + b"\n" for line in scan("a", host=None)),
    ):
        (parcel,) = pack(content, "mine")
        assert isinstance(parcel, Parcel) and parcel.host == "mine"
    (parcel,) = pack(FULL, "mine")
    assert isinstance(parcel, Parcel) and parcel.host == "web01"


def test_reports_of_several_hosts_in_one_document_are_refused() -> None:
    other = json.loads(FULL)
    other["meta"]["hostname"] = "db02"
    (refused,) = pack(FULL + json.dumps(other).encode())
    assert isinstance(refused, Refused) and refused.reason == "foreign_host" and "db02, web01" in refused.detail


def noise(count: int, host: str = "h1") -> bytes:
    """A scan whose findings hardly pack."""
    rng = random.Random(5)
    lines = scan(*(rng.randbytes(300).hex() for _ in range(count)), host=host)
    return b"".join(line + b"\n" for line in lines)


def test_a_scan_that_is_too_large_to_be_joined_is_cut_between_lines() -> None:
    limits = Limits(max_bytes=100_000)
    content = noise(800) + b"".join(line + b"\n" for line in scan("last", host="h2"))
    parcels = pack(content, limits=limits, most=30_000)
    assert len(content) > 4 * limits.max_bytes and len(parcels) > 4
    arrived = []
    for parcel in parcels:
        assert isinstance(parcel, Parcel) and all(len(value) <= 30_000 for value, _ in parcel.messages)
        arrived += list(arrive(parcel, limits))
    assert all(isinstance(one, Lines) for one in arrived)
    assert findings_of(arrived) == [
        finding for report in read_document(content, LIMITS).reports for finding in report.findings
    ]
    metas = [
        record
        for one in arrived
        if isinstance(one, Lines)
        for _, record in one.records()
        if isinstance(record, MetaLine)
    ]
    assert len(metas) == 2
    assert [parcel.host for parcel in parcels if isinstance(parcel, Parcel)][-2:] == ["h1", "h2"]


def test_a_stream_of_any_length_takes_the_memory_of_a_scan() -> None:
    class Endless(io.RawIOBase):
        """A file that makes its content as it is read."""

        def __init__(self) -> None:
            self.left = 400
            self.piece = noise(100)

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return self.piece if self.left >= 0 else b""

    tracemalloc.start()
    try:
        count = size = 0
        for parcel in Packer(LIMITS, None).pack(Endless()):  # type: ignore[arg-type]
            assert isinstance(parcel, Parcel)
            count += 1
            size += parcel.size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 400 and size > 20 << 20 and peak < 4 << 20


def test_an_endless_line_takes_little_memory_and_is_left_out_alone() -> None:
    limits = Limits(max_line_bytes=4096)
    first, *rest = scan("a", "b", host="h1")
    content = b"".join(line + b"\n" for line in [first, rest[0], rest[1], b"x" * 5_000_000, *rest[2:]])
    (parcel,) = pack(content, limits=limits)
    assert isinstance(parcel, Parcel) and parcel.size < 2 << 20
    (arrived,) = arrive(parcel, limits)
    assert [finding.id for finding in findings_of([arrived])] == ["a", "b"]


MAKERS: list[Callable[[str], bytes]] = [
    lambda host: b"".join(line + b"\n" for line in scan("a", "b", host=host)),
    lambda host: b"".join(line + b"\n" for line in scan(host=host)),
    lambda host: b"[WARN ] hm\n",
    lambda host: b"\n",
    lambda host: b'{"type":"finding","scanner":"x","id":"late","severity":"low"}\n',
]


@settings(max_examples=examples(150), deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(range(len(MAKERS))), st.sampled_from(["h1", "h2"])), min_size=1, max_size=8
    ),
    most=st.integers(60, 400),
    cut=st.booleans(),
)
def test_no_finding_of_a_stream_is_lost_or_doubled(parts: list[tuple[int, str]], most: int, cut: bool) -> None:
    content = MAKERS[0]("h1") + b"".join(MAKERS[kind](host) for kind, host in parts)
    parcels = pack(content, "spare", Limits(max_bytes=1 << 16) if cut else LIMITS, most)
    arrived = []
    for parcel in parcels:
        assert isinstance(parcel, Parcel), parcel
        arrived += list(arrive(parcel))
    assert findings_of(arrived) == [f for report in read_document(content, LIMITS).reports for f in report.findings]
