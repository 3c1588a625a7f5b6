"""Reports from standard input or another stream of bytes that can be read only once."""

from collections.abc import Callable, Iterator

from daemon.ports.inputs import Input, Inputs
from daemon.sources.directory.tracked import SweepResult
from pipeline.errors import ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.limits import Limits, line_too_long, too_large
from pipeline.report.read import is_stream, read_document
from pipeline.report.records import BadLine, BlankLine, StreamRecord
from pipeline.report.stream import parse_line

KIND = "standard_input"
NAME = "-"
READ_BYTES = 1 << 16


class StandardInput:
    """Admits NDJSON line by line as it comes, and anything else when it has ended.

    What was read once cannot be read again, so there is nothing to resume: whatever an earlier run left open is
    closed, and a report that is piped in once more is a redelivery for the ledger to recognise.
    """

    def __init__(
        self, read: Callable[[int], bytes], inputs: Inputs, limits: Limits, host_key: str | None = None
    ) -> None:
        """Args: `read`: gives at most so many bytes, as soon as there are any; nothing at the end (`read1`)."""
        self._read = read
        self._inputs = inputs
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
        for left in self._inputs.known(KIND):
            self._inputs.drop(left.input_id)
        head = b""
        answer: bool | None = None
        while answer is None and len(head) <= self._limits.max_bytes:
            data = self._read(READ_BYTES)
            if not data:
                break
            head += data
            answer = is_stream(head, self._limits)
            yield
        source = self._inputs.add(KIND, NAME)
        try:
            if answer:
                yield from self._lines(source, head, result)
            else:
                yield from self._document(source, head, result)
        finally:
            self._inputs.drop(source.input_id)

    def _document(self, source: Input, head: bytes, result: SweepResult) -> Iterator[None]:
        parts = [head]
        size = len(head)
        while size <= self._limits.max_bytes and (data := self._read(READ_BYTES)):
            parts.append(data)
            size += len(data)
            yield
        raw = b"".join(parts)
        result.bytes_read += size
        digest = content_digest(raw)
        try:
            if size > self._limits.max_bytes:
                raise too_large(self._limits)
            document = read_document(raw, self._limits, final=True)
        except ReportError as error:
            reject = Reject(error.reason, error.detail, error.offset, excerpt=raw[:EXCERPT_BYTES])
            result.add(self._inputs.admit_document(source, digest, [], [reject], self._host_key))
            return
        result.add(self._inputs.admit_document(source, digest, document.reports, document.rejects, self._host_key))

    def _lines(self, source: Input, rest: bytes, result: SweepResult) -> Iterator[None]:
        offset = 0  # of `rest`
        told = 0  # how many bytes were handed over
        too_long: bytes | None = None  # the beginning of a line that is being passed over
        line_offset = 0
        ended = False
        while not ended:
            records: list[tuple[int, StreamRecord]] = []
            end = len(rest) if ended else rest.rfind(b"\n") + 1
            for text in _split(rest[:end]):
                if too_long is not None:
                    records.append((line_offset, self._too_long(line_offset, too_long)))
                    too_long = None
                else:
                    records.append((offset, self._record(text, offset)))
                offset += len(text)
            rest = rest[end:]
            if len(rest) > self._limits.max_line_bytes:
                if too_long is None:
                    too_long, line_offset = rest[:EXCERPT_BYTES], offset
                offset += len(rest)
                rest = b""
            if records or end:
                self._admit(source, records, offset - told, result)
                told = offset
            yield
            data = self._read(READ_BYTES)
            ended = not data
            rest += data
        last: list[tuple[int, StreamRecord]] = []
        if too_long is not None:
            last.append((line_offset, self._too_long(line_offset, too_long)))
        elif rest.strip():
            last.append((offset, self._record(rest, offset)))
        self._admit(source, last, offset + len(rest) - told, result)

    def _admit(
        self, source: Input, records: list[tuple[int, StreamRecord]], consumed: int, result: SweepResult
    ) -> None:
        result.bytes_read += consumed
        records = [pair for pair in records if not isinstance(pair[1], BlankLine)]
        result.add(self._inputs.admit_records(source, records, self._host_key))

    def _record(self, text: bytes, offset: int) -> StreamRecord:
        return parse_line(text, offset, self._limits)

    def _too_long(self, offset: int, beginning: bytes) -> BadLine:
        return BadLine(Reject("line_too_long", line_too_long(self._limits), offset, excerpt=beginning))


def _split(data: bytes) -> list[bytes]:
    """Split after each line feed, and nowhere else."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]
