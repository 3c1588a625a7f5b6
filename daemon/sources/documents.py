"""The one entrance for a whole document, whatever brought it: a file, a pipe, the value of a message.

A small document is read and stored at once. A large one is read in a process of its own (`daemon.parser`) and stored in
pieces, so that others get their turn; nothing of it counts before all of it is there. What becomes of a document does
not depend on where it was read.
"""

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from daemon.log import get_logger
from daemon.parser import DocumentParser, ParserFailed
from daemon.ports.inputs import Admitted, Admitting, Input, Staging
from pipeline.errors import ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.decompress import beginning, is_compressed
from pipeline.report.limits import Limits, too_large
from pipeline.report.pieces import Findings, Hosts, Piece, Rejects, ReportBegins, ReportEnds, Whole, cut
from pipeline.report.read import read_patiently

logger = get_logger(__name__)

LARGE_BYTES = 256 << 10  # unpacked; a hostile document of this size is half a second of one step, a real one 20 ms
SAFE_BYTES = 4 << 20  # may be read here where no process can be started: a hostile one takes some 120 MB
ATTEMPTS = 2  # processes that may end over a document; the second one has read nothing else
_STORED_ROWS = 2_000  # findings of one transaction, some 30 ms
_STORED_BYTES = 1 << 20
_SLICE_BYTES = 4 << 20  # of what is hashed or copied in one step, some 10 ms


class Changed(Exception):
    """Raised when a document is another one by the time it has been read; what was read of it counts for nothing."""


class NoParser(Exception):
    """Raised when the process that reads large documents cannot be started just now; the message says why."""


@dataclass(slots=True)
class Delivery:
    """A document, and where it is to go.

    Attributes:
        descriptor: of a file that holds it, from the start; whoever delivers it keeps that open, and closes it.
        size: in bytes, as it lies there.
        digest: of these bytes.
        open: makes the input known that it comes from, with the position behind the document. It is called when the
            document proves usable, and once more at the end.
        final: nothing more will be written, so what is whole in front of a cut counts.
        host_key, as_of: as `Inputs.admit_document` has them.
        at_once: it cannot wait for better times, because the program ends.
        hosts: which hosts its reports name, once that is known.
    """

    descriptor: int
    size: int
    digest: str
    open: Callable[[], Input]
    final: bool = True
    host_key: str | None = None
    as_of: str | None = None
    at_once: bool = False
    hosts: tuple[str | None, ...] | None = field(default=None, init=False)


