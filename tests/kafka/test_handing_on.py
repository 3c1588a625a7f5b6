"""A message for the view over a fleet is handed on without a task of its own; without room for it, it waits in one."""

import asyncio

import pytest

from daemon.fleet.committed import _go_on


class Handing:
    """What Faust does with one message, where its queue may be full."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.did: list[str] = []

    async def run(self) -> int:
        self.did.append("begun")
        try:
            await self.room.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.did.append("cancelled")
            raise
        self.did.append("handed on")
        return 17


def test_one_that_has_to_wait_goes_on_where_it_was() -> None:
    async def script() -> None:
        handing = Handing()
        begun = handing.run()
        waiting = asyncio.ensure_future(_go_on(begun, begun.send(None)))
        await asyncio.sleep(0.01)
        assert handing.did == ["begun"]
        handing.room.set()
        assert await waiting == 17
        assert handing.did == ["begun", "handed on"]

    asyncio.run(script())


def test_one_that_waits_can_be_given_up() -> None:
    async def script() -> None:
        handing = Handing()
        begun = handing.run()
        waiting = asyncio.ensure_future(_go_on(begun, begun.send(None)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert handing.did == ["begun", "cancelled"]

    asyncio.run(script())
