"""Where reports come from, as a shard sees it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from daemon.ports.inputs import Admitted


@dataclass(slots=True, frozen=True)
class Taken:
    """What a source has handed to the ledger since it last said so."""

    bytes_read: int = 0
    admitted: Admitted = field(default_factory=Admitted)


class Source(Protocol):
    """Reads inputs and hands them to the ledger, piece by piece.

    A source goes on where its positions in the ledger say, whatever became of the process before. Its steps are short,
    and between two of them it lets the rest of the shard run. While the ledger takes nothing more (the `blocked` that
    it was made with), it reads nothing and keeps hold of what could be lost.

    What an earlier process left open in an input that is not among those it is to read now (an ended pipe, a directory
    that is no longer a root) it closes: nobody else will. Of kinds that are not configured at all the shard does that.

    Attributes:
        kind: under which its inputs are kept, such as ``directory``.
        name: for logs, unique in a shard.
    """

    kind: str
    name: str

    async def run(self, stop: asyncio.Event, told: Callable[[Taken], None], *, dry: bool = False) -> None:
        """Read until told to stop, or, if `dry`, until all that is there now has been handed over.

        Args:
            told: to be called on the loop whenever something was done or looked for, at least every few seconds: a
                source that is silent for long is taken to hang.

        Raises:
            LedgerError: when the ledger takes nothing more. It may be run again, and goes on.
            SourceError: when, of a dry run, something is not there to be read.
        """

    @property
    def ready(self) -> bool:
        """Say whether all that it is to read is there, and nothing that comes will be missed."""

    @property
    def healthy(self) -> bool:
        """Say whether it is ready and has no problems."""

    def problems(self) -> list[str]:
        """Say what keeps it from being healthy, one line each."""

    @property
    def overflows(self) -> int:
        """Count how often it was told of less than happened, and had to look for itself."""

    def look_again(self) -> None:
        """Look at everything as soon as possible, because somebody asked for it."""

    def release(self) -> bool:
        """Give one descriptor back that it can do without, for a part that has run out; says whether it had one."""
