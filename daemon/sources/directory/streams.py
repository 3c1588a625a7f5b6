"""Reads files that grow: NDJSON, taken by whole lines."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from daemon.sources.directory.admission import Admission
from daemon.sources.directory.content import Content, end_of_lines
from daemon.sources.directory.lines import Line, LineReader, Piece
from daemon.sources.directory.patience import Patience
from daemon.sources.directory.proof import Proof, Prover, holds, prove
from daemon.sources.directory.state import FileState, Signature
from daemon.sources.directory.tracked import SweepResult, Tracked, signature_of
from daemon.sources.directory.turns import Turns
from daemon.sources.directory.verify import Verifier
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.limits import Limits, line_too_long
from pipeline.report.records import BadLine, BlankLine, MetaLine, StreamRecord
from pipeline.report.stream import parse_line

_HEAD_BYTES = 1 << 14  # of a stream, in which its host is looked for
COPY_MARK = "copy"  # stands for the digest of a stream whose lines were read under another name


class StreamReader:
    """Admits what is whole, line by line.

    Before anything is admitted, all that it follows must be known to be there still, and its own bytes, too: the file
    has the size and times that it had when that was last seen, or everything is read again. An unfinished last line is
    reported when it has stood still for long, but its bytes are never consumed: if the line is completed after all, it
    counts.
    """

    def __init__(
        self,
        admission: Admission,
        limits: Limits,
        patience: Patience,
        verifier: Verifier,
        chunk_bytes: int,
        turns: Turns,
    ) -> None:
        """`chunk_bytes` go into one transaction."""
        self._turns = turns
        self._admission = admission
        self._limits = limits
        self._patience = patience
        self._verifier = verifier
        self._chunk_bytes = chunk_bytes

    def read(
        self, file: Tracked, content: Content, signature: Signature, result: SweepResult, raw_digest: str | None = None
    ) -> Iterator[None]:
        """Read on; yields after each transaction.

        Args:
            raw_digest: of the compressed bytes; kept when all of the stream is dealt with.
        """
        state = file.state
        if state is None and not self._may_begin(file, content):
            return
        if state is not None and state.digest == COPY_MARK:
            if not (yield from self._still_there(file, state.proof, content)):
                file.signature = None
                result.again = True
                return
            if end_of_lines(content) <= state.offset:
                file.finish(signature)
                return
            self._admission.forget(file)
        state = self._admission.register(file, content, "stream")
        if state.samples is not None:  # the caller has compared them
            if not (yield from self._verifier.check(file, state, content)):
                result.again = True
                return
            state = _state(file)
        prover = Prover.resume(state.proof, content)
        if prover is None:
            result.again = True
            return
        lines = LineReader(content, state.offset, file.searched, self._chunk_bytes, self._limits.max_line_bytes)
        for piece in lines.pieces():
            yield from _follow(prover, piece, content)
            proof = prover.proof()
            if not (yield from self._still_there(file, proof, content)):
                result.again = True  # rewritten between two reads: what was read belongs nowhere
                return
            records = self._parse(piece.lines)
            if not self._may_pass(file, records):
                return
            result.bytes_read += piece.end - state.offset
            taken = state.consumed(proof, file.verified)
            state = self._admission.records(file, taken, records, result)
            file.searched = piece.end
            file.open_scan = True
            yield
        if not (yield from self._still_there(file, state.proof, content)):
            file.signature = None  # rewritten since it was looked at, with nothing behind what was read
            result.again = True
            return
        file.searched = lines.searched
        until = yield from self._settle_unfinished(file, lines, prover, content, result)
        if raw_digest is not None and until is None:
            self._admission.records(file, replace(_state(file), digest=raw_digest), [], result)
        file.wait(signature, until)

    def settle(self, file: Tracked, result: SweepResult) -> Iterator[None]:
        """Close the scan of a stream that has stopped growing for as long as that may take."""
        if not file.open_scan or file.state is None:
            return
        due = self._patience.with_stream(file)
        if not self._patience.is_over(due):
            result.expect(due)
            return
        if not self._may_pass(file, []):
            return
        if file.descriptor is not None and not file.compressed and file.drained and file.state.offset:
            # It was read while it was written, perhaps twice within one tick of the clock: make sure, and remember
            # how it looks, so that it need not be read again after a restart.
            content = Content(file.descriptor)
            if not (yield from self._verifier.check(file, file.state, content)):
                file.signature = None
                result.again = True
                return
            if file.verified is not None and file.state.seen != file.verified:
                self._admission.records(file, replace(file.state, seen=file.verified), [], result)
        self._admission.close_scan(file)

    def skip(self, file: Tracked, content: Content, end: int, result: SweepResult) -> Iterator[None]:
        """Make a stream known as read up to `end`, because its lines have been read under another name.

        Should it grow, it was no copy after all but a scan that began like another; then it is read from its start.
        """
        proof = yield from prove(content, end)
        state = self._admission.register(file, content, "stream")
        self._admission.records(file, state.consumed(proof, None, COPY_MARK), [], result)

    def _may_begin(self, file: Tracked, content: Content) -> bool:
        """Say whether a new stream may become known, which gives it its place in the order."""
        if self._turns.is_free:
            return True
        if not self._turns.may_ask(self._admission.host(file.path)):
            return False
        head = content.read(_HEAD_BYTES, 0)
        lines = ((0, parse_line(line, 0, self._limits)) for line in head.split(b"\n")[:-1])
        first = next((line for line in lines if isinstance(line[1], MetaLine)), None)
        return self._may_pass(file, [] if first is None else [first])

    def _may_pass(self, file: Tracked, records: Sequence[tuple[int, StreamRecord]]) -> bool:
        """Say whether lines need not wait for a document in hand: it is certain that all of them are of other hosts."""
        hosts: list[str | None] = []
        if not records or not isinstance(records[0][1], MetaLine):
            hosts.append(file.host)
        for _, record in records:
            if isinstance(record, MetaLine):
                name = record.fields.get("hostname")
                hosts.append(name if isinstance(name, str) else None)
        bound = self._admission.host(file.path)
        if not self._turns.may_pass(hosts if bound is None else [bound]):
            return False
        file.host = hosts[-1]
        return True

    def _still_there(self, file: Tracked, proof: Proof, content: Content) -> Generator[None, None, bool]:
        """Say whether the content begins with what a proof vouches for, part of which has just been read."""
        if content.data is not None:
            return True  # in our own memory
        signature = signature_of(content.descriptor)
        if file.verified is not None and file.verified == signature:
            return True
        if not (yield from holds(proof, content)):
            return False
        file.verified = self._verifier.trusted(signature)
        return True

    def _settle_unfinished(
        self, file: Tracked, lines: LineReader, prover: Prover, content: Content, result: SweepResult
    ) -> Generator[None, None, float | None]:
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
            if not self._may_pass(file, [(line.offset, record)]):
                return self._patience.now()
            yield from _follow(prover, Piece([], line.offset, line.offset + len(line.data), line.data), content)
            proof = prover.proof()
            if not (yield from self._still_there(file, proof, content)):
                result.again = True
                return self._patience.now()
            self._admission.records(file, state.consumed(proof, file.verified), [(line.offset, record)], result)
            file.searched = proof.offset
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
        known = content_digest(line.data)
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
        return Reject("line_too_long", line_too_long(self._limits), line.offset, excerpt=line.data[:EXCERPT_BYTES])


def _follow(prover: Prover, piece: Piece, content: Content) -> Iterator[None]:
    """Let a proof grow by what a piece was taken from, and by the NUL bytes in front of it."""
    yield from prover.read(content, piece.start)
    if piece.data is not None:
        prover.take(piece.data)
    else:
        yield from prover.read(content, piece.end)


def _state(file: Tracked) -> FileState:
    assert file.state is not None
    return file.state
