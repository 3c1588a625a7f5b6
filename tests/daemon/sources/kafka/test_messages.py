"""What a message holds is told by its bytes, and nothing that cannot be used is taken or raises."""

import bz2
import gzip
import hashlib
import itertools
import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.sources.kafka.messages import (
    MAX_PARTS,
    PART_HEADER,
    REPORT_HEADER,
    Document,
    Lines,
    Message,
    Part,
    Read,
    Refused,
    Reports,
    joined,
    read_message,
    sort_message,
)
from pipeline.errors import ReportError
from pipeline.finding import ParsedReport, RawFinding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.report.records import BadLine, FindingLine, MetaLine
from tests.depth import examples

SCANS = Path(__file__).parents[3] / "data" / "scans"
MALFORMED = SCANS / "malformed"
REPORT = (SCANS / "web01-base-default.json").read_bytes()
STREAM = (SCANS / "web01-base-default.ndjson").read_bytes()
SARIF = (SCANS / "web01-base-default.sarif").read_bytes()
LIMITS = Limits()
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def message(value: bytes | None, key: bytes | None = b"web01", headers: tuple[tuple[str, bytes], ...] = ()) -> Message:
    return Message("sysscan.reports", 3, 17, key, value, headers, 1_700_000_000_000)


def read(value: bytes | None, key: bytes | None = b"web01", *, require_key: bool = True) -> Read:
    return read_message(message(value, key), LIMITS, require_key=require_key)


def findings_of(found: Read) -> list[RawFinding]:
    if isinstance(found, Reports):
        return [finding for report in found.reports for finding in report.findings]
    if isinstance(found, Lines):
        return [record.finding for _, record in found.records() if isinstance(record, FindingLine)]
    return []


def host_in(report: bytes) -> bytes:
    return str(json.loads(report)["meta"]["hostname"]).encode()


@pytest.mark.parametrize("packer", PACKERS)
def test_a_whole_report_is_read_however_it_is_compressed(packer: str) -> None:
    value = PACKERS[packer](REPORT)
    found = read(value, host_in(REPORT))
    assert isinstance(found, Reports)
    assert found.host == host_in(REPORT).decode() and found.digest == hashlib.sha256(value).hexdigest()
    assert found.reports == read_document(REPORT, LIMITS).reports


def test_sarif_is_a_whole_report() -> None:
    found = read(SARIF, b"anyone")  # SARIF names no host
    assert isinstance(found, Reports) and found.reports == read_document(SARIF, LIMITS).reports


@pytest.mark.parametrize("packer", PACKERS)
def test_a_small_ndjson_file_is_lines(packer: str) -> None:
    found = read(PACKERS[packer](STREAM))
    assert isinstance(found, Lines)
    records = list(found.records())
    assert len(records) == len(STREAM.splitlines())
    assert [STREAM[start:].startswith(b'{"type"') for start, _ in records] == [True] * len(records)


@settings(max_examples=examples(60), deadline=None)
@given(cuts=st.lists(st.integers(0, STREAM.count(b"\n")), max_size=8), end=st.booleans())
def test_where_a_stream_is_cut_into_messages_does_not_matter(cuts: list[int], end: bool) -> None:
    lines = STREAM.splitlines(keepends=True)
    edges = sorted({0, len(lines), *cuts})
    got = []
    for first, last in itertools.pairwise(edges):
        value = b"".join(lines[first:last])
        found = read(value if end else value.removesuffix(b"\n"))
        assert isinstance(found, Lines)
        got += [record for _, record in found.records()]
    whole = read(STREAM)
    assert isinstance(whole, Lines)
    assert got == [record for _, record in whole.records()]


@settings(max_examples=examples(60), deadline=None)
@given(cuts=st.lists(st.integers(0, len(REPORT)), max_size=6), packer=st.sampled_from(sorted(PACKERS)))
def test_parts_that_are_joined_are_the_report_that_was_cut(cuts: list[int], packer: str) -> None:
    value = PACKERS[packer](REPORT)
    edges = sorted({0, len(value), *(cut % len(value) for cut in cuts)})
    pieces = [value[first:last] for first, last in itertools.pairwise(edges)]
    name = hashlib.sha256(value).hexdigest().encode()
    parts = []
    for number, piece in enumerate(pieces, 1):
        headers = ((REPORT_HEADER, name), (PART_HEADER, b"%d/%d" % (number, len(pieces))), ("other", b"x"))
        one = message(piece, host_in(REPORT), headers)
        part = read_message(one, LIMITS, require_key=True)
        assert isinstance(part, Part)
        assert (part.report, part.number, part.count) == (name.decode(), number, len(pieces))
        parts.append((one, part))
    whole = joined(parts[-1][0], b"".join(part.data for _, part in parts))
    assert whole.headers == (("other", b"x"),) and whole.offset == 17
    found = read_message(whole, LIMITS, require_key=True)
    assert isinstance(found, Reports) and found.reports == read_document(REPORT, LIMITS).reports


