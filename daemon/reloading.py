"""Takes changed knowledge, policy and indicators, and another model, without a restart, between two scans.

Verdicts are always fresh.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from daemon.log import get_logger
from pipeline.errors import ConfigError
from pipeline.graph.resources import Resources

logger = get_logger(__name__)

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

    Files that cannot be used change nothing.

    Attributes:
        problem: why the last request was refused, or None.
    """

    def __init__(
        self,
        working: Working,
        load: Callable[[Resources], Resources],
        note: Path | None,
        pointer: Path | None = None,
    ) -> None:
        """Args:
        load: reads everything anew; what is costly (the model) is that of the resources it is given.
        note: where to say what became of a request.
        pointer: file that is replaced when another model is to answer, which is taken for a request.
        """
        self._working = working
        self._load = load
        self._note = note
        self._task: asyncio.Task[None] | None = None
        self._again = False
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
        """End the processes of all models, when no work is done any more."""
        for resources in (*self._retired, *self._working.all_in_use()):
            resources.close()

    def ask(self) -> None:
        """Read the files again; asked while that goes on, once more afterwards."""
        if self._task is not None and not self._task.done():
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        while True:
            self._again = False
            before = self._working.resources
            try:
                made = await asyncio.to_thread(self._load, before)
            except ConfigError as error:
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


def last_reload(state_dir: Path) -> Reloaded | None:
    """Read what became of the last request; None where there was none, or it cannot be read."""
    try:
        said: dict[str, Any] = orjson.loads((state_dir / FILE_NAME).read_bytes())
        return Reloaded(**said)
    except (OSError, ValueError, TypeError):
        return None