class Documents:
    """Takes documents in: one for each source, all of them on one parser."""

    def __init__(self, inputs: Admitting, limits: Limits, parser: DocumentParser | None = None) -> None:
        """Args: `parser`: None has large documents read here, too."""
        self._inputs = inputs
        self._limits = limits
        self._parser = parser

    @property
    def waiting(self) -> bool:
        """Whether it is the parser's turn: `rest` before the next step."""
        return self._parser is not None and self._parser.waiting

    async def rest(self) -> None:
        """Let others run until there may be something to do."""
        if self._parser is not None and self._parser.waiting:
            await self._parser.rest()
        else:
            await asyncio.sleep(0)

    def rest_here(self) -> None:
        """Block until there may be something to do."""
        if self.waiting:
            time.sleep(0.001)

    async def admit(
        self,
        document: "bytes | Spool",
        source: Input,
        host_key: str | None = None,
        as_of: str | None = None,
        tell: Callable[[], None] = lambda: None,
    ) -> Admitted:
        """Take in a document that is there as a whole; one of which nothing can be used goes into the quarantine.

        Args:
            document: the bytes as they came, perhaps compressed.
            source: carries the position behind the document, which is stored with what is in it.
            host_key: whose host it is, whatever its reports say; see `Inputs`.
            as_of: when a report is from that does not say so itself.
            tell: called between the steps, as a sign of life; what it raises ends it, and nothing of it counts.

        Raises:
            NoParser, LedgerError: nothing of it counts; it may be offered again.
        """
        with Spool() as spooled:
            if isinstance(document, bytes):
                for start in range(0, len(document), _SLICE_BYTES):
                    spooled.write(document[start : start + _SLICE_BYTES])
                    await asyncio.sleep(0)
                document = spooled
            with contextlib.closing(self._admit(document, source, host_key, as_of)) as steps:
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        admitted: Admitted = end.value
                        return admitted
                    tell()
                    await self.rest()

    def take(self, delivery: Delivery) -> Generator[None, None, Admitted]:
        """Take a large document in; yields after each step. Whoever closes this leaves nothing of it behind.

        Raises:
            ReportError: when nothing of it can be used; it may be `Incomplete`.
            Changed: when it is another one by now.
            NoParser: when it has to wait for better times.
            LedgerError: when nothing can be stored just now.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return (yield from self._take(delivery))
            except ParserFailed as error:
                if attempt == ATTEMPTS or error.certain:
                    raise ReportError(error.reason, error.detail) from error
        raise AssertionError("unreachable")

    def _admit(
        self, spool: "Spool", source: Input, host_key: str | None, as_of: str | None
    ) -> Generator[None, None, Admitted]:
        digest = spool.digest
        try:
            if spool.size > self._limits.max_bytes:
                raise too_large(self._limits)
            if spool.is_compressed and not beginning(spool.data, self._limits, LARGE_BYTES)[1]:
                spool.spill()
            if spool.descriptor is None:
                document = read_patiently(spool.data, self._limits, final=True)
                return self._inputs.admit_document(source, digest, document.reports, document.rejects, host_key, as_of)
            delivery = Delivery(spool.descriptor, spool.size, digest, lambda: source, True, host_key, as_of)
            return (yield from self.take(delivery))
        except ReportError as error:
            reject = Reject(error.reason, error.detail, error.offset, excerpt=spool.beginning)
            return self._inputs.admit_document(source, digest, [], [reject], host_key)

    def _take(self, delivery: Delivery) -> Generator[None, None, Admitted]:
        storing = _Storing(self._inputs, delivery, self._limits)
        pieces = self._pieces(delivery)
        try:
            for piece in pieces:
                if piece is None or storing.take(piece):
                    yield
            return storing.finish()
        finally:
            storing.drop()
            if isinstance(pieces, Generator):
                pieces.close()

    def _pieces(self, delivery: Delivery) -> Iterator[Piece | None]:
        if self._parser is not None:
            pieces = self._parser.read(delivery.descriptor, final=delivery.final)
            try:
                yield from pieces
                return
            except OSError as error:
                if delivery.size > SAFE_BYTES and not delivery.at_once:
                    raise NoParser(f"the process that reads large documents cannot be started: {error}") from error
                logger.warning("parser.not_started", error=str(error), advice="it is read here")
        raw = read_all(delivery.descriptor, self._limits.max_bytes + 1)
        if len(raw) > self._limits.max_bytes:
            raise too_large(self._limits)
        digest = content_digest(raw)
        yield from cut(read_patiently(raw, self._limits, delivery.final), digest)


class _Storing:
    """What has come of a document so far, on its way into the ledger."""

    def __init__(self, inputs: Admitting, delivery: Delivery, limits: Limits) -> None:
        self._inputs = inputs
        self._delivery = delivery
        self._staging: Staging | None = None
        self._rows: list[bytes] = []
        self._size = 0
        self._digest: str | None = None

    def take(self, piece: Piece) -> bool:
        """Take a piece; returns whether that was a step worth yielding after."""
        delivery = self._delivery
        if isinstance(piece, Findings):
            self._rows += piece.rows
            self._size += sum(map(len, piece.rows))
            return (len(self._rows) >= _STORED_ROWS or self._size >= _STORED_BYTES) and self._store()
        if isinstance(piece, Hosts):
            delivery.hosts = piece.names
            return True
        if isinstance(piece, Whole):
            self._digest = piece.digest
            return False
        if self._staging is None:
            self._staging = self._inputs.stage(delivery.open(), delivery.host_key, delivery.as_of)
        if isinstance(piece, ReportBegins):
            self._staging.begin(piece.decoded(), piece.digest)
        elif isinstance(piece, Rejects):
            self._staging.reject(piece.rejects)
        elif isinstance(piece, ReportEnds):
            self._store()
            self._staging.end(piece.complete)
        return True

    def finish(self) -> Admitted:
        """Let it count."""
        if self._digest != self._delivery.digest:
            raise Changed
        source = self._delivery.open()
        if self._staging is None:
            return self._inputs.admit_document(source, self._delivery.digest, [], [], self._delivery.host_key)
        return self._staging.finish(source, self._delivery.digest)

    def drop(self) -> None:
        if self._staging is not None:
            self._staging.drop()

    def _store(self) -> bool:
        if self._rows and self._staging is not None:
            self._staging.add(self._rows)
            self._rows, self._size = [], 0
        return True


class Spool:
    """A document as it comes: in memory while it is small, and then in a file that has no name.

    Attributes:
        size: how many bytes have come.
        beginning: the first of them, for a person to look at.
        descriptor: of the file, or None where `data` has it all.
    """

    def __init__(self) -> None:
        self.size = 0
        self.beginning = b""
        self.descriptor: int | None = None
        self.data = b""
        self._state = hashlib.sha256()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def digest(self) -> str:
        """Of all that has come."""
        return self._state.hexdigest()

    @property
    def is_compressed(self) -> bool:
        """Whether it is small, and may be large once it is unpacked."""
        return self.descriptor is None and is_compressed(self.data)

    def spill(self) -> None:
        """Go on in a file, however small it is.

        Raises:
            OSError: when there is no descriptor for one.
        """
        if self.descriptor is None:
            self.descriptor = os.memfd_create("document")
            _write_all(self.descriptor, self.data, 0)
            self.data = b""

    def write(self, data: bytes) -> None:
        """Take more.

        Raises:
            OSError: when there is no room or no descriptor for it; it was not taken.
        """
        if self.size + len(data) > LARGE_BYTES:
            self.spill()
        if self.descriptor is not None:
            _write_all(self.descriptor, data, self.size)
        else:
            self.data += data
        self.size += len(data)
        self._state.update(data)
        if len(self.beginning) < EXCERPT_BYTES:
            self.beginning = (self.beginning + data)[:EXCERPT_BYTES]

    def close(self) -> None:
        """Give it up."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def read_all(descriptor: int, limit: int) -> bytes:
    """Read from the start to the end, but stop after `limit` bytes."""
    pieces: list[bytes] = []
    position = 0
    while position < limit and (piece := os.pread(descriptor, min(1 << 20, limit - position), position)):
        pieces.append(piece)
        position += len(piece)
    return b"".join(pieces)


def digest_of(descriptor: int) -> Generator[None, None, str]:
    """Hash what a file holds, as `content_digest` does; yields now and then."""
    state = hashlib.sha256()
    position = 0
    while piece := os.pread(descriptor, _SLICE_BYTES, position):
        state.update(piece)
        position += len(piece)
        yield
    return state.hexdigest()


def _write_all(descriptor: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while len(view):
        written = os.pwrite(descriptor, view, position)
        position += written
        view = view[written:]
