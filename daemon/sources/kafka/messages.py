"""What a message of Kafka holds: a whole report, lines of a stream, a part of a report, or nothing that can be used.

Nothing here knows a client, a broker or a position. The value is judged by its bytes as a file is; only parts are told
by headers, because nothing in their bytes could tell them.

    decompressed value begins as NDJSON    lines of the stream that its key has in its partition
    anything else                          a document: one or more whole reports

A small NDJSON file in one message is lines, too. That costs nothing: its scan ends with the last finding that its
summary announces, whether the file came in one message or each line in one of its own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from daemon.sources.whole import read_whole
from pipeline.display import printable
from pipeline.errors import QuarantineReason, ReportError
from pipeline.finding import EXCERPT_BYTES, ParsedReport, Reject
from pipeline.keys import content_digest
from pipeline.report.decompress import beginning, decompress, is_compressed
from pipeline.report.header import MAX_NAME_CHARS
from pipeline.report.host_names import folded, names_one
from pipeline.report.limits import Limits, too_large
from pipeline.report.read import is_stream
from pipeline.report.records import BlankLine, MetaLine, StreamRecord
from pipeline.report.stream import parse_line

REPORT_HEADER = "sysscan-report"  # sha256 in hex of all parts, put together
PART_HEADER = "sysscan-part"  # I/N, from 1 on
MAX_PARTS = 4096  # of one report; of the size that `publish` makes them, more than any limit lets through

_SHA256 = re.compile(rb"[0-9a-f]{64}")
_PART = re.compile(rb"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
# Blanks, holes, and the marks of files that were put together.
_NOTHING = re.compile(rb"(?:[ \t\r\n\0]|\xef\xbb\xbf)*+")


@dataclass(slots=True, frozen=True)
class Message:
    """A record of a topic, as any client gives it.

    Attributes:
        key, value: None where the record has none; a record without a value is a tombstone.
        headers: in their order; a name may come more than once.
        timestamp_ms: since 1970, of the producer or the broker as the topic is set; -1 where there is none.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = -1

    @property
    def place(self) -> str:
        """Name it as people do: ``TOPIC/PARTITION@OFFSET``."""
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(slots=True, frozen=True)
class Document:
    """A value that is no stream, decompressed and not looked into.

    Attributes:
        host: that the key names, or None without a key.
        digest: sha256 in hex of the value as it came.
    """

    host: str | None
    digest: str
    text: bytes


@dataclass(slots=True, frozen=True)
class Reports:
    """The whole reports of one message, at least one, and what could not be used of it."""

    host: str | None
    digest: str
    reports: tuple[ParsedReport, ...]
    rejects: tuple[Reject, ...]


@dataclass(slots=True, frozen=True)
class Lines:
    """Lines of a stream: one, several, or a whole NDJSON file.

    Attributes:
        host: that the key names, or None without a key.
        text: decompressed. Records are made of it as they are taken, because all of them at once would take twenty
            times as much.
        base: offset of the text in that of the message.
    """

    host: str | None
    text: bytes
    limits: Limits
    base: int = 0

    def records(self) -> Iterator[tuple[int, StreamRecord]]:
        """Yield each line that is not blank, with its offset in the text; the end of the text ends a line."""
        for start, line in _lines(self.text):
            record = parse_line(line, start, self.limits)
            if not isinstance(record, BlankLine):
                yield self.base + start, record

    def slices(self, most_bytes: int, most_lines: int) -> "Iterator[tuple[Lines, int | None]]":
        """Cut it between lines, at the same places whenever it is cut.

        Yields:
            lines, and where in the text the next ones begin; None with the last ones.
        """
        text, start = self.text, 0
        while True:
            end = start
            for _ in range(most_lines):
                end = text.find(b"\n", end) + 1
                if not end or end - start >= most_bytes:
                    break
            if not end or end == len(text):
                yield Lines(self.host, text[start:], self.limits, start), None
                return
            yield Lines(self.host, text[start:end], self.limits, start), end
            start = end


@dataclass(slots=True, frozen=True)
class Part:
    """A piece of a report that is too large for one message; nothing of it is known to be true yet.

    Attributes:
        host: that the key names, or None without a key.
        report: sha256 in hex that all parts, put together, must have.
        number: from 1 to `count`.
    """

    host: str | None
    report: str
    number: int
    count: int
    data: bytes


