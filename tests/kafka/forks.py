"""Agents that are forked from a process which has imported everything, and die at a step: what all launchers share."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.crash.process import ROOT, environment

PATIENCE_S = 60.0


def bare() -> dict[str, str]:
    """Give the environment without settings, which would beat those of a file."""
    return {name: value for name, value in environment().items() if not name.startswith("SYSSCAN_")}


class Launcher:
    """The process that forks agents."""

    def __init__(self, module: str) -> None:
        """`module`: `tests.kafka.launcher`, or `tests.kafka.lane_launcher`."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=bare(),
        )  # fmt: skip

    def start(self, step: str, after: int, log: Path, arguments: Sequence[str]) -> int:
        """Fork an agent that dies when it comes to a step so often; returns its pid."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([step, after, str(log), *arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)


def dying_producer(step: str, after: int, reached: Callable[[str], None], started: str) -> type[AIOKafkaProducer]:
    """Make a producer that says which step it has come to.

    Args:
        step, after: at which the process is to die, and after how many of them.
        reached: is told; at the right step it does not return.
        started: what the first step is called.
    """

    class Dying(AIOKafkaProducer):  # type: ignore[misc]
        async def start(self) -> None:
            await super().start()
            reached(started)

        async def begin_transaction(self) -> None:
            await super().begin_transaction()
            reached("begin")

        async def send_batch(self, *arguments: Any, **options: Any) -> Any:
            sent = await super().send_batch(*arguments, **options)
            if step == "send":
                await asyncio.sleep(0.003)  # some batches of the transaction are with the broker, some are not
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

    return Dying
