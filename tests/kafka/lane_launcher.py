"""Forks agents from a process that has imported everything; each kills itself at a step of a lane.

As `launcher.py`, of which this is the other half: a line of JSON on standard input is the step, after how many of them,
the log's path, then the arguments; the answer is the pid. Only the calls at which it dies are wrapped.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import daemon.cli.run  # noqa: F401
from daemon.lane import transaction
from daemon.lane.kafka import client, writer
from daemon.lane.kafka.reader import Reader
from daemon.lane.kafka.writer import Writer
from daemon.lane.mark import Mark
from daemon.lane.port import Outgoing
from daemon.ledger import lane_states
from daemon.ledger.lane import LaneStore
from daemon.ledger.work import WorkStore
from tests.kafka.forks import dying_producer
from tests.kafka.launcher import serve

STEPS = (
    "init", "mark", "admitting", "admit", "work", "finish", "begin", "send", "offsets", "committing", "commit",
    "noting", "note", "acquired",
)  # fmt: skip
REBUILDING = ("states", "loading", "renamed", "furnished")  # only where a ledger is made anew


def arm(step: str, after: int) -> None:
    """Have the process die at the `after`th time that it comes to the step.

    Args:
        step: with ``ROWS/`` in front, transactions take no more than so many rows; "delivered" is behind the commit
            of a scan's record.
    """
    rows, _, step = step.rpartition("/")
    if rows:
        transaction.ROWS = int(rows)
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

    vars(writer)["AIOKafkaProducer"] = dying_producer(step, after, reached, started="init")
    around(Writer, "_read_mark", None, "mark")
    commit = Writer.commit

    async def committed(self: Writer, records: Sequence[Outgoing], mark: Mark) -> None:
        await commit(self, records, mark)
        if any(one.topic == self._settings.scans_topic for one in records):
            reached("delivered")

    Writer.commit = committed  # type: ignore[method-assign]
    around(LaneStore, "admit", "admitting", "admit")
    around(WorkStore, "commit_batch", None, "work")
    around(WorkStore, "finish_scan", None, "finish")
    around(LaneStore, "delivered", "noting", "note")
    around(client.KafkaClient, "_acquire", None, "acquired")
    around(Reader, "states", None, "states")
    around(lane_states, "load", None, "loading")
    around(LaneStore, "position", None, "furnished")
    around(LaneStore, "make_note", None, "renamed")


if __name__ == "__main__":
    serve(arm)
