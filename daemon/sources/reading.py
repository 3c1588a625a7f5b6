"""Reads one file as far as it can be read now, and hands what is whole to the ledger."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from daemon.log import get_logger
from daemon.ports.inputs import FileIdentity, FileState, Intake
from daemon.sources.content import Content, continues, end_of_lines, identify
from daemon.sources.identity import HEAD_BYTES, read_all
from daemon.sources.lines import Line, LineReader
from daemon.sources.names import named_as_stream
from daemon.sources.settings import WatchSettings
from daemon.sources.tracked import Signature, SweepResult, Tracked
from pipeline.errors import Incomplete, QuarantineReason, ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.gunzip import GZIP_MAGIC, decompress
from pipeline.report.limits import Limits, line_too_long, too_large
from pipeline.report.read import Document, is_stream, read_document
from pipeline.report.records import BadLine, BlankLine, StreamRecord
from pipeline.report.stream import parse_line

logger = get_logger(__name__)

COPY_MARK = "copy"  # stands for the digest of a stream whose lines were read under another name
KIND_BYTES = 1 << 16  # enough to tell a stream from a document
_DOCUMENT_STARTS = (b"{", b"\xff\xfe", b"\xfe\xff")
# A file system stamps with the tick of the clock (4 to 10 ms), so two writes can carry the same time.
RACY_NS = 50_000_000


class Reader:
    """Admits the content of files; knows nothing of directories.

    A document is read whole and admitted when it parses; a stream is read by whole lines. What is not whole waits for
    `incomplete_after_s`; an unfinished line is then reported, but its bytes are never consumed: if the line is
    completed after all, it counts.
    """

    def __init__(
        self,
        intake: Intake,
        limits: Limits,
        settings: WatchSettings,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._intake = intake
        self._limits = limits
        self._settings = settings
        self._clock = clock
        self._wall_ns = wall_ns
        self._bind = _prefixes(settings.bind)
        self.final = False  # nothing is waited for any more: the program ends

    def read(self, file: Tracked, descriptor: int, result: SweepResult) -> Iterator[None]:
        """Read on; yields after each transaction. The caller has made sure that `file.state` still fits the content."""
        signature = signature_of(descriptor)
        file.note(signature, self._clock())
        content = Content(descriptor)
        file.compressed = content.read(len(GZIP_MAGIC), 0) == GZIP_MAGIC
        if file.compressed:
            yield from self._read_compressed(file, descriptor, signature, result)
        elif self._is_stream(file, content):
            yield from self._read_stream(file, content, signature, result)
        else:
            yield from self._read_document(file, descriptor, signature, result)

    def settle(self, file: Tracked, result: SweepResult) -> None:
        """Close the scan of a stream that has stopped growing for as long as that may take."""
        if not file.open_scan or file.state is None:
            return
        due = self._quiet_since(file) + self._idle_s(file)
        if self._clock() < due and not self.final:
            result.expect(due)
            return
        self._intake.close_stream(file.state.file_id)
        file.open_scan = False

    def report(self, file: Tracked, reason: QuarantineReason, detail: str, result: SweepResult) -> None:
        """Put a file into quarantine that was not even opened, once."""
        mark = content_digest(f"{reason}\0{file.path}".encode(errors="surrogateescape"))
        if file.state is not None and file.state.digest == mark:
            return
        state = file.state or self._intake.add_file(file.path, _unopened(file), "document")
        marked = replace(state, digest=mark)
        result.add(self._intake.admit_document(marked, [], [Reject(reason, detail)], self.host_key(file.path)))
        file.state = marked

    def skip(self, file: Tracked, descriptor: int, end: int) -> None:
        """Make a stream known as read up to `end`, because its lines have been read under another name.

        Should it grow, it was no copy after all but a scan that began like another; then it is read from its start.
        """
        content = Content(descriptor)
        state = self.register(file, content, "stream")
        state = replace(state, offset=end, tail_digest=content_digest(content.tail(end)), digest=COPY_MARK)
        self._intake.admit_records(state, [], self.host_key(file.path))
        file.state = state
        self._grow_head(file, state, content)

    def host_key(self, path: str) -> str | None:
        """Give the host that the place of a file stands for."""
        for prefix, host in self._bind:
            if path.startswith(prefix):
                return host
        return None

    def register(self, file: Tracked, content: Content, kind: Literal["document", "stream"]) -> FileState:
        """Make the file known to the ledger under its present identity."""
        state = file.state
        if state is not None and state.kind != kind:
            self._intake.drop_file(state.file_id)
            state = None
        if state is None:
            length = HEAD_BYTES if kind == "document" else 0
            state = self._intake.add_file(file.path, identify(content, length), kind)
            file.state = state
            file.searched = 0
        return state

    def _is_stream(self, file: Tracked, content: Content) -> bool:
        if file.state is not None and file.state.kind == "stream" and file.state.offset:
            return True
        start = content.skip_hole(0)
        if start is None:
            return file.was_stream or named_as_stream(file.path)
        head = content.read(KIND_BYTES, start)
        answer = is_stream(head, self._limits)
        if answer is None and len(head) == KIND_BYTES:  # a very long first line
            answer = is_stream(content.read(2 * self._limits.max_line_bytes, start), self._limits)
        if not answer and not head.lstrip().startswith(_DOCUMENT_STARTS):
            # The end of a line whose beginning was cut away with the old content (copytruncate), or rubbish.
            return file.was_stream or bool(is_stream(head[head.find(b"\n") + 1 :], self._limits))
        return bool(answer)

    # Documents

    def _read_document(
        self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult
    ) -> Iterator[None]:
        if signature[0] > self._limits.max_bytes:
            self._refuse_size(file, descriptor, signature, result)
            return
        raw = read_all(descriptor, self._limits.max_bytes + 1)
        if signature_of(descriptor) != signature:  # it changed under our eyes; nothing that was read counts
            file.wait(signature, self._clock())
            result.again = True
            return
        result.bytes_read += len(raw)
        yield from self._admit_document(file, descriptor, raw, signature, result)

    def _admit_document(
        self, file: Tracked, descriptor: int, raw: bytes, signature: Signature, result: SweepResult
    ) -> Iterator[None]:
        known = content_digest(raw)
        if file.state is not None and file.state.digest == known:
            self._finish_document(file, signature)
            return
        try:
            document = self._parse_document(file, raw)
        except ReportError as error:
            self._wait_or_refuse(file, descriptor, raw, signature, error, result)
            yield
            return
        state = self.register(file, Content(descriptor), "document")
        admitted = replace(state, digest=known, offset=len(raw))
        result.add(self._intake.admit_document(admitted, document.reports, document.rejects, self.host_key(file.path)))
        file.state = admitted
        self._finish_document(file, signature)
        yield

    def _parse_document(self, file: Tracked, raw: bytes) -> Document:
        try:
            return read_document(raw, self._limits)
        except Incomplete as error:
            if self._clock() < self._patient_until(file, error) and not self.final:
                raise
        # Nothing more is coming: whole reports in front of the cut one count.
        return read_document(raw, self._limits, final=True)

    def _patient_until(self, file: Tracked, error: ReportError) -> float:
        patience = self._settings.settle_s
        if isinstance(error, Incomplete):
            patience = self._settings.incomplete_after_s
        if file.gone_at is not None:
            patience = min(patience, self._settings.rotate_wait_s)
        return self._quiet_since(file) + patience

    def _finish_document(self, file: Tracked, signature: Signature) -> None:
        file.finish(signature)
        if file.gone_at is None and abs(self._wall_ns() - signature[2]) < RACY_NS:
            file.drained = False  # a change within the same tick would not show: look once more

    def _wait_or_refuse(
        self,
        file: Tracked,
        descriptor: int,
        raw: bytes,
        signature: Signature,
        error: ReportError,
        result: SweepResult,
    ) -> None:
        due = self._patient_until(file, error)
        if self._clock() < due and not self.final:
            file.wait(signature, due)
            result.waiting += 1
            result.expect(due)
            return
        reject = Reject(error.reason, error.detail, error.offset, excerpt=raw[:EXCERPT_BYTES])
        self._quarantine(file, Content(descriptor), content_digest(raw), len(raw), reject, result)
        file.finish(signature)

    def _refuse_size(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> None:
        mark = content_digest(f"too_large\0{file.path}".encode(errors="surrogateescape"))
        if file.state is None or file.state.digest != mark:
            reject = Reject("too_large", too_large(self._limits).detail, excerpt=os.pread(descriptor, EXCERPT_BYTES, 0))
            self._quarantine(file, Content(descriptor), mark, 0, reject, result)
        file.finish(signature)

    def _quarantine(
        self, file: Tracked, content: Content, known: str, size: int, reject: Reject, result: SweepResult
    ) -> None:
        state = replace(self.register(file, content, "document"), digest=known, offset=size)
        result.add(self._intake.admit_document(state, [], [reject], self.host_key(file.path)))
        file.state = state

    # Compressed files

    def _read_compressed(
        self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult
    ) -> Iterator[None]:
        if signature[0] > self._limits.max_bytes:
            self._refuse_size(file, descriptor, signature, result)
            return
        raw = read_all(descriptor, self._limits.max_bytes + 1)
        if signature_of(descriptor) != signature:
            file.wait(signature, self._clock())
            result.again = True
            return
        known = content_digest(raw)
        if file.state is not None and file.state.digest == known:
            self._finish_document(file, signature)
            return
        result.bytes_read += len(raw)
        try:
            data = decompress(raw, self._limits)
        except ReportError as error:
            self._wait_or_refuse(file, descriptor, raw, signature, error, result)
            yield
            return
        content = Content(descriptor, data)
        state = file.state
        if state is not None and state.kind == "stream" and not continues(state, content):
            self._intake.drop_file(state.file_id)
            file.restart()
        if not self._is_stream(file, content):
            yield from self._admit_document(file, descriptor, raw, signature, result)
            return
        yield from self._read_stream(file, content, signature, result, known)

    # Streams

    def _read_stream(
        self, file: Tracked, content: Content, signature: Signature, result: SweepResult, raw_digest: str | None = None
    ) -> Iterator[None]:
        state = file.state
        if state is not None and state.digest == COPY_MARK:
            if end_of_lines(content) <= state.offset:
                file.finish(signature)
                return
            self._intake.drop_file(state.file_id)
            file.restart()
        state = self.register(file, content, "stream")
        host_key = self.host_key(file.path)
        lines = LineReader(
            content, state.offset, file.searched, self._settings.chunk_bytes, self._limits.max_line_bytes
        )
        for piece in lines.pieces():
            if not continues(state, content):  # rewritten between two reads: what was read belongs nowhere
                result.again = True
                return
            records = self._parse(piece.lines)
            taken = replace(state, offset=piece.end, tail_digest=content_digest(piece.tail), digest=None)
            result.add(self._intake.admit_records(taken, records, host_key))
            result.bytes_read += piece.end - state.offset
            state = file.state = taken
            file.searched = piece.end
            file.open_scan = True
            yield
        self._grow_head(file, state, content)
        file.searched = lines.searched
        until = self._settle_unfinished(file, lines, content, result)
        if raw_digest is not None and until is None:
            done = replace(_state(file), digest=raw_digest)
            result.add(self._intake.admit_records(done, [], host_key))
            file.state = done
        file.wait(signature, until)

    def _grow_head(self, file: Tracked, state: FileState, content: Content) -> None:
        """Let the head digest cover more of what has been consumed."""
        length = min(HEAD_BYTES, state.offset)
        if state.identity.head_length >= length:
            return
        identity = identify(content, length)
        if identity.head_length == length and continues(state, content):
            grown = replace(state, identity=identity)
            self._intake.update_file(grown)
            file.state = grown

    def _settle_unfinished(
        self, file: Tracked, lines: LineReader, content: Content, result: SweepResult
    ) -> float | None:
        """Deal with a last line that has no end; returns when to look at it again, if ever."""
        state = _state(file)
        line = lines.unfinished()
        if line is None or not line.data.strip():
            return None
        quiet_since = self._quiet_since(file)
        now = self._clock()
        idle_s = self._idle_s(file)
        if now < quiet_since + idle_s and not self.final:
            result.waiting += 1
            result.expect(quiet_since + idle_s)
            return quiet_since + idle_s
        record = None if line.too_long else parse_line(line.data.removesuffix(b"\r"), line.offset, self._limits)
        if record is not None and not isinstance(record, BadLine):
            # A proper beginning of an object is never an object: only the line end is missing.
            end = line.offset + len(line.data)
            taken = replace(state, offset=end, tail_digest=content_digest(content.tail(end)), digest=None)
            if not continues(state, content):
                result.again = True
                return now
            result.add(self._intake.admit_records(taken, [(line.offset, record)], self.host_key(file.path)))
            file.state = taken
            file.searched = end
            file.open_scan = True
            return None
        hurried = self.final or file.gone_at is not None or file.renamed or file.compressed
        due = quiet_since + (idle_s if hurried else max(idle_s, self._settings.incomplete_after_s))
        if now < due and not self.final:
            result.waiting += 1
            result.expect(due)
            return due
        self._report_unfinished(file, state, line, result)
        return None

    def _report_unfinished(self, file: Tracked, state: FileState, line: Line, result: SweepResult) -> None:
        known = content_digest(line.data)
        if state.digest == known:
            return
        detail = "the last line has no end, and nothing was added to it"
        reject = Reject("truncated", detail, line.offset, excerpt=line.data[:EXCERPT_BYTES])
        if line.too_long:
            reject = Reject(
                "line_too_long",
                line_too_long(self._limits),
                line.offset,
                excerpt=line.data[:EXCERPT_BYTES],
            )
        told = replace(state, digest=known)
        result.add(self._intake.admit_records(told, [(line.offset, BadLine(reject))], self.host_key(file.path)))
        file.state = told

    def _parse(self, lines: list[Line]) -> list[tuple[int, StreamRecord]]:
        records: list[tuple[int, StreamRecord]] = []
        for line in lines:
            if line.too_long:
                reject = Reject(
                    "line_too_long", line_too_long(self._limits), line.offset, excerpt=line.data[:EXCERPT_BYTES]
                )
                records.append((line.offset, BadLine(reject)))
                continue
            record = parse_line(line.data, line.offset, self._limits)
            if not isinstance(record, BlankLine):
                records.append((line.offset, record))
        return records

    def _idle_s(self, file: Tracked) -> float:
        if file.gone_at is not None or file.renamed or file.compressed:
            return self._settings.rotate_wait_s
        return self._settings.stream_idle_s

    def _quiet_since(self, file: Tracked) -> float:
        return max(file.changed_at, file.gone_at or file.changed_at)


def signature_of(descriptor: int) -> Signature:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _state(file: Tracked) -> FileState:
    assert file.state is not None
    return file.state


def _unopened(file: Tracked) -> FileIdentity:
    return FileIdentity(file.device, file.inode, None, 0, content_digest(b""))


def _prefixes(bind: Mapping[str, str]) -> list[tuple[str, str]]:
    """Order directories so that the most precise comes first."""
    pairs = [(f"{Path(directory).absolute()}".rstrip("/") + "/", host) for directory, host in bind.items()]
    return sorted(pairs, key=lambda pair: (-len(pair[0]), pair))