@pytest.mark.parametrize(
    "headers",
    [
        ((REPORT_HEADER, b"a" * 64),),
        ((PART_HEADER, b"1/2"),),
        ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"0/2")),
        ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"3/2")),
        ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"1/%d" % (MAX_PARTS + 1))),
        ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"01/2")),
        ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"1/2\n")),
        ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"1/2"), (PART_HEADER, b"2/2")),
        ((REPORT_HEADER, b"A" * 64), (PART_HEADER, b"1/2")),
        ((REPORT_HEADER, b"a" * 63), (PART_HEADER, b"1/2")),
        ((REPORT_HEADER, b""), (PART_HEADER, b"")),
    ],
)
def test_headers_that_are_no_part_are_refused(headers: tuple[tuple[str, bytes], ...]) -> None:
    found = read_message(message(b"piece", headers=headers), LIMITS, require_key=True)
    assert isinstance(found, Refused) and found.reason == "bad_part" and found.excerpt == b"piece"


def test_a_part_without_bytes_is_refused() -> None:
    headers = ((REPORT_HEADER, b"a" * 64), (PART_HEADER, b"1/2"))
    found = read_message(message(b"", headers=headers), LIMITS, require_key=True)
    assert isinstance(found, Refused) and found.reason == "bad_part"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b" \r\n\t\0\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"hello", "not_a_report"),
        (b"[1, 2]", "not_a_report"),
        (b"null", "not_a_report"),
        (b'"type"', "not_a_report"),
        (bytes(range(256)), "not_a_report"),
        (b"PK\x03\x04rest", "not_a_report"),
        (b"\x1f", "truncated_gzip"),
        (gzip.compress(REPORT, mtime=0)[:200], "truncated_gzip"),
        (gzip.compress(REPORT, mtime=0)[:-9] + b"?" * 9, "corrupt_gzip"),
        (gzip.compress(gzip.compress(REPORT, mtime=0), mtime=0), "not_a_report"),
        (gzip.compress(b"\n" * 100, mtime=0), "empty"),
        (b'{"type":"gossip"}', "not_a_report"),
        (b'{"results":', "truncated"),
    ],
)
def test_what_cannot_be_used_says_why(value: bytes | None, reason: str) -> None:
    found = read(value)
    assert isinstance(found, Refused), found
    assert found.reason == reason and found.detail and "\n" not in found.detail
    assert len(found.excerpt) <= 512
    assert found.reject().reason == reason


@pytest.mark.parametrize(
    "key", [None, b"", b"  ", b"\xff\xfe", b"a\nb", b"a\x1b[31m", "a\u202eb".encode(), b"x" * 1025]
)
def test_a_key_that_is_no_name_of_a_host_is_refused(key: bytes | None) -> None:
    found = read(REPORT, key)
    assert isinstance(found, Refused) and found.reason == "no_key"
    assert found.excerpt == REPORT[:512] and found.detail.isprintable()


def test_without_a_key_it_is_whose_it_says_where_that_is_allowed() -> None:
    found = read(REPORT, None, require_key=False)
    assert isinstance(found, Reports) and found.host is None
    assert isinstance(read(REPORT, b"\xff", require_key=False), Refused)  # a key that is there must name a host


@pytest.mark.parametrize("value", [REPORT, gzip.compress(REPORT, mtime=0), STREAM, STREAM.splitlines()[0]])
def test_a_report_of_another_host_than_the_key_names_is_refused(value: bytes) -> None:
    found = read(value, b"db02")
    assert isinstance(found, Refused) and found.reason == "foreign_host"
    assert "web01" in found.detail and "db02" in found.detail


def test_one_foreign_report_among_several_refuses_all() -> None:
    both = json.loads(REPORT)
    both["meta"]["hostname"] = "db02"
    found = read(REPORT + b"\n" + json.dumps(both).encode(), b"web01")
    assert isinstance(found, Refused) and found.reason == "foreign_host"


@pytest.mark.parametrize("claimed", ["WEB01", "web01.", "localhost", "(none)", ""])
def test_another_spelling_or_no_name_is_not_foreign(claimed: str) -> None:
    report = json.loads(REPORT)
    report["meta"]["hostname"] = claimed
    assert isinstance(read(json.dumps(report).encode()), Reports)


def test_a_foreign_meta_line_anywhere_in_the_text_is_found() -> None:
    lines = STREAM.splitlines(keepends=True)
    meta = json.loads(lines[0])
    meta["hostname"] = "db02"
    found = read(STREAM + json.dumps(meta, indent=None).encode())
    assert isinstance(found, Refused) and found.reason == "foreign_host" and found.offset == len(STREAM)


