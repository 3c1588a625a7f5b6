"""A document that was read, cut into pieces that are small each: how the process that reads one hands it over.

A frame is four bytes of length, one that says what it is, and a body. Findings and headers travel as they are kept
(`pipeline.report.encode`), so whoever takes them need not look into them; nothing is ever unpickled.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pipeline.errors import QuarantineReason, ReportError
from pipeline.finding import EXCERPT_BYTES, ParsedReport, RawFinding, Reject, ScanHeader
from pipeline.report.document import Document
from pipeline.report.encode import DAMAGE, decode_header, encode_finding, encode_header

# Bounds of what is kept of one document in one piece. Real headers have 400 KB at most, real findings 4 KB; the daemon
# decodes them in its own process, where a hostile one of the size of a document would take all memory.
MAX_HEADER_BYTES = 4 << 20
MAX_FINDING_BYTES = 2 << 20
MAX_FRAME_BYTES = 8 << 20

_ROWS = 512  # findings in one piece, and how many bytes of them
_ROW_BYTES = 256 << 10
_REJECTS = 500
_HEAD = struct.Struct(">IB")
_LENGTH = struct.Struct(">I")
_REASONS = frozenset(get_args(QuarantineReason))


class BadPiece(ValueError):
    """Raised for what is no piece of a document."""


@dataclass(frozen=True, slots=True)
class Read:
    """Ask for a document, whose open file goes along.

    Attributes:
        limits: fields of `pipeline.report.limits.Limits`.
        final: what is whole in front of a cut counts, because nothing more will be written.
        memory_bytes: that reading it may take.
    """

    limits: dict[str, Any]
    final: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Begun:
    """The process is up, and reads the document from now on."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which hosts the reports of the document name, in their order; the first piece of what it holds."""

    names: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class ReportBegins:
    """The next report, with its header as it is kept; its findings and rejects follow."""

    header: bytes
    digest: str

    def decoded(self) -> ScanHeader:
        """Give the header.

        Raises:
            BadPiece: if it cannot be decoded.
        """
        try:
            return decode_header(self.header)
        except DAMAGE as error:
            raise BadPiece(f"no header: {error}") from error


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of the report that has begun, in order, each as it is kept."""

    rows: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Rejects:
    """What could not be used of the report that has begun, or, after the last one, of what belongs to none."""

    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class ReportEnds:
    """That was all of the report; whether it is complete."""

    complete: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """That was all of the document; `digest` is of the bytes that were read."""

    digest: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing of the document can be used; the fields of a `ReportError`."""

    reason: QuarantineReason
    detail: str
    offset: int | None
    incomplete: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The document could not be dealt with: it takes too much memory, or this program has made a mistake."""

    detail: str
    memory: bool


T = TypeVar("T")
Piece = Begun | Hosts | ReportBegins | Findings | Rejects | ReportEnds | Whole | Unusable | Failed


def cut(document: Document, digest: str) -> Iterator[Piece]:
    """Cut a document into pieces, of which `Whole` is the last; a finding past `MAX_FINDING_BYTES` is left out.

    Raises:
        ReportError: ``too_large``, where a header takes more than `MAX_HEADER_BYTES`.
    """
    yield Hosts(tuple(report.header.host for report in document.reports))
    for report in document.reports:
        yield from _cut_report(report)
    yield from _in_groups(document.rejects)
    yield Whole(digest)


def _cut_report(report: ParsedReport) -> Iterator[Piece]:
    header = encode_header(report.header)
    if len(header) > MAX_HEADER_BYTES:
        raise ReportError(
            "too_large", f"all but the findings of a report takes more than {MAX_HEADER_BYTES} bytes, which is fixed"
        )
    yield ReportBegins(header, report.digest)
    too_large: list[Reject] = []
    rows: list[bytes] = []
    size = 0
    for finding in report.findings:
        row = encode_finding(finding)
        if len(row) > MAX_FINDING_BYTES:
            too_large.append(_too_large(finding, row))
            continue
        if rows and (len(rows) >= _ROWS or size + len(row) > _ROW_BYTES):
            yield Findings(tuple(rows))
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        yield Findings(tuple(rows))
    yield from _in_groups((*report.rejects, *too_large))
    yield ReportEnds(report.complete and not too_large)


def _too_large(finding: RawFinding, row: bytes) -> Reject:
    detail = f"a finding of {finding.scanner or 'no scanner'} takes more than {MAX_FINDING_BYTES} bytes, which is fixed"
    return Reject("too_large", detail[:EXCERPT_BYTES], excerpt=row[:EXCERPT_BYTES])


def _in_groups(rejects: tuple[Reject, ...]) -> Iterator[Rejects]:
    for start in range(0, len(rejects), _REJECTS):
        yield Rejects(rejects[start : start + _REJECTS])


# On the way


def pack(frame: Read | Piece) -> bytes:
    """Write a frame."""
    kind, body = _body(frame)
    return _HEAD.pack(len(body), kind) + body


def _body(frame: Read | Piece) -> tuple[int, bytes]:
    match frame:
        case Read():
            return 0, _json([frame.limits, frame.final, frame.memory_bytes])
        case ReportBegins():
            return 1, _joined((frame.digest.encode(), frame.header))
        case Findings():
            return 2, _joined(frame.rows)
        case Rejects():
            return 3, _json(
                [[r.reason, r.detail, r.offset, r.path, r.excerpt.decode("latin-1")] for r in frame.rejects]
            )
        case ReportEnds():
            return 4, _json([frame.complete])
        case Whole():
            return 5, _json([frame.digest])
        case Unusable():
            return 6, _json([frame.reason, frame.detail, frame.offset, frame.incomplete])
        case Begun():
            return 9, b""
        case Hosts():
            return 8, _json([list(frame.names)])
        case Failed():
            return 7, _json([frame.detail, frame.memory])


class Unpacker:
    """Puts frames together from the bytes that a socket gives."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> Iterator[Read | Piece]:
        """Take bytes, and give the frames that are whole now.

        Raises:
            BadPiece: if one is none.
        """
        self._kept += data
        while len(self._kept) >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._kept)
            if length > MAX_FRAME_BYTES:
                raise BadPiece(f"a piece of {length} bytes, more than {MAX_FRAME_BYTES}")
            end = _HEAD.size + length
            if len(self._kept) < end:
                return
            body = bytes(self._kept[_HEAD.size : end])
            del self._kept[:end]
            yield _unpack(kind, body)


