"""Reports from standard input or another stream of bytes that can be read only once."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Protocol

from daemon.parser import DocumentParser
from daemon.ports.inputs import Input, Inputs
from daemon.ports.source import Taken
from daemon.sources.documents import Documents, NoParser, Spool
from daemon.waiting import wait_for_any
from pipeline.errors import LedgerError, SourceError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.report.limits import Limits, line_too_long
from pipeline.report.read import is_stream
from pipeline.report.records import BadLine, BlankLine, StreamRecord
from pipeline.report.stream import parse_line

KIND = "stdin"
NAME = "-"
READ_BYTES = 1 << 16
_TELL_S = 1.0  # between two signs of life, and two looks at whether the ledger has room again

Read = Callable[[int], Awaitable[bytes]]  # gives at most so many bytes, as soon as there are any; none at the end


class StandardInput:
    """A `daemon.ports.source.Source`: admits NDJSON line by line as it comes, and anything else when it has ended.

    What was read once cannot be read again, so there is nothing to resume in another process: whatever an earlier run
    left open is closed, and a report that is piped in once more is a redelivery for the ledger to recognise.
    """

    kind = KIND
    name = NAME
    ready = True  # nothing is missed: the writer waits for us
    healthy = True
    overflows = 0

    def __init__(
        self,
        read: Read,
        inputs: Inputs,
        limits: Limits,
        host_key: str | None = None,
        *,
        blocked: Callable[[], bool] = lambda: False,
        parser: DocumentParser | None = None,
    ) -> None:
        """Nothing is read before `run`.

        Args:
            blocked: says that the ledger takes nothing more just now.
            parser: reads large documents; None has them read here.
        """
        self._documents = Documents(inputs, limits, parser)
        self._read = read
        self._inputs = inputs
        self._limits = limits
        self._host_key = host_key
        self._blocked = blocked
        self._begun = self._ended = False
        self._beginning = b""  # until it shows what it is
        self._content: _Content | None = None
        self._input: Input | None = None
        self._reading: asyncio.Future[bytes] | None = None
        self._taken = Taken()  # that nobody was told of

    def problems(self) -> list[str]:
        """Say that there are none."""
        return []

    def look_again(self) -> None:
        """Do nothing: everything is read as it comes."""

    def release(self) -> bool:
        """Give nothing back: the one descriptor is in use."""
        return False

    async def run(self, stop: asyncio.Event, told: Callable[[Taken], None], *, dry: bool = False) -> None:
        """Read to the end or until told to stop, and close the open scan. Not `dry`, wait then until told to stop.

        Raises:
            SourceError: when it cannot be read.
            LedgerError: when the ledger takes nothing more. Run again, it hands over what it has read, and goes on.
        """
        told_at = asyncio.get_running_loop().time()
        self._begin()
        try:
            while not self._ended and not stop.is_set():
                data = await self._next(stop)
                if data is not None:
                    self._take(data)
                await self._hand_over(told)
                now = asyncio.get_running_loop().time()
                if self._taken.admitted.scans or now - told_at >= _TELL_S:
                    told_at = now
                    self._tell(told)
        finally:
            if self._reading is not None:
                self._reading.cancel()
                self._reading = None
        await self._hand_over(told)
        self._close()
        self._tell(told)
        while not dry and not stop.is_set():
            await wait_for_any(_TELL_S, stop)
            self._tell(told)

    async def _next(self, stop: asyncio.Event) -> bytes | None:
        """Give the next bytes; None when there are none for a while, or when it is time to stop."""
        if self._blocked():
            await wait_for_any(_TELL_S, stop)
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read(READ_BYTES))
        await wait_for_any(_TELL_S, stop, self._reading)
        if not self._reading.done():
            return None
        reading, self._reading = self._reading, None
        try:
            return reading.result()
        except OSError as error:
            raise SourceError(f"standard input: cannot be read: {error.strerror}") from error

    def _take(self, data: bytes) -> None:
        """Take the next bytes, none at the end."""
        if self._content is None:
            self._beginning += data
            answer = is_stream(self._beginning, self._limits) if data else None
            if answer is None and data and len(self._beginning) <= self._limits.max_bytes:
                return
            self._content = _Lines(self._limits) if answer else _Document(self._limits, self._documents)
            self._content.take(self._beginning)
            self._beginning = b""
        else:
            self._content.take(data)
        if not data or self._content.full:
            self._ended = True
            self._content.end()

    # The ledger

    def _begin(self) -> None:
        """Close what an earlier run left open."""
        if self._begun:
            return
        for left in self._inputs.known(KIND):
            self._inputs.drop(left.input_id)
        self._begun = True

    async def _hand_over(self, told: Callable[[Taken], None]) -> None:
        """Give the ledger what it has not taken yet."""
        if self._content is None or not self._content.due:
            return
        if self._input is None:
            self._input = self._inputs.add(KIND, NAME)
        taken = await self._content.hand_over(self._inputs, self._input, self._host_key, lambda: told(Taken()))
        self._taken = Taken(self._taken.bytes_read + taken.bytes_read, self._taken.admitted + taken.admitted)

    def _close(self) -> None:
        if self._input is not None:
            self._inputs.drop(self._input.input_id)
            self._input = self._content = None

    def _tell(self, told: Callable[[Taken], None]) -> None:
        taken, self._taken = self._taken, Taken()
        told(taken)


class _Content(Protocol):
    """What is read, on its way into the ledger.

    Attributes:
        due: there is something that the ledger has not taken.
        full: nothing more is to be read, because more cannot be used.
    """

    @property
    def due(self) -> bool: ...

    @property
    def full(self) -> bool: ...

    def take(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    async def hand_over(
        self, inputs: Inputs, source: Input, host_key: str | None, tell: Callable[[], None]
    ) -> Taken: ...


class _Document:
    """Collects a whole document."""

    def __init__(self, limits: Limits, documents: Documents) -> None:
        self._limits = limits
        self._documents = documents
        self._spool = Spool()
        self.due = False

    @property
    def full(self) -> bool:
        return self._spool.size > self._limits.max_bytes

    def take(self, data: bytes) -> None:
        self._spool.write(data)

    def end(self) -> None:
        self.due = True

    async def hand_over(self, inputs: Inputs, source: Input, host_key: str | None, tell: Callable[[], None]) -> Taken:
        try:
            admitted = await self._documents.admit(self._spool, source, host_key, tell=tell)
        except NoParser as error:
            raise LedgerError(f"standard input: {error}", transient=True) from error
        self.due = False
        self._spool.close()
        return Taken(self._spool.size, admitted)


class _Lines:
    """Cuts a stream into lines and parses them as they come."""

    full = False

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._records: list[tuple[int, StreamRecord]] = []
        self._rest = b""  # the beginning of a line
        self._offset = 0  # of `_rest`
        self._told = 0  # how many bytes were handed over
        self._too_long: tuple[int, bytes] | None = None  # a line that is passed over: where it begins, and with what
        self.due = False

    def take(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.rfind(b"\n") + 1
        for line in _split(self._rest[:end]):
            self._add(line)
            self._offset += len(line)
        self._rest = self._rest[end:]
        if len(self._rest) > self._limits.max_line_bytes:
            if self._too_long is None:
                self._too_long = self._offset, self._rest[:EXCERPT_BYTES]
            self._offset += len(self._rest)
            self._rest = b""
        self.due = self.due or end > 0

    def end(self) -> None:
        """Take what is left for a line, too."""
        if self._too_long is not None or self._rest.strip():
            self._add(self._rest)
        self._offset += len(self._rest)
        self._rest = b""
        self.due = True

    async def hand_over(self, inputs: Inputs, source: Input, host_key: str | None, tell: Callable[[], None]) -> Taken:
        admitted = inputs.admit_records(source, self._records, host_key)
        taken = Taken(self._offset - self._told, admitted)
        self._told = self._offset
        self._records = []
        self.due = False
        return taken

    def _add(self, line: bytes) -> None:
        if self._too_long is not None:
            offset, beginning = self._too_long
            self._too_long = None
            record: StreamRecord = BadLine(
                Reject("line_too_long", line_too_long(self._limits), offset, excerpt=beginning)
            )
        else:
            offset, record = self._offset, parse_line(line, self._offset, self._limits)
        if not isinstance(record, BlankLine):
            self._records.append((offset, record))


class Descriptor:
    """Reads a descriptor without keeping the event loop waiting, whatever it is: a pipe, a terminal, a file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def __call__(self, length: int) -> bytes:
        """Give at most `length` bytes, as soon as there are any; none at the end.

        Raises:
            OSError: when it cannot be read.
        """
        while True:
            await self._readable()
            try:
                return os.read(self._descriptor, length)
            except BlockingIOError:  # somebody else was quicker
                continue

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except PermissionError:  # of epoll, which does not watch files: they never keep anybody waiting
            await asyncio.sleep(0)
            return
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


def _split(data: bytes) -> list[bytes]:
    """Split after each line feed, and nowhere else."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]
