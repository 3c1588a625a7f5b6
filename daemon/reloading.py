"""Takes changed knowledge, policy and indicators, and another model, without a restart, between two scans.

Verdicts are always fresh.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from daemon.log import get_logger
from pipeline.engine.reading import read_json
from pipeline.errors import ConfigError
from pipeline.graph.resources import Resources

logger = get_logger(__name__)

_PATIENCE_S = 5.0  # at the end, for reading that is under way: it takes a second
SLOW_S = 20.0  # then it is said that reading hangs, and another request no longer waits for it
FILE_NAME = "reloaded"  # in the state directory: what became of the last request, for who made it


@dataclass(slots=True, frozen=True)
class Reloaded:
    """What became of a request.

    Attributes:
        error: why the files were refused, with file and line; None where they were taken.
    """

    at: str
    error: str | None
    knowledge: str
    policy: str
    intel: str | None


class Working(Protocol):
    """Whoever works with resources: a worker, or all those of a process that come and go."""

    @property
    def resources(self) -> Resources:
        """Give what the next scan is worked on with."""

    def replace(self, resources: Resources) -> None:
        """Work with other resources from the next scan on; those in hand are ended with what they began with."""

    def all_in_use(self) -> Iterable[Resources]:
        """Give what scans in hand, and the next ones, are worked on with."""


class Reloading:
    """Reads the files again when it is asked to, on a thread: knowledge of one's own takes a second to read.

    Files that cannot be used change nothing. Reading that hangs (a network share that is gone) keeps neither later
    requests nor the end of the process waiting: it has a thread that nobody waits for, and what a later request read
    is never replaced by what an earlier one gives at last.

    Attributes:
        problem: why the last request was refused or is not answered, or None.
    """

    def __init__(
        self,
        working: Working,
        load: Callable[[Resources], Resources],
        note: Path | None,
        pointer: Path | None = None,
        slow_s: float = SLOW_S,
    ) -> None:
        """Args:
        load: reads everything anew; what is costly (the model) is that of the resources it is given.
        note: where to say what became of a request.
        pointer: file that is replaced when another model is to answer, which is taken for a request.
        slow_s: seconds after which reading hangs.
        """
        self._working = working
        self._load = load
        self._note = note
        self._slow_s = slow_s
        self._task: asyncio.Task[None] | None = None
        self._hangs = False
        self._again = False
        self._thread: threading.Thread | None = None  # the last one that reads
        self._late: set[asyncio.Task[None]] = set()  # which were given up
        self.problem: str | None = None
        self._pointer = pointer
        self._seen = self._stamp()
        self._retired: list[Resources] = []  # whose model may be at work on a scan that was begun with it
        self._closing: set[asyncio.Task[None]] = set()

    def look(self) -> None:
        """See whether another model is to answer, and end the process of one that nobody asks any more."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            self.ask()
        for before in list(self._retired):
            if not any(resources.shares_model(before) for resources in self._working.all_in_use()):
                self._retired.remove(before)
                task = asyncio.get_running_loop().create_task(asyncio.to_thread(before.close))  # it may take a second
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _stamp(self) -> tuple[int, int] | None:
        if self._pointer is None:
            return None
        try:
            status = self._pointer.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def close(self) -> None:
        """End the processes of all models, when no work is done any more; waits for reading that is under way."""
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)  # one that hangs is left alone (`daemon.cli.exits.leave`)
        for resources in (*self._retired, *self._working.all_in_use()):
            resources.close()

    def ask(self) -> None:
        """Read the files again; asked while that goes on, once more afterwards, or at once where it hangs."""
        if self._task is not None and not self._task.done():
            if not self._hangs:
                self._again = True
                return
            self._late.add(self._task)
            self._task.add_done_callback(self._late.discard)
        self._task = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        this = asyncio.current_task()
        while True:
            self._again = self._hangs = False
            before = self._working.resources
            try:
                made = await self._loaded(before)
                if self._task is not this:  # a later request was answered, or is being answered
                    _close_unless_shared(made, before)
                    return
            except ConfigError as error:
                if self._task is not this:
                    return
                self.problem = f"the changed files are not in use: {error}"
                logger.error("reload.refused", reason=str(error))
                self._say(before, str(error))
            else:
                self.problem = None
                self._working.replace(made)
                if before.analyst is not None and not made.shares_model(before):
                    self._retired.append(before)
                logger.info(
                    "reload.taken",
                    knowledge=made.knowledge.digest,
                    policy=made.policy.digest,
                    model=made.analyst.model if made.analyst is not None else None,
                    changed=made.digest != before.digest,
                )
                self._say(made, None)
            if not self._again:
                return

    async def _loaded(self, before: Resources) -> Resources:
        """Read everything anew on a thread of its own, and say so where that takes too long."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Resources] = loop.create_future()

        def give(made: Resources | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            elif made is not None:
                answer.set_result(made)

        def read() -> None:
            made: Resources | None = None
            failed: BaseException | None = None
            try:
                made = self._load(before)
            except BaseException as error:  # raised again where it is awaited
                failed = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(give, made, failed)

        # The end of the process waits for the threads of an executor, but not for this one.
        self._thread = threading.Thread(target=read, name="reload", daemon=True)
        self._thread.start()
        done, _ = await asyncio.wait([answer], timeout=self._slow_s)
        if not done:
            self._hangs = True
            self.problem = (
                f"the changed files are not in use: reading them has not ended in {self._slow_s:.0f} s; see whether a "
                "file lies where nothing answers, put it right and reload again"
            )
            logger.error("reload.hangs", seconds=self._slow_s)
        return await answer

    def _say(self, resources: Resources, error: str | None) -> None:
        if self._note is None:
            return
        at = datetime.fromtimestamp(time.time(), UTC).isoformat()
        intel = resources.provenance.intel
        said = Reloaded(at, error, resources.knowledge.digest, resources.policy.digest, intel)
        partly = self._note.with_name(f".{self._note.name}")
        with contextlib.suppress(OSError):  # who waits for it is told by the log
            partly.write_bytes(orjson.dumps(said))
            partly.chmod(0o600)
            partly.replace(self._note)


def _close_unless_shared(made: Resources, before: Resources) -> None:
    if not made.shares_model(before):
        made.close()


def last_reload(state_dir: Path) -> Reloaded | None:
    """Read what became of the last request; None where there was none, or it cannot be read."""
    try:
        said: dict[str, Any] = read_json(state_dir / FILE_NAME)
        return Reloaded(**said)
    except (OSError, ValueError, TypeError):
        return None