@dataclass(slots=True, frozen=True)
class Refused:
    """A message that cannot be used at all.

    Attributes:
        excerpt: the beginning of its value, for a person to look at.
        offset: of the fault in the decompressed value, where there is such a place.
        begins: it begins a scan of another host line by line, so that the lines that follow are not the host's either.
    """

    reason: QuarantineReason
    detail: str
    excerpt: bytes = b""
    offset: int | None = None
    begins: bool = False

    def reject(self) -> Reject:
        """Give it in the form that the ledger keeps."""
        return Reject(self.reason, self.detail, self.offset, excerpt=self.excerpt)


Sorted = Document | Lines | Part | Refused
Read = Reports | Lines | Part | Refused


def read_message(message: Message, limits: Limits, *, require_key: bool) -> Read:
    """Read a message whole: `sort_message`, and `read_reports` where it is a document."""
    found = sort_message(message, limits, require_key=require_key)
    return read_reports(found, limits) if isinstance(found, Document) else found


def sort_message(message: Message, limits: Limits, *, require_key: bool) -> Sorted:
    """Say what a message is, at the cost of decompressing it; of lines, only those that name a host are parsed.

    Args:
        require_key: refuse what does not name its host in its key. Without, it is whose it says it is, which whoever
            may write to the topic can claim.
    """
    value = message.value
    excerpt = (value or b"")[:EXCERPT_BYTES]
    host = None
    if message.key is not None or require_key:
        key = _host_of(message.key)
        if isinstance(key, Refused):
            return replace(key, excerpt=excerpt)
        host = key
    if value is None:
        return Refused("empty", "a message without a value (a tombstone); nothing is deleted by one")
    if any(name in (REPORT_HEADER, PART_HEADER) for name, _ in message.headers):
        return _part(message, host, value, limits)
    try:
        if len(value) > limits.max_bytes:
            raise too_large(limits)
        text = decompress(value, limits)
    except ReportError as error:
        return Refused(error.reason, error.detail, excerpt, error.offset)
    if _NOTHING.fullmatch(text) is not None:
        return Refused("empty", "nothing but white space", excerpt)
    if is_compressed(text):
        return Refused("not_a_report", "compressed twice; compress it once", excerpt)
    if not _is_lines(text, limits):
        return Document(host, content_digest(value), text)
    if host is not None and (foreign := _foreign_line(text, host, limits)) is not None:
        return replace(foreign, excerpt=excerpt)
    return Lines(host, text, limits)


def weigh(message: Message, limits: Limits, most: int) -> int | None:
    """Say how many bytes a message has, unpacked, where it has no more than `most`; else None.

    What cannot be unpacked counts as it came: it is refused after as little.
    """
    value = message.value or b""
    if any(name in (REPORT_HEADER, PART_HEADER) for name, _ in message.headers):
        return 0  # kept as it is
    if len(value) > most:
        return None
    if not is_compressed(value):
        return len(value)
    try:
        head, whole = beginning(value, limits, most)
    except ReportError:
        return len(value)
    return len(head) if whole and len(head) <= most else None


def host_of_large(message: Message, limits: Limits, *, require_key: bool, most: int) -> tuple[str | None] | None:
    """Say whose a large message is where its beginning shows a document; None where more of it has to be looked at.

    As `sort_message`, of which it leaves everything to be decided that a document may yet be refused for.
    """
    value = message.value or b""
    host = None
    if message.key is not None or require_key:
        found = _host_of(message.key)
        if isinstance(found, Refused):
            return None
        host = found
    if len(value) > limits.max_bytes:
        return None
    try:
        head, _ = beginning(value, limits, most)
    except ReportError:
        return None
    packed = is_compressed(value) and is_compressed(head)
    if packed or _NOTHING.fullmatch(head) is not None or is_stream(head, limits) is not False:
        return None
    return (host,)


def is_foreign(claimed: str | None, key: str | None) -> bool:
    """Say whether a report names another host than its key."""
    return key is not None and _is_foreign(claimed, key)


def foreign(claimed: str | None, host: str) -> ReportError:
    """Give the reason why a report of another host is refused."""
    refused = _foreign(claimed or "", host, b"")
    return ReportError(refused.reason, refused.detail)


