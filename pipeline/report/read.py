"""Parses the bytes of a whole file into reports, whatever format they have."""

import codecs
import re

from pipeline.errors import Incomplete, ReportError
from pipeline.finding import Reject
from pipeline.report.decompress import decompress, is_compressed, may_become_compressed
from pipeline.report.document import Document, is_report, read_report
from pipeline.report.limits import Limits
from pipeline.report.load import load_strict
from pipeline.report.pretty import looks_damaged
from pipeline.report.records import FindingLine, HeaderLine, MetaLine
from pipeline.report.sequence import read_sequence
from pipeline.report.stream import (
    BYTE_ORDER_MARK,
    RECORD_KINDS,
    ReportAssembler,
    is_log_line,
    parse_line,
    read_lines,
    without_marks,
)

__all__ = ["Document", "decompress", "is_stream", "read_document", "read_patiently"]

_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = tuple(mark for mark, _ in _WIDE_MARKS)
_MARKS = (BYTE_ORDER_MARK, *_WIDE)
_MARK_BYTES = max(map(len, _MARKS))
_FIRST_KEY = re.compile(rb'\{[ \t]*"([^"\\]*)"[ \t]*:')
_RECORD_START = re.compile(
    rb'\{[ \t]*"type"[ \t]*:[ \t]*"(?:' + b"|".join(kind.encode() for kind in sorted(RECORD_KINDS)) + rb')"'
)
_DOCUMENT_KEYS = frozenset(
    b"$schema collection_warnings compliance_summary meta partial_warnings results runs scanner_errors summary"
    b" summary_extension version".split()
)
_NOTHING = b" \t\r\n\0"
MAX_REPORTS = 1_000  # of one document, which are closed together; each takes a quarter of a millisecond


def is_stream(head: bytes, limits: Limits) -> bool | None:
    """Return whether a file is NDJSON, to be read line by line, judging by its first (uncompressed) bytes.

    Log lines and blank lines at the beginning are ignored; the first line that begins like an object decides.

    Returns:
        None while that line has not arrived, or is too short to decide.
    """
    if is_compressed(head) or head.startswith(_WIDE):
        return False
    if may_become_compressed(head) or (len(head) <= _MARK_BYTES and any(mark.startswith(head) for mark in _MARKS)):
        return None
    position = 0
    while position < len(head):
        end = head.find(b"\n", position)
        whole = end >= 0
        line = without_marks(head[position : end if whole else len(head)].strip(_NOTHING))
        position = end + 1 if whole else len(head)
        if not line or (whole and is_log_line(line)):
            continue
        if not line.startswith(b"{"):
            # The beginning of a log line may still become one; anything else is read whole, to be rejected whole.
            return None if line.startswith(b"[") and not whole else False
        if _RECORD_START.match(line):
            return True
        first = _FIRST_KEY.match(line)
        if first and first.group(1) in _DOCUMENT_KEYS:
            return False
        if whole:
            return isinstance(parse_line(line, 0, limits), MetaLine | HeaderLine | FindingLine)
        return None if len(line) <= limits.max_line_bytes else False
    return None


def read_document(raw: bytes, limits: Limits, final: bool = False) -> Document:
    """Read all reports of a whole file.

    Args:
        raw: the bytes of the file, perhaps compressed.
        final: nothing more will be written. Complete reports before a cut one are then used, and the cut one is
            rejected; otherwise all of them wait. A cut report is never used in part.

    Raises:
        Incomplete: the file may still be being written.
        ReportError: nothing in it can be used, or it has more reports, or more that cannot be used, than one may have.
    """
    document = _read(raw, limits, final)
    if len(document.reports) > MAX_REPORTS:
        raise ReportError("too_large", f"more than {MAX_REPORTS} reports in one document; split it")
    rejected = len(document.rejects) + sum(len(report.rejects) for report in document.reports)
    if rejected > limits.max_rejects:
        detail = f"more than {limits.max_rejects} pieces that cannot be used (limits.max_rejects)"
        raise ReportError("not_a_report", detail)
    return document


def _read(raw: bytes, limits: Limits, final: bool) -> Document:
    text = _to_utf8(decompress(raw, limits))
    body = without_marks(text.strip(_NOTHING))
    if not body:
        raise Incomplete("empty", "nothing but white space")
    if is_stream(text, limits):
        return _read_stream(text, limits)
    if not looks_damaged(body):
        loaded = load_strict(body, limits)
        if loaded is not None and is_report(loaded):
            return Document((read_report(loaded, body, limits, []),), ())
    return read_sequence(text, limits, final)


def read_patiently(raw: bytes, limits: Limits, final: bool) -> Document:
    """Read a document; what is whole in front of a cut counts only where it is `final`.

    Raises:
        ReportError: as `read_document`.
    """
    try:
        return read_document(raw, limits)
    except Incomplete:
        if not final:
            raise
    return read_document(raw, limits, final=True)


def _read_stream(text: bytes, limits: Limits) -> Document:
    assembler = ReportAssembler(limits)
    for line, record in read_lines(text, limits):
        assembler.add(record, line)
    reports, rejects = assembler.finish()
    if not reports:
        first: Reject = rejects[0]
        raise ReportError(first.reason, first.detail, first.offset)
    return Document(tuple(reports), tuple(rejects))


def _to_utf8(data: bytes) -> bytes:
    """Return `data` as UTF-8; marks of UTF-8 are passed over wherever a document or line begins."""
    for mark, name in _WIDE_MARKS:
        if data.startswith(mark):
            # Not final: after an odd byte at the end more is to come, and the text is then found to be cut.
            decoder = codecs.getincrementaldecoder(name)("surrogatepass")
            try:
                return decoder.decode(data[len(mark) :]).encode("utf-8", "surrogatepass")
            except UnicodeError as error:
                raise ReportError("encoding", f"not {name.upper()}: {error}") from None
    if data[:2] in (b"{\0", b"\0{"):
        raise ReportError("encoding", "UTF-16 without a byte order mark; write UTF-8")
    return data
