"""Reads files that grow: NDJSON, taken by whole lines."""

from collections.abc import Iterator
from dataclasses import replace

from daemon.sources.directory.admission import Admission
from daemon.sources.directory.content import Content, continues, end_of_lines
from daemon.sources.directory.files import FileState
from daemon.sources.directory.identity import digest
from daemon.sources.directory.lines import Line, LineReader
from daemon.sources.directory.patience import Patience
from daemon.sources.directory.tracked import Signature, SweepResult, Tracked
from pipeline.finding import Reject
from pipeline.report.finding_fields import EXCERPT_BYTES
from pipeline.report.limits import Limits
from pipeline.report.records import BadLine, BlankLine, StreamRecord
from pipeline.report.stream import parse_line

COPY_MARK = "copy"  # stands for the digest of a stream whose lines were read under another name


class StreamReader:
    """Admits what is whole, line by line.

    An unfinished last line is reported when it has stood still for long, but its bytes are never consumed: if the line
    is completed after all, it counts.
    """

    def __init__(self, admission: Admission, limits: Limits, patience: Patience, chunk_bytes: int) -> None:
        """`chunk_bytes` go into one transaction."""
        self._admission = admission
        self._limits = limits
        self._patience = patience
        self._chunk_bytes = chunk_bytes

    def read(
        self, file: Tracked, content: Content, signature: Signature, result: SweepResult, raw_digest: str | None = None
    ) -> Iterator[None]:
        """Read on; yields after each transaction.

        Args:
            raw_digest: of the compressed bytes; kept when all of the stream is dealt with.
        """
        state = file.state
        if state is not None and state.digest == COPY_MARK:
            if end_of_lines(content) <= state.offset:
                file.finish(signature)
                return
            self._admission.forget(file)
        state = self._admission.register(file, content, "stream")
        lines = LineReader(content, state.offset, file.searched, self._chunk_bytes, self._limits.max_line_bytes)
        for piece in lines.pieces():
            if not continues(state, content):  # rewritten between two reads: what was read belongs nowhere
                result.again = True
                return
            taken = replace(state, offset=piece.end, tail_digest=digest(piece.tail), digest=None)
            result.bytes_read += piece.end - state.offset
            state = self._admission.records(file, taken, self._parse(piece.lines), result)
            file.searched = piece.end
            file.open_scan = True
            yield
        self._admission.grow_head(file, state, content)
        file.searched = lines.searched
        until = self._settle_unfinished(file, lines, content, result)
        if raw_digest is not None and until is None:
            self._admission.records(file, replace(_state(file), digest=raw_digest), [], result)
        file.wait(signature, until)

    def settle(self, file: Tracked, result: SweepResult) -> None:
        """Close the scan of a stream that has stopped growing for as long as that may take."""
        if not file.open_scan or file.state is None:
            return
        due = self._patience.with_stream(file)
        if self._patience.is_over(due):
            self._admission.close_scan(file)
        else:
            result.expect(due)

    def skip(self, file: Tracked, content: Content, end: int, result: SweepResult) -> None:
        """Make a stream known as read up to `end`, because its lines have been read under another name.

        Should it grow, it was no copy after all but a scan that began like another; then it is read from its start.
        """
        state = self._admission.register(file, content, "stream")
        state = replace(state, offset=end, tail_digest=digest(content.tail(end)), digest=COPY_MARK)
        state = self._admission.records(file, state, [], result)
        self._admission.grow_head(file, state, content)

    def _settle_unfinished(
        self, file: Tracked, lines: LineReader, content: Content, result: SweepResult
    ) -> float | None:
        """Deal with a last line that has no end; returns when to look at it again, if ever."""
        state = _state(file)
        line = lines.unfinished()
        if line is None or not line.data.strip():
            return None
        due = self._patience.with_stream(file)
        if not self._patience.is_over(due):
            result.waiting += 1
            result.expect(due)
            return due
        record = None if line.too_long else parse_line(line.data.removesuffix(b"\r"), line.offset, self._limits)
        if record is not None and not isinstance(record, BadLine):
            # A proper beginning of an object is never an object: only the line end is missing.
            end = line.offset + len(line.data)
            if not continues(state, content):
                result.again = True
                return self._patience.now()
            taken = replace(state, offset=end, tail_digest=digest(content.tail(end)), digest=None)
            self._admission.records(file, taken, [(line.offset, record)], result)
            file.searched = end
            file.open_scan = True
            return None
        due = self._patience.with_line(file)
        if not self._patience.is_over(due):
            result.waiting += 1
            result.expect(due)
            return due
        self._report_unfinished(file, state, line, result)
        return None

    def _report_unfinished(self, file: Tracked, state: FileState, line: Line, result: SweepResult) -> None:
        known = digest(line.data)
        if state.digest == known:
            return
        detail = "the last line has no end, and nothing was added to it"
        reject = Reject("truncated", detail, line.offset, excerpt=line.data[:EXCERPT_BYTES])
        if line.too_long:
            reject = self._too_long(line)
        self._admission.records(file, replace(state, digest=known), [(line.offset, BadLine(reject))], result)

    def _parse(self, lines: list[Line]) -> list[tuple[int, StreamRecord]]:
        records: list[tuple[int, StreamRecord]] = []
        for line in lines:
            if line.too_long:
                records.append((line.offset, BadLine(self._too_long(line))))
                continue
            record = parse_line(line.data, line.offset, self._limits)
            if not isinstance(record, BlankLine):
                records.append((line.offset, record))
        return records

    def _too_long(self, line: Line) -> Reject:
        detail = f"longer than {self._limits.max_line_bytes} bytes"
        return Reject("line_too_long", detail, line.offset, excerpt=line.data[:EXCERPT_BYTES])


def _state(file: Tracked) -> FileState:
    assert file.state is not None
    return file.state
