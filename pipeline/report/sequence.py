"""Parses a file that is more than one document: several reports, log lines between them, remains of an older file."""

import re
from dataclasses import replace
from typing import Final

from pipeline.errors import Incomplete, QuarantineReason, ReportError
from pipeline.finding import EXCERPT_BYTES, Note, ParsedReport, Reject
from pipeline.report.document import Document, is_report, read_report, with_note
from pipeline.report.lexer import Value, lex, pick_marker
from pipeline.report.limits import Limits
from pipeline.report.load import Loaded, load, load_value
from pipeline.report.pretty import looks_damaged, undo_pretty
from pipeline.report.records import BadLine
from pipeline.report.stream import LOG_LINE, ReportAssembler, read_record

NO_REPORT: Final = "neither a report nor a line of one"  # what is said of bytes that are of another kind altogether
_BETWEEN = re.compile(rb"(?:[\s\x00]|\xef\xbb\xbf)*+")  # files that were put together keep their byte order marks
_LOG_LINES = re.compile(rb"^(?:\xef\xbb\xbf)?" + LOG_LINE + rb".*$", re.M)
_NEXT_START = re.compile(rb"^(?:\xef\xbb\xbf)*+\{", re.M)
_MAX_RESTARTS = 4  # inside a document that proved broken; each may cost a pass over all the rest


def read_sequence(text: bytes, limits: Limits, final: bool) -> Document:
    """Parse every complete item in `text`: JSON reports, SARIF logs and NDJSON records, indented or not.

    Args:
        final: nothing more will be written, so complete items before a cut one are used; otherwise all of them wait.

    Raises:
        ReportError: if nothing in it can be used.
    """
    return _Sequence(text, limits, final).read()


class _Sequence:
    def __init__(self, text: bytes, limits: Limits, final: bool) -> None:
        self._rejects: list[Reject] = []
        # A valid string contains no line end, so a log line may be removed wherever it is. It is replaced by blanks,
        # which keeps all offsets correct.
        self._limits = limits
        self._text = _LOG_LINES.sub(self._blank_log_line, text)
        self._original = text
        self._restarts = _MAX_RESTARTS
        # The pass that damages text runs over the whole output, so damage of one record goes on in the next.
        before = undo_pretty(self._text) if looks_damaged(self._text) else None
        self._undone = before is not None
        if before is not None:
            self._text = self._original = before
        self._final = final
        self._marker = pick_marker(self._text)
        self._reports: list[ParsedReport] = []
        self._records: ReportAssembler | None = None
        self._errors: list[ReportError] = []

    def read(self) -> Document:
        position = self._skip(0)
        while position < len(self._text):
            is_value = self._text[position] == 0x7B
            position = self._skip(self._read_value(position) if is_value else self._pass_over(position))
        self._end_records()
        if not self._reports:
            raise self._explain_nothing()
        if self._undone:
            self._reports = [with_note(report, "pretty_damage") for report in self._reports]
            self._rejects = [
                replace(reject, offset=None) for reject in self._rejects
            ]  # they were offsets in the damaged text
        if any(reject.reason == "log_line" for reject in self._rejects):
            self._reports = [with_note(report, "log_lines") for report in self._reports]
        self._rejects.sort(key=lambda reject: reject.offset or 0)
        return Document(tuple(self._reports), tuple(self._rejects))

    def _skip(self, position: int) -> int:
        between = _BETWEEN.match(self._text, position)
        return between.end() if between else position

    def _read_value(self, position: int) -> int:
        value = lex(self._text, position, self._marker, self._limits)
        notes: list[Note] = []
        try:
            loaded = self._load(value, notes)
            if is_report(loaded):
                report = read_report(loaded, self._original[position : value.end], self._limits, notes)
                self._end_records()
                self._reports.append(report)
            else:
                piece = self._original[position : value.end]
                record = read_record(loaded, piece, position)
                if isinstance(record, BadLine) and self._anything() and not self._begins_line(position):
                    return self._pass_over(position)
                if self._records is None:
                    self._records = ReportAssembler(self._limits)
                self._records.add(record, piece)
        except ReportError as error:
            following = _NEXT_START.search(self._text, position + 1, value.end)
            if following and self._restarts and error.reason in ("truncated", "invalid_json"):
                # A cut document followed by another one looks like one broken document.
                self._restarts -= 1
                self._errors.append(error)
                self._reject(error.reason, error.detail, position, following.start())
                return following.start()
            if isinstance(error, Incomplete) and not (self._final and self._anything()):
                raise
            self._errors.append(error)
            behind = value.cut and self._anything() and not isinstance(error, Incomplete)
            self._reject("trailing_data" if behind else error.reason, error.detail, position, value.end)
        return value.end

    def _load(self, value: Value, notes: list[Note]) -> Loaded:
        piece = self._text[value.start : value.end]
        if not value.cut and not self._undone and looks_damaged(piece):
            before = undo_pretty(piece)
            if before is not None:
                loaded = load(before, self._limits)
                notes.append("pretty_damage")
                return loaded
        return load_value(value, self._marker)

    def _pass_over(self, position: int) -> int:
        """Reject what is not a value, up to the next line that begins like a document."""
        line_end = self._text.find(b"\n", position)
        following = _NEXT_START.search(self._text, line_end + 1) if line_end >= 0 else None
        end = following.start() if following else len(self._text)
        if self._anything():
            self._reject("trailing_data", "bytes after a complete document", position, end)
        else:
            self._reject("not_a_report", NO_REPORT, position, end)
        return end

    def _begins_line(self, position: int) -> bool:
        start = self._text.rfind(b"\n", 0, position) + 1
        return self._skip(start) >= position

    def _anything(self) -> bool:
        return bool(self._reports) or self._records is not None

    def _end_records(self) -> None:
        if self._records is None:
            return
        reports, loose = self._records.finish()
        self._reports += reports
        self._rejects += loose
        self._records = None

    def _reject(self, reason: QuarantineReason, detail: str, start: int, end: int) -> None:
        excerpt = self._original[start : min(end, start + EXCERPT_BYTES)]
        self._leave_out(Reject(reason, detail, start, None, excerpt))

    def _blank_log_line(self, match: re.Match[bytes]) -> bytes:
        line = match.group()
        detail = "the scanner's log, mixed into its output"
        self._leave_out(Reject("log_line", detail, match.start(), None, line[:EXCERPT_BYTES]))
        return b" " * len(line)

    def _leave_out(self, reject: Reject) -> None:
        if len(self._rejects) >= self._limits.max_rejects:
            raise ReportError(
                "not_a_report", f"more than {self._limits.max_rejects} pieces that cannot be used (limits.max_rejects)"
            )
        self._rejects.append(reject)

    def _explain_nothing(self) -> ReportError:
        if self._errors:
            return self._errors[0]
        if all(reject.reason == "log_line" for reject in self._rejects):
            return Incomplete("empty", "only log lines so far")
        offset = next(reject.offset for reject in self._rejects if reject.reason != "log_line")
        return ReportError("not_a_report", NO_REPORT, offset)
