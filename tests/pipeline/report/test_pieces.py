"""A document cut into pieces, sent, and put together again."""

import gc
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Incomplete, ReportError
from pipeline.finding import EXCERPT_BYTES, ParsedReport, RawFinding, Reject
from pipeline.keys import content_digest
from pipeline.report import pieces, serve
from pipeline.report.document import Document
from pipeline.report.encode import decode_finding
from pipeline.report.limits import Limits
from pipeline.report.pieces import (
    BadPiece,
    Begun,
    Failed,
    Findings,
    Hosts,
    Piece,
    Read,
    Rejects,
    ReportBegins,
    ReportEnds,
    Unpacker,
    Unusable,
    Whole,
    cut,
    pack,
)
from pipeline.report.read import MAX_REPORTS, read_document, read_patiently

MALFORMED = Path(__file__).parents[2] / "data" / "scans" / "malformed"
SCANS = MALFORMED.parent
FILES = sorted([*MALFORMED.iterdir(), *(path for path in SCANS.iterdir() if path.is_file())])
MEMORY = 4 << 30


def put_together(cut_up: list[Piece]) -> Document:
    """Make the document again that was cut up: an oracle that knows the pieces, but not how they were made."""
    hosts, *rest, whole = cut_up
    assert isinstance(hosts, Hosts) and isinstance(whole, Whole)
    reports: list[ParsedReport] = []
    loose: list[Reject] = []
    is_open = False
    for piece in rest:
        if isinstance(piece, ReportBegins):
            assert not is_open
            reports.append(ParsedReport(piece.decoded(), (), (), piece.digest, False))
            is_open = True
        elif isinstance(piece, Findings):
            last = reports[-1]
            reports[-1] = replace(last, findings=(*last.findings, *map(decode_finding, piece.rows)))
        elif isinstance(piece, Rejects) and is_open:
            reports[-1] = replace(reports[-1], rejects=(*reports[-1].rejects, *piece.rejects))
        elif isinstance(piece, Rejects):
            loose += piece.rejects
        else:
            assert isinstance(piece, ReportEnds)
            reports[-1] = replace(reports[-1], complete=piece.complete)
            is_open = False
    assert hosts.names == tuple(report.header.host for report in reports)
    return Document(tuple(reports), tuple(loose))


