"""Forks agents from a process that has imported everything; each kills itself at a step of a lane.

As `launcher.py`, of which this is the other half: a line of JSON on standard input is the step, after how many of them,
the log's path, then the arguments; the answer is the pid. Only the calls at which it dies are wrapped.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer

import daemon.cli.run  # noqa: F401
from daemon.lane import rebuild as rebuilding
from daemon.lane.kafka import client, writer
from daemon.lane.kafka.reader import Reader
from daemon.lane.kafka.writer import Writer
from daemon.ledger.lane import LaneStore
from daemon.ledger.work import WorkStore
from tests.kafka.launcher import serve

STEPS = (
    "init", "mark", "admitting", "admit", "work", "finish", "begin", "send", "offsets", "committing", "commit",
    "noting", "note", "acquired",
)  # fmt: skip
REBUILDING = ("states", "loading", "renamed", "furnished")  # only where a ledger is made anew


def arm(step: str, after: int) -> None:
    """Have the process die at the `after`th time that it comes to the step."""
    left = after

    def reached(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, name: str, before: str | None, behind: str | None) -> None:
        wrapped: Callable[..., Any] = getattr(owner, name)

        if asyncio.iscoroutinefunction(wrapped):

            async def called(*arguments: Any, **options: Any) -> Any:
                reached(before or "")
                answer = await wrapped(*arguments, **options)
                reached(behind or "")
                return answer

            setattr(owner, name, called)
        else:

            def call(*arguments: Any, **options: Any) -> Any:
                reached(before or "")
                answer = wrapped(*arguments, **options)
                reached(behind or "")
                return answer

            setattr(owner, name, call)

    class Dying(AIOKafkaProducer):  # type: ignore[misc]
        async def start(self) -> None:
            await super().start()
            reached("init")

        async def begin_transaction(self) -> None:
            await super().begin_transaction()
            reached("begin")

        async def send(self, *arguments: Any, **options: Any) -> Any:
            sent = await super().send(*arguments, **options)
            if step == "send":
                await asyncio.sleep(0.003)  # some of the batch are with the broker, some are not
            reached("send")
            return sent

        async def send_offsets_to_transaction(self, *arguments: Any) -> None:
            await super().send_offsets_to_transaction(*arguments)
            reached("offsets")

        async def commit_transaction(self) -> None:
            if step == "committing":
                task = asyncio.ensure_future(super().commit_transaction())
                await asyncio.sleep(0.001 * (after % 4))
                reached("committing")
                await task
            else:
                await super().commit_transaction()
            reached("commit")

    vars(writer)["AIOKafkaProducer"] = Dying
    around(Writer, "_read_mark", None, "mark")
    around(LaneStore, "admit", "admitting", "admit")
    around(WorkStore, "commit_batch", None, "work")
    around(WorkStore, "finish_scan", None, "finish")
    around(LaneStore, "delivered", "noting", "note")
    around(client.KafkaClient, "_acquire", None, "acquired")
    around(Reader, "states", None, "states")
    around(rebuilding.lane_states, "load", None, "loading")
    around(LaneStore, "position", None, "furnished")
    around(rebuilding.LaneStore, "make_note", None, "renamed")


if __name__ == "__main__":
    serve(arm)
