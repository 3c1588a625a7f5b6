"""Which shards a process runs: always the same ones, or such as come and go."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from daemon.shard import Shard, raise_first


class Crew(Protocol):
    """Runs shards.

    A crew whose shards come and go says by itself what keeps those away that are not there.
    """

    def shards(self) -> Sequence[Shard]:
        """Give those that run now."""

    @property
    def ready(self) -> bool:
        """Say whether all are there that are to be."""

    def problems(self) -> list[str]:
        """Say what keeps shards from being there, one line each."""

    async def run(self, stop: asyncio.Event, told: Callable[[], None], *, dry: bool = False) -> None:
        """Run them until told to stop, or, if `dry`, until all that was there is delivered.

        Args:
            told: called on the loop whenever something has got on.

        Raises:
            AgentError: what ended one of them.
        """


class Fixed:
    """Implements `Crew` for shards that are there from the beginning to the end."""

    ready = True

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = tuple(shards)

    def shards(self) -> Sequence[Shard]:
        """Give all of them."""
        return self._shards

    def problems(self) -> list[str]:
        """Say that there are none but their own."""
        return []

    async def run(self, stop: asyncio.Event, told: Callable[[], None], *, dry: bool = False) -> None:
        """Run them side by side; one that fails ends all."""
        try:
            async with asyncio.TaskGroup() as group:
                for shard in self._shards:
                    group.create_task(shard.run(stop, told, dry=dry))
        except BaseExceptionGroup as errors:
            raise_first(errors)
