"""Makes messages of reports: the other direction of `daemon.sources.kafka.messages`.

Each scan of an NDJSON file, and each document, is one parcel: one message where it is small enough when packed, else
several parts that count only together. So a publisher that dies in the middle leaves nothing that is taken for a scan.
Only a scan that is larger than a reader would join is cut into messages of whole lines.
"""

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from daemon.sources.kafka.messages import (
    MAX_PARTS,
    PART_HEADER,
    REPORT_HEADER,
    Document,
    Lines,
    Message,
    Refused,
    Reports,
    read_reports,
    sort_message,
)
from pipeline.finding import EXCERPT_BYTES
from pipeline.report.decompress import MAGIC_BYTES, is_compressed
from pipeline.report.host_names import folded, names_one
from pipeline.report.limits import Limits, too_large
from pipeline.report.read import is_stream
from pipeline.report.records import FindingLine, MetaLine
from pipeline.report.stream import parse_line

MAX_VALUE_BYTES = 900_000  # brokers take 1 MiB with everything around it, where nobody told them otherwise

_LEVEL = 6
_HEAD_BYTES = 1 << 20  # enough to tell a stream by
_CUT_BYTES = 4 << 20  # of lines before packing, where a scan is cut between lines; NDJSON packs to a tenth

Headers = tuple[tuple[str, bytes], ...]


@dataclass(slots=True, frozen=True)
class Parcel:
    """What goes out for one scan or document, in order; all of it under one key.

    Attributes:
        host: the key.
        size: unpacked, in bytes.
        report: sha256 in hex of the value, or of the parts put together.
    """

    host: str
    size: int
    report: str
    messages: tuple[tuple[bytes, Headers], ...]


class Packer:
    """Packs what one file holds.

    Args:
        host: whose report it is where it does not say, or None.
        max_value_bytes: of one message.
    """

    def __init__(self, limits: Limits, host: str | None, max_value_bytes: int = MAX_VALUE_BYTES) -> None:
        self._limits = limits
        self._host = host
        self._max = min(max_value_bytes, MAX_VALUE_BYTES)

    def pack(self, file: BinaryIO) -> Iterator[Parcel | Refused]:
        """Yield a parcel for each scan of a file, and why what is left cannot be published.

        Of a document, and of what is compressed, at most `limits.max_bytes` are held; of a plain stream one scan.

        Raises:
            OSError: when it cannot be read.
        """
        head = file.read(_HEAD_BYTES)
        if not is_compressed(head[:MAGIC_BYTES]) and is_stream(head, self._limits):
            yield from self._scans(_lines_of(file, head, self._limits.max_line_bytes))
            return
        raw = head + file.read(max(0, self._limits.max_bytes + 1 - len(head)))
        found = sort_message(_message(raw), self._limits, require_key=False)
        if isinstance(found, Lines):
            yield from self._scans(_split(found.text))
        elif isinstance(found, Document):
            yield self._document(found)
        else:
            assert isinstance(found, Refused)  # no headers, so no part
            yield found

    def _document(self, document: Document) -> Parcel | Refused:
        found = read_reports(document, self._limits)
        if isinstance(found, Refused):
            return found
        excerpt = document.text[:EXCERPT_BYTES]
        host = self._host_of([report.header.host for report in found.reports], excerpt)
        if isinstance(host, Refused):
            return host
        kind = b"application/sarif+json" if _all_sarif(found) else b"application/json"
        return self._parcel(host, document.text, kind)

    def _host_of(self, claimed: Sequence[str | None], excerpt: bytes) -> str | Refused:
        names = {folded(name): name for name in claimed if name is not None and names_one(name)}
        if len(names) > 1:
            shown = ", ".join(sorted(names)[:5])
            return Refused(
                "foreign_host", f"holds reports of several hosts ({shown}); split it, one host a file", excerpt
            )
        host = next(iter(names.values()), self._host)
        if host is None:
            return Refused("no_key", "does not name its host; say whose it is with --host NAME", excerpt)
        return host

    def _scans(self, lines: Iterable[bytes]) -> Iterator[Parcel | Refused]:
        scan = _Scan(self._limits)
        for line in lines:
            if scan.ends_before(line):
                yield self._scan(scan)
                scan = _Scan(self._limits)
            scan.add(line)
            if scan.size > self._limits.max_bytes:  # too large to be joined again: its lines go on as they come
                yield self._lines_of_scan(scan)
                scan.forget_lines()
        if not scan.is_blank():
            yield self._scan(scan)

    def _scan(self, scan: "_Scan") -> Parcel | Refused:
        if scan.was_cut:
            return self._lines_of_scan(scan)
        text = scan.text()
        found = sort_message(_message(text), self._limits, require_key=False)
        if isinstance(found, Refused):
            return found
        host = self._host_of([scan.host], text[:EXCERPT_BYTES])
        return host if isinstance(host, Refused) else self._parcel(host, text, b"application/x-ndjson")

    def _lines_of_scan(self, scan: "_Scan") -> Parcel | Refused:
        host = self._host_of([scan.host], scan.lines[0][:EXCERPT_BYTES])
        if isinstance(host, Refused):
            return host
        text = scan.text()
        messages: list[tuple[bytes, Headers]] = []
        piece: list[bytes] = []
        size = 0
        for line in (*scan.lines, b""):
            if piece and (not line or size + len(line) > _CUT_BYTES):
                packed = self._pack_lines(piece)
                if packed is None:
                    return Refused(
                        "line_too_long", "a line is too long for one message, even packed", piece[0][:EXCERPT_BYTES]
                    )
                messages += [(value, _headers(b"application/x-ndjson")) for value in packed]
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        return Parcel(host, len(text), hashlib.sha256(text).hexdigest(), tuple(messages))

    def _pack_lines(self, lines: Sequence[bytes]) -> list[bytes] | None:
        packed = _packed(b"".join(lines))
        if len(packed) <= self._max:
            return [packed]
        if len(lines) == 1:
            return None
        halves = [self._pack_lines(half) for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :])]
        return None if None in halves else [value for half in halves if half is not None for value in half]

    def _parcel(self, host: str, text: bytes, kind: bytes) -> Parcel | Refused:
        value = _packed(text)
        report = hashlib.sha256(value).hexdigest()
        if len(value) <= self._max:
            return Parcel(host, len(text), report, ((value, _headers(kind)),))
        pieces = [value[start : start + self._max] for start in range(0, len(value), self._max)]
        if len(value) > self._limits.max_bytes or len(pieces) > MAX_PARTS:
            return Refused("too_large", too_large(self._limits).detail, text[:EXCERPT_BYTES])
        messages = tuple(
            (
                piece,
                (
                    *_headers(kind),
                    (REPORT_HEADER, report.encode()),
                    (PART_HEADER, b"%d/%d" % (number, len(pieces))),
                ),
            )
            for number, piece in enumerate(pieces, 1)
        )
        return Parcel(host, len(text), report, messages)