class Served:
    """The process's loop on a thread of this one, without what binds it and its memory."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        self._thread = threading.Thread(target=serve.serve, args=(theirs,))
        self._thread.start()

    def read(self, path: Path, limits: Limits, *, final: bool) -> list[Piece]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            request = pack(Read(limits.model_dump(), final, MEMORY))
            socket.send_fds(self.channel, [request], [descriptor])
        finally:
            os.close(descriptor)
        found: list[Piece] = []
        unpacker = Unpacker()
        while not found or not isinstance(found[-1], Whole | Unusable | Failed):
            for frame in unpacker.feed(self.channel.recv(100)):
                assert not isinstance(frame, Read)
                found.append(frame)
        assert found.pop(0) == Begun()
        return found

    def close(self) -> None:
        self.channel.close()
        self._thread.join()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(serve, "_bound", lambda own, memory: None)
    gc.freeze()  # as the process does: it collects after each document, and is not to look through all that tests keep
    made = Served()
    yield made
    made.close()


def outcome(raw: bytes, final: bool) -> tuple[object, ...]:
    """Say what becomes of bytes that are read here."""
    try:
        document = read_patiently(raw, Limits(), final)
    except ReportError as error:
        return error.reason, error.detail, error.offset, isinstance(error, Incomplete)
    return ("read", document)


@pytest.mark.parametrize("final", [False, True])
def test_every_file_of_the_corpora_becomes_the_same_through_the_process(served: Served, final: bool) -> None:
    assert len(FILES) > 100
    for path in FILES:
        found = served.read(path, Limits(), final=final)
        expected = outcome(path.read_bytes(), final)
        if isinstance(found[-1], Unusable):
            assert (found[-1].reason, found[-1].detail, found[-1].offset, found[-1].incomplete) == expected, path
            continue
        assert found[-1] == Whole(content_digest(path.read_bytes()))
        assert expected == ("read", put_together(found)), path


TEXTS = st.text(st.characters(), max_size=20)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXTS, children, max_size=3),
    max_leaves=8,
)
FINDINGS = st.builds(
    RawFinding,
    scanner=st.none() | TEXTS,
    id=TEXTS,
    severity=st.just("low"),
    title=st.none() | TEXTS,
    metadata=st.dictionaries(TEXTS, JSON, max_size=3),
    techniques=st.lists(TEXTS, max_size=2).map(tuple),
)
REJECTS = st.builds(
    Reject,
    reason=st.sampled_from(["wrong_type", "too_deep"]),
    detail=TEXTS,
    offset=st.none() | st.integers(0, 1 << 40),
    path=st.none() | TEXTS,
    excerpt=st.binary(max_size=EXCERPT_BYTES),
)


@given(
    findings=st.lists(FINDINGS, max_size=6),
    rejects=st.lists(REJECTS, max_size=4),
    loose=st.lists(REJECTS, max_size=4),
    step=st.integers(1, 50),
)
def test_whatever_is_in_it_comes_out_as_it_went_in(
    findings: list[RawFinding], rejects: list[Reject], loose: list[Reject], step: int
) -> None:
    template = read_document((SCANS / "micro-default.json").read_bytes(), Limits()).reports[0]
    one = replace(template, findings=tuple(findings), rejects=tuple(rejects))
    document = Document((one, template), tuple(loose))
    sent = b"".join(map(pack, cut(document, "d")))
    unpacker = Unpacker()
    frames = [frame for at in range(0, len(sent), step) for frame in unpacker.feed(sent[at : at + step])]
    assert put_together([frame for frame in frames if not isinstance(frame, Read)]) == document


def test_pieces_are_small_however_large_the_document_is(monkeypatch: pytest.MonkeyPatch) -> None:
    (template,) = read_document((SCANS / "micro-default.json").read_bytes(), Limits()).reports
    large = [RawFinding("s", str(number), "low", title="x" * 100_000) for number in range(20)]
    small = [RawFinding("s", str(number), "low") for number in range(5_000)]
    rejects = tuple(Reject("wrong_type", str(number)) for number in range(3_000))
    document = Document((replace(template, findings=(*large, *small), rejects=rejects),), ())
    cut_up = list(cut(document, "d"))
    assert max(len(pack(piece)) for piece in cut_up) < 400_000
    assert put_together(cut_up) == document


def test_a_finding_that_is_too_large_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    (template,) = read_document((SCANS / "micro-default.json").read_bytes(), Limits()).reports
    assert template.complete
    huge = RawFinding("s", "huge", "low", metadata={"a": "x" * pieces.MAX_FINDING_BYTES})
    document = Document((replace(template, findings=(*template.findings, huge, *template.findings)),), ())
    (report,) = put_together(list(cut(document, "d"))).reports
    assert report.findings == (*template.findings, *template.findings)
    assert not report.complete
    (reject,) = report.rejects
    assert reject.reason == "too_large" and reject.excerpt.startswith(b'["s","huge"') and len(reject.excerpt) == 512


def test_a_header_that_is_too_large_is_refused() -> None:
    (template,) = read_document((SCANS / "micro-default.json").read_bytes(), Limits()).reports
    header = replace(template.header, raw={"meta": {"a": "x" * pieces.MAX_HEADER_BYTES}})
    with pytest.raises(ReportError) as raised:
        list(cut(Document((replace(template, header=header),), ()), "d"))
    assert raised.value.reason == "too_large"


def test_a_document_has_a_bound_for_its_reports_and_for_the_sum_of_what_cannot_be_used() -> None:
    one = b'{"results":[]}\n'
    assert len(read_document(one * MAX_REPORTS, Limits()).reports) == MAX_REPORTS
    with pytest.raises(ReportError) as raised:
        read_document(one * (MAX_REPORTS + 1), Limits())
    assert raised.value.reason == "too_large"
    bad = b'{"results":[{"scanner":"s","findings":[1,2,3]}]}\n'
    limits = Limits(max_rejects=10)
    assert len(read_document(bad * 3, limits).reports) == 3
    with pytest.raises(ReportError) as raised:
        read_document(bad * 4, limits)
    assert "limits.max_rejects" in raised.value.detail


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff\x01",
        b"\x00\x00\x00\x00\x63",
        b"\x00\x00\x00\x04\x02\x00\x00\x00\x09",
        b"\x00\x00\x00\x01\x04x",
        b'\x00\x00\x00\x06\x04["no"]',
        b"\x00\x00\x00\x02\x05[]",
        b'\x00\x00\x00\x24\x03[["no such reason","d",null,null,"x"]]',
        b'\x00\x00\x00\x1f\x06["wrong_type","d",true,false,1]',
        b"\x00\x00\x00\x02\x07{}",
        b"\x00\x00\x00\x03\x08[1]",
        b"\x00\x00\x00\x01\x09x",
        b"\x00\x00\x00\x04\x01\xff\xff\xff\xff",
        b"\x00\x00\x00\x0a\x00" + b"[" * 10,
    ],
)
def test_rubbish_is_no_piece(sent: bytes) -> None:
    with pytest.raises(BadPiece):
        list(Unpacker().feed(sent))


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(sent: bytes) -> None:
    try:
        for piece in Unpacker().feed(sent):
            if isinstance(piece, ReportBegins):
                piece.decoded()
    except BadPiece:
        pass


def test_a_fault_of_ours_is_an_answer(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"{}")
    (before,) = served.read(path, Limits(), final=True)
    assert isinstance(before, Unusable)

    def fail(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(serve, "read_patiently", fail)
    (found,) = served.read(path, Limits(), final=True)
    assert isinstance(found, Failed) and "a mistake" in found.detail and not found.memory

    def starve(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(serve, "read_patiently", starve)
    assert served.read(path, Limits(), final=True) == [Failed("it takes more memory than that", memory=True)]


def test_limits_travel(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps({"results": [], "pad": "x" * 70_000}).encode())
    (found,) = served.read(path, Limits(max_bytes=64 << 10), final=True)
    assert isinstance(found, Unusable) and found.reason == "too_large"
    assert isinstance(served.read(path, Limits(), final=True)[-1], Whole)
    assert Limits.model_validate(asdict(Read(Limits(max_depth=9).model_dump(), True, 1))["limits"]).max_depth == 9
