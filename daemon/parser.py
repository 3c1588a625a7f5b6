"""Large documents are read in a process of its own: an open file goes in, pieces of what is in it come out.

One process for all sources, which has one document at a time. It is started for the first document and ended when none
has come for a while. What it says is asked for by whoever takes the document in, so nothing more of a document is held
here than one piece; whoever does not ask holds it up, and nobody else but those who wait for it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from daemon.child import Child, serve_command
from daemon.log import get_logger
from pipeline.errors import Incomplete, QuarantineReason, ReportError
from pipeline.report.limits import Limits
from pipeline.report.pieces import BadPiece, Begun, Failed, Piece, Read, Unpacker, Unusable, Whole, pack

logger = get_logger(__name__)

IDLE_S = 30.0
_MODULE = "pipeline.report.serve"
_AT_ONCE = 256 << 10  # bytes of one step
_FIRST_REST_S, _REST_S = 0.001, 0.02
_NEARLY = 0.5  # of its memory: it is looked at every now and then, and may ask for much at once
_START_S = 30.0  # until a process has begun, however busy the host is
_STILL_S = 30.0  # without a piece, and without a sign of work
_LONGEST_S = 600.0  # without a piece, whatever work there are signs of
_AT_WORK_S = 0.05  # of processor time
_LEAVING_S = 2.0  # a process that ends by itself has closed its socket before it has given all its memory back


class ParserFailed(Exception):
    """Raised when the process could not deal with a document; another one may.

    Attributes:
        reason: for the quarantine, if no other can either.
        certain: it is for the document that it failed, so no other needs to try.
    """

    def __init__(self, reason: QuarantineReason, detail: str, *, certain: bool = False) -> None:
        super().__init__(detail)
        self.reason: QuarantineReason = reason
        self.detail = detail
        self.certain = certain


class _Watch:
    """What reading one document has cost so far, as far as that was looked at.

    Attributes:
        begun: the process is at it; before, nothing that it costs is for the document.
        memory_bytes: that it held at most.
        processor_s: so far.
    """

    def __init__(self, child: Child[Read | Piece], clock: Callable[[], float]) -> None:
        self._child = child
        self._clock = clock
        self._own_bytes, self._own_s = 0, 0.0
        self._marked_s = 0.0
        self.begun = False
        self.memory_bytes = 0
        self.processor_s = 0.0
        self._since = clock()
        self.deadline = clock() + _START_S

    def begin(self) -> None:
        """Count from now on."""
        self.begun = True
        self._own_bytes, self._own_s = self._child.resident_bytes, self._child.processor_s
        self.go_on()

    def go_on(self) -> None:
        """Note that it gets on."""
        self.deadline = self._clock() + _STILL_S
        self._since = self._clock()

    def look(self) -> None:
        """Look at it."""
        if self.begun:
            self.memory_bytes = max(self.memory_bytes, self._child.resident_bytes - self._own_bytes)
            self.processor_s = max(self.processor_s, self._child.processor_s - self._own_s)
            if self.processor_s >= self._marked_s + _AT_WORK_S:
                self._marked_s = self.processor_s
                self.deadline = min(self._clock() + _STILL_S, self._since + _LONGEST_S)


class DocumentParser:
    """Reads documents one after the other; all of it is for one thread.

    Attributes:
        deaths: how often the process has failed.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        command: Sequence[str] = (),
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No process is started before a document needs one."""
        self._limits = limits
        self._command = command or serve_command(_MODULE)
        self._idle_s = idle_s
        self._clock = clock
        self._child: Child[Read | Piece] | None = None
        self._dying: list[Child[Read | Piece]] = []
        self._busy = False
        self._rests = 0  # in a row, for which there was nothing to do
        self._watch: _Watch
        self._timer: asyncio.TimerHandle | None = None
        self.deaths = 0

    @property
    def pid(self) -> int | None:
        """The id of the process, while there is one."""
        return self._child.pid if self._child is not None else None

    @property
    def waiting(self) -> bool:
        """Whether it is the turn of the process: `rest` before the next piece is asked for."""
        return self._rests > 0

    async def rest(self) -> None:
        """Let others run until there may be something to do."""
        await asyncio.sleep(min(_REST_S, _FIRST_REST_S * 2 ** min(self._rests, 8)))

    def read(self, descriptor: int, *, final: bool) -> Iterator[Piece | None]:
        """Give the pieces of a document, of which `Whole` is the last; None where there is none yet.

        Whoever closes this before its end has the process ended.

        Args:
            descriptor: of the file; it is read from its start, and its position left alone.
            final: what is whole in front of a cut counts.

        Raises:
            ReportError: when nothing of it can be used, `Incomplete` among them. Pieces may have come before.
            ParserFailed: when the process died, hung, or took too much.
            OSError: when the process cannot be started.
        """
        while self._busy:
            self._rests += 1
            yield None
        self._busy = True
        done = False
        try:
            child = self._ready()
            self._watch = watch = _Watch(child, self._clock)
            try:
                child.send_with(pack(self._request(final)), descriptor)
            except OSError:
                yield from self._died(child)
            while not done:
                pieces, problem = self._receive(child)
                for piece in pieces:
                    watch.go_on()
                    if isinstance(piece, Begun):
                        watch.begin()
                        continue
                    done = isinstance(piece, Whole | Unusable)
                    yield self._understood(piece)
                if problem is not None:
                    yield from self._died(child, problem)
                if not pieces:
                    watch.look()
                    yield from self._check(child, watch)
                    self._rests += 1
                    yield None
        finally:
            self._busy = False
            self._rests = 0
            if not done:
                self._let_go()
            self._end_later()

    def close(self) -> None:
        """End the process."""
        self._let_go()
        while self._dying:
            self._dying.pop().end()
        if self._timer is not None:
            self._timer.cancel()

    def _request(self, final: bool) -> Read:
        return Read(self._limits.model_dump(), final, self._limits.parser_memory_bytes)

    def _ready(self) -> Child[Read | Piece]:
        self._bury()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._child is not None and self._child.has_ended:
            self._let_go()
        if self._child is None:
            self._child = Child(self._command, Unpacker())
        return self._child

    def _receive(self, child: Child[Read | Piece]) -> tuple[list[Piece], str | None]:
        """Read once; returns what came, and why nothing more will."""
        child.listen()  # or a process that prints much would stand still
        pieces: list[Piece] = []
        try:
            for piece in child.receive(_AT_ONCE):
                if isinstance(piece, Read):
                    raise BadPiece("a request")
                pieces.append(piece)
        except BadPiece as error:
            return [], f"it does not speak as agreed ({error})"
        except OSError:
            return pieces, ""
        if pieces:
            self._rests = 0
        return pieces, None

    def _understood(self, piece: Piece) -> Piece:
        if isinstance(piece, Unusable):
            kind = Incomplete if piece.incomplete else ReportError
            raise kind(piece.reason, piece.detail, piece.offset)
        if isinstance(piece, Failed):
            if piece.memory:
                raise self._too_large()
            raise self._failed("parser_died", f"{piece.detail}; please report this as a fault")
        return piece

    # The end of the process

    def _check(self, child: Child[Read | Piece], watch: _Watch) -> Iterator[None]:
        """End the process where the document costs too much, or nothing happens any more."""
        limits = self._limits
        if watch.memory_bytes > limits.parser_memory_bytes:
            yield from self._ended(child, by_itself=False)
            raise self._too_large()
        if watch.processor_s > limits.parser_s:
            yield from self._ended(child, by_itself=False)
            detail = f"reading it takes more than {limits.parser_s:.0f} s; if you trust it, raise limits.max_parser_s"
            raise self._failed("too_costly", detail, certain=True)
        if self._clock() >= watch.deadline:
            how = yield from self._ended(child, by_itself=False)
            what = "stood still" if watch.begun else "did not begin in time"
            raise self._failed("parser_died", f"the process that reads documents {what}, so {how}")

    def _died(self, child: Child[Read | Piece], problem: str = "") -> Iterator[None]:
        how = yield from self._ended(child, by_itself=not problem)
        if not problem and self._watch.memory_bytes >= _NEARLY * self._limits.parser_memory_bytes:
            raise self._too_large()  # the parser of JSON does not survive that, whatever it died of
        what = f"{problem}, so {how}" if problem else how
        raise self._failed("parser_died", f"the process that reads documents ended over it: {what}")

    def _too_large(self) -> ParserFailed:
        most = self._limits.parser_memory_bytes
        return self._failed(
            "too_costly",
            f"reading it takes more than {most} bytes of memory; if you trust it, raise limits.max_parser_memory",
        )

    def _failed(self, reason: QuarantineReason, detail: str, *, certain: bool = False) -> ParserFailed:
        self.deaths += 1
        logger.warning("parser.failed", reason=reason, detail=detail)
        return ParserFailed(reason, detail, certain=certain)

    def _ended(self, child: Child[Read | Piece], *, by_itself: bool) -> Generator[None, None, str]:
        """End the process without keeping anybody waiting, and say how that was."""
        self._child = None
        self._dying.append(child)
        if not by_itself:
            child.kill()
        until = self._clock() + _LEAVING_S
        while not child.has_ended and self._clock() < until:
            self._rests += 1
            yield None
        self._dying.remove(child)
        return child.end(by_itself=by_itself)

    def _let_go(self) -> None:
        """End the process, and see to what is left of it later."""
        if self._child is not None:
            self._child.kill()
            self._dying.append(self._child)
            self._child = None
        self._bury()

    def _bury(self) -> None:
        for child in [one for one in self._dying if one.has_ended]:
            self._dying.remove(child)
            child.end()

    def _end_later(self) -> None:
        with contextlib.suppress(RuntimeError):  # there is no loop: whoever uses this closes it
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._end_idle)

    def _end_idle(self) -> None:
        if not self._busy:
            self._let_go()
            if self._dying:
                self._end_later()