def read_reports(document: Document, limits: Limits) -> Reports | Refused:
    """Parse a document, and hold each report in it against the host that the key names."""
    excerpt = document.text[:EXCERPT_BYTES]
    read = read_whole(document.text, limits)
    if not read.reports:
        first = read.rejects[0]
        return Refused(first.reason, first.detail, excerpt, first.offset)
    for report in read.reports:
        if document.host is not None and _is_foreign(report.header.host, document.host):
            return _foreign(report.header.host or "", document.host, excerpt)
    return Reports(document.host, document.digest, read.reports, read.rejects)


def joined(last: Message, value: bytes) -> Message:
    """Give the message that the parts of a report would have been if it had come whole, in the place of the last."""
    headers = tuple(one for one in last.headers if one[0] not in (REPORT_HEADER, PART_HEADER))
    return replace(last, value=value, headers=headers)


def _host_of(key: bytes | None) -> str | Refused:
    if key is None:
        return Refused("no_key", "a message without a key; the key must be the name of the host")
    try:
        host = key.decode()
    except UnicodeDecodeError:
        return Refused("no_key", f"the key {_shown(key)} is not UTF-8; it must be the name of the host")
    if not host.strip() or not host.isprintable() or len(host) > MAX_NAME_CHARS:
        return Refused("no_key", f"the key {_shown(key)} is no name of a host")
    return host


def _part(message: Message, host: str | None, value: bytes, limits: Limits) -> Part | Refused:
    excerpt = value[:EXCERPT_BYTES]
    reports = [text for name, text in message.headers if name == REPORT_HEADER]
    parts = [text for name, text in message.headers if name == PART_HEADER]
    if len(reports) != 1 or len(parts) != 1:
        return Refused("bad_part", f"a part needs the headers {REPORT_HEADER} and {PART_HEADER}, each once", excerpt)
    numbers = _PART.fullmatch(parts[0])
    if _SHA256.fullmatch(reports[0]) is None:
        return Refused("bad_part", f"{REPORT_HEADER} must be a SHA-256 in hex, not {_shown(reports[0])}", excerpt)
    number, count = (int(numbers[1]), int(numbers[2])) if numbers is not None else (0, 0)
    if not 1 <= number <= count <= MAX_PARTS:
        detail = f"{PART_HEADER} must be I/N with I from 1 to N and N up to {MAX_PARTS}, not {_shown(parts[0])}"
        return Refused("bad_part", detail, excerpt)
    if not value:
        return Refused("bad_part", "a part without bytes")
    if len(value) > limits.max_bytes:
        return Refused("too_large", too_large(limits).detail, excerpt)
    return Part(host, reports[0].decode(), number, count, value)


def _is_lines(text: bytes, limits: Limits) -> bool:
    answer = is_stream(text, limits)
    if answer is None:  # of a file: not decided yet; of a message: nothing more is to come
        answer = is_stream(text + b"\n", limits)
    # Nothing but lines of the scanner's log is a piece of a stream: where a scan is whole they do not harm it.
    return answer is not False


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1


def _foreign_line(text: bytes, host: str, limits: Limits) -> Refused | None:
    """Find a line that names another host.

    One that writes its own key in escapes is passed over here. It gains nothing: the host is that of the key.
    """
    found = text.find(b'"meta"')
    while found >= 0:
        start = text.rfind(b"\n", 0, found) + 1
        end = text.find(b"\n", found)
        end = len(text) if end < 0 else end
        if end - start <= limits.max_line_bytes:
            record = parse_line(text[start:end], start, limits)
            if isinstance(record, MetaLine):
                claimed = record.fields.get("hostname")
                if isinstance(claimed, str) and _is_foreign(claimed, host):
                    return replace(_foreign(claimed, host, b""), offset=start, begins=True)
        found = text.find(b'"meta"', end)
    return None


def _is_foreign(claimed: str | None, host: str) -> bool:
    return claimed is not None and names_one(claimed) and folded(claimed) != folded(host)


def _foreign(claimed: str, host: str, excerpt: bytes) -> Refused:
    detail = f"a report of {_named(claimed)} under the key {_named(host)}; the key must be the host of the report"
    return Refused("foreign_host", detail, excerpt)


def _named(name: str) -> str:
    return printable(name[:200].encode("utf-8", "backslashreplace").decode())


def _shown(data: bytes) -> str:
    return repr(data[:100])