def test_bad_lines_and_log_lines_are_lines() -> None:
    for value, reason in ((b"[INFO ] begins", "log_line"), (b'{"type":"finding","id":', "truncated")):
        found = read(value)
        assert isinstance(found, Lines)
        (record,) = [record for _, record in found.records()]
        assert isinstance(record, BadLine) and record.reject.reason == reason


@pytest.mark.parametrize("name", sorted(path.name for path in MALFORMED.iterdir()))
def test_a_malformed_file_as_a_message_gives_what_the_file_gives(name: str) -> None:
    raw = (MALFORMED / name).read_bytes()
    found = read(raw, None, require_key=False)
    reports: tuple[ParsedReport, ...] = ()
    reason = None
    try:
        reports = read_document(raw, LIMITS, final=True).reports
    except ReportError as error:
        reason = error.reason
    assert findings_of(found) == [finding for report in reports for finding in report.findings]
    if reason is not None:
        assert isinstance(found, Refused) and found.reason == reason
    elif isinstance(found, Lines):
        bad = [record.reject.reason for _, record in found.records() if isinstance(record, BadLine)]
        assert bad == [reject.reason for report in reports for reject in report.rejects]
        metas = sum(isinstance(record, MetaLine) for _, record in found.records())
        assert metas == len([report for report in reports if report.header.host])


@pytest.mark.parametrize(
    "name", sorted(path.name for path in SCANS.iterdir() if path.is_file() and path.name != "index.json")
)
def test_a_real_report_as_a_message_gives_what_the_file_gives(name: str) -> None:
    raw = (SCANS / name).read_bytes()
    expected = [finding for report in read_document(raw, LIMITS).reports for finding in report.findings]
    assert findings_of(read(raw, None, require_key=False)) == expected


def test_a_value_past_the_limit_is_refused_before_it_is_looked_into() -> None:
    limits = Limits(max_bytes=1 << 16, ratio_floor_bytes=0)
    for value in (b"x" * ((1 << 16) + 1), gzip.compress(b" " * (1 << 17)), gzip.compress(b"{" * (1 << 20))):
        found = read_message(message(value), limits, require_key=True)
        assert isinstance(found, Refused) and found.reason == "too_large"


def test_a_bomb_and_a_stream_take_little_memory() -> None:
    bomb = gzip.compress(b" " * (96 << 20))
    lines = STREAM * (3_500_000 // len(STREAM))
    tracemalloc.start()
    try:
        assert isinstance(read(bomb), Refused)
        bomb_peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        found = read(lines)
        assert isinstance(found, Lines)
        assert sum(1 for _ in found.records()) == lines.count(b"\n")
        stream_peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        kept = list(found.records())  # the control: what all records at once would take
        all_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kept and bomb_peak < 2 * LIMITS.max_bytes
    assert stream_peak < 3 << 20 < len(lines) < all_peak  # beside the text, which was there before


KEYS = st.one_of(st.none(), st.binary(max_size=40), st.just(b"web01"))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([REPORT_HEADER, PART_HEADER, "ce_id"]), st.one_of(st.binary(max_size=70), st.just(b"1/2"))
    ),
    max_size=3,
).map(tuple)
PIECES = st.sampled_from(
    [b"", REPORT, STREAM, STREAM[:900], SARIF, b"{", b"\n", b"\0", b"[INFO ] x\n", b'"meta"', b"\xff"]
)


@settings(max_examples=examples(300), deadline=None)
@given(
    pieces=st.lists(st.one_of(PIECES, st.binary(max_size=60)), max_size=4),
    cut=st.integers(0, 1 << 20),
    packer=st.sampled_from(sorted(PACKERS)),
    key=KEYS,
    headers=HEADERS,
    require_key=st.booleans(),
)
def test_no_bytes_raise(
    pieces: list[bytes],
    cut: int,
    packer: str,
    key: bytes | None,
    headers: tuple[tuple[str, bytes], ...],
    require_key: bool,
) -> None:
    packed = PACKERS[packer](b"".join(pieces))
    value = packed[: cut % (len(packed) + 1)] if cut % 3 else packed
    one = message(value, key, headers)
    found = read_message(one, LIMITS, require_key=require_key)
    if isinstance(found, Lines):
        assert list(found.records())
    elif isinstance(found, Refused):
        assert found.detail and found.detail.isprintable()
    elif isinstance(found, Reports):
        assert found.reports
    if key is None and require_key:
        assert isinstance(found, Refused) and found.reason == "no_key"
    assert isinstance(sort_message(one, LIMITS, require_key=require_key), Document) or not isinstance(found, Reports)
