"""Reports from standard input or another stream of bytes that can be read only once."""

from collections.abc import Callable, Iterator

from daemon.ports.inputs import FileIdentity, FileState, Intake
from daemon.sources.identity import HEAD_BYTES, TAIL_BYTES
from daemon.sources.tracked import SweepResult
from pipeline.errors import ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.limits import Limits, line_too_long, too_large
from pipeline.report.read import is_stream, read_document
from pipeline.report.records import BadLine, BlankLine, StreamRecord
from pipeline.report.stream import parse_line

NAME = "-"
READ_BYTES = 1 << 16


class StandardInput:
    """Admits NDJSON line by line as it comes, and anything else when it has ended.

    What was read once cannot be read again, so there is nothing to resume: whatever an earlier run left open is
    closed, and a report that is piped in once more is a redelivery for the ledger to recognise.
    """

    def __init__(
        self, read: Callable[[int], bytes], intake: Intake, limits: Limits, host_key: str | None = None
    ) -> None:
        """Args: `read`: gives at most so many bytes, as soon as there are any; nothing at the end (`read1`)."""
        self._read = read
        self._intake = intake
        self._limits = limits
        self._host_key = host_key

    def read_all(self) -> SweepResult:
        """Read to the end."""
        result = SweepResult()
        for _ in self.steps(result):
            pass
        return result

    def steps(self, result: SweepResult) -> Iterator[None]:
        """Do what `read_all` does; yields after each read."""
        for state in self._intake.files():
            if state.path == NAME:
                self._intake.drop_file(state.file_id)
        head = b""
        answer: bool | None = None
        while answer is None and len(head) <= self._limits.max_bytes:
            data = self._read(READ_BYTES)
            if not data:
                break
            head += data
            answer = is_stream(head, self._limits)
            yield
        state = self._intake.add_file(NAME, _identity(head), "stream" if answer else "document")
        try:
            if answer:
                yield from self._lines(state, head, result)
            else:
                yield from self._document(state, head, result)
        finally:
            self._intake.drop_file(state.file_id)

    def _document(self, state: FileState, head: bytes, result: SweepResult) -> Iterator[None]:
        parts = [head]
        size = len(head)
        while size <= self._limits.max_bytes and (data := self._read(READ_BYTES)):
            parts.append(data)
            size += len(data)
            yield
        raw = b"".join(parts)
        result.bytes_read += size
        state = FileState(state.file_id, NAME, state.identity, "document", size, digest=content_digest(raw))
        try:
            if size > self._limits.max_bytes:
                raise too_large(self._limits)
            document = read_document(raw, self._limits, final=True)
        except ReportError as error:
            reject = Reject(error.reason, error.detail, error.offset, excerpt=raw[:EXCERPT_BYTES])
            result.add(self._intake.admit_document(state, [], [reject], self._host_key))
            return
        result.add(self._intake.admit_document(state, document.reports, document.rejects, self._host_key))

    def _lines(self, state: FileState, rest: bytes, result: SweepResult) -> Iterator[None]:
        offset = 0  # of `rest`
        too_long: bytes | None = None  # the beginning of a line that is being passed over
        line_offset = 0
        tail = b""
        ended = False
        while not ended:
            records: list[tuple[int, StreamRecord]] = []
            end = len(rest) if ended else rest.rfind(b"\n") + 1
            for text in rest[:end].splitlines(keepends=True) if False else _split(rest[:end]):
                if too_long is not None:
                    records.append((line_offset, self._too_long(line_offset, too_long)))
                    too_long = None
                else:
                    records.append((offset, self._record(text, offset)))
                offset += len(text)
            tail = (tail + rest[:end])[-TAIL_BYTES:]
            rest = rest[end:]
            if len(rest) > self._limits.max_line_bytes:
                if too_long is None:
                    too_long, line_offset = rest[:EXCERPT_BYTES], offset
                offset += len(rest)
                tail = (tail + rest)[-TAIL_BYTES:]
                rest = b""
            if records or end:
                state = self._admit(state, records, offset, tail, result)
            yield
            data = self._read(READ_BYTES)
            ended = not data
            rest += data
        last: list[tuple[int, StreamRecord]] = []
        if too_long is not None:
            last.append((line_offset, self._too_long(line_offset, too_long)))
        elif rest.strip():
            last.append((offset, self._record(rest, offset)))
        self._admit(state, last, offset + len(rest), (tail + rest)[-TAIL_BYTES:], result)

    def _admit(
        self, state: FileState, records: list[tuple[int, StreamRecord]], offset: int, tail: bytes, result: SweepResult
    ) -> FileState:
        result.bytes_read += offset - state.offset
        state = FileState(state.file_id, NAME, state.identity, "stream", offset, content_digest(tail))
        records = [pair for pair in records if not isinstance(pair[1], BlankLine)]
        result.add(self._intake.admit_records(state, records, self._host_key))
        return state

    def _record(self, text: bytes, offset: int) -> StreamRecord:
        return parse_line(text, offset, self._limits)

    def _too_long(self, offset: int, beginning: bytes) -> BadLine:
        return BadLine(Reject("line_too_long", line_too_long(self._limits), offset, excerpt=beginning))


def _split(data: bytes) -> list[bytes]:
    """Split after each line feed, and nowhere else."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _identity(head: bytes) -> FileIdentity:
    head = head[:HEAD_BYTES]
    return FileIdentity(0, 0, None, len(head), content_digest(head))