def _unpack(kind: int, body: bytes) -> Read | Piece:
    try:
        if kind == 1:
            digest, header = _parted(body)
            return ReportBegins(header, digest.decode("ascii"))
        if kind == 2:
            return Findings(tuple(_parted(body)))
        if kind == 9 and not body:
            return Begun()
        values = json.loads(body)
        if kind == 0:
            limits, final, memory_bytes = values
            return Read(_of(dict, limits), _of(bool, final), _of(int, memory_bytes))
        if kind == 3:
            return Rejects(tuple(_reject(value) for value in values))
        if kind == 4:
            return ReportEnds(_of(bool, *values))
        if kind == 5:
            return Whole(_of(str, *values))
        if kind == 6:
            reason, detail, offset, incomplete = values
            return Unusable(_reason(reason), _of(str, detail), _number(offset), _of(bool, incomplete))
        if kind == 7:
            detail, memory = values
            return Failed(_of(str, detail), _of(bool, memory))
        if kind == 8:
            (names,) = values
            return Hosts(tuple(None if name is None else _of(str, name) for name in names))
    except (ValueError, TypeError, KeyError, struct.error, RecursionError) as error:
        raise BadPiece(f"no piece of kind {kind}: {body[:80]!r}") from error
    raise BadPiece(f"no piece of kind {kind}")


def _reject(value: Any) -> Reject:
    reason, detail, offset, path, excerpt = value
    return Reject(
        _reason(reason),
        _of(str, detail),
        _number(offset),
        None if path is None else _of(str, path),
        _of(str, excerpt).encode("latin-1")[:EXCERPT_BYTES],
    )


def _reason(value: Any) -> QuarantineReason:
    if value not in _REASONS:
        raise ValueError("no such reason")
    reason: QuarantineReason = value
    return reason


def _number(value: Any) -> int | None:
    return None if value is None else _of(int, value)


def _of(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"not {kind.__name__}")
    return value


def _json(values: list[Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode()


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))


def _parted(body: bytes) -> list[bytes]:
    parts: list[bytes] = []
    position = 0
    while position < len(body):
        (length,) = _LENGTH.unpack_from(body, position)
        position += _LENGTH.size
        part = body[position : position + length]
        if len(part) != length:
            raise ValueError("a part is cut")
        parts.append(part)
        position += length
    return parts