class _Scan:
    """The lines of one scan of a stream, as far as they are held."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open = True  # neither a meta line nor a finding has come
        self.lines: list[bytes] = []
        self.size = 0
        self.host: str | None = None
        self.was_cut = False

    def ends_before(self, line: bytes) -> bool:
        """Say whether a line begins another scan: a meta line, where one or a finding came before."""
        return not self._open and b'"meta"' in line and isinstance(self._parse(line), MetaLine)

    def add(self, line: bytes) -> None:
        if self._open and line.strip():
            record = self._parse(line)
            if isinstance(record, MetaLine):
                claimed = record.fields.get("hostname")
                self.host = claimed if isinstance(claimed, str) else None
                self._open = False
            elif isinstance(record, FindingLine):
                self._open = False
        self.lines.append(line)
        self.size += len(line)

    def forget_lines(self) -> None:
        self.lines, self.size, self.was_cut = [], 0, True

    def is_blank(self) -> bool:
        return not any(line.strip() for line in self.lines)

    def text(self) -> bytes:
        return b"".join(self.lines)

    def _parse(self, line: bytes) -> object:
        return parse_line(line, 0, self._limits)


def _lines_of(file: BinaryIO, head: bytes, max_line_bytes: int) -> Iterator[bytes]:
    """Yield lines with their ends; of one that is longer than allowed, as much as shows that."""
    rest, skipping = head, False
    while True:
        start = 0
        while (end := rest.find(b"\n", start) + 1) > 0:
            if not skipping:
                yield rest[start:end]
            start, skipping = end, False
        rest = rest[start:]
        if not skipping and len(rest) > max_line_bytes + 2:
            yield rest + b"\n"
            skipping = True
        rest = b"" if skipping else rest
        data = file.read(_HEAD_BYTES)
        if not data:
            break
        rest += data
    if rest:
        yield rest


def _split(text: bytes) -> Iterator[bytes]:
    """Split after each line feed, and nowhere else."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _packed(text: bytes) -> bytes:
    return gzip.compress(text, _LEVEL, mtime=0)  # the same bytes for the same report, whenever it is sent


def _headers(kind: bytes) -> Headers:
    return (("content-type", kind), ("content-encoding", b"gzip"))


def _message(value: bytes) -> Message:
    return Message("", 0, 0, None, value)


def _all_sarif(found: Reports) -> bool:
    return all(report.header.source_format == "sarif" for report in found.reports)
