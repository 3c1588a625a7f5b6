"""Forks agents from a process that has imported everything; each kills itself at a step of the Kafka sink.

A line of JSON on standard input: the step, after how many of them, the log's path, then the arguments. The answer is
the pid. The daemon is the real one: only the calls at which it dies are wrapped.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable

import daemon.cli.run  # noqa: F401
from daemon.ledger.outbox import OutboxStore
from daemon.sinks.kafka import client
from tests.crash.launcher import PR_SET_PDEATHSIG, agent
from tests.kafka.forks import dying_producer

STEPS = ("connect", "begin", "send", "offsets", "committing", "commit", "before mark", "after mark")


def arm(step: str, after: int) -> None:
    """Have the process die at the `after`th time that it comes to the step."""
    left = after

    def reached(name: str) -> None:
        nonlocal left
        if name == step:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    vars(client)["AIOKafkaProducer"] = dying_producer(step, after, reached, started="connect")
    wrapped: Callable[[OutboxStore, str, int], None] = OutboxStore.delivered

    def delivered(self: OutboxStore, sink: str, position: int) -> None:
        ours = sink.startswith("kafka:")
        if ours:
            reached("before mark")
        wrapped(self, sink, position)
        if ours:
            reached("after mark")

    OutboxStore.delivered = delivered  # type: ignore[method-assign]


def serve(arm: Callable[[str, int], None]) -> None:
    """Fork until standard input ends; each process is armed in its own way."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    for line in sys.stdin:
        step, after, log, *arguments = json.loads(line)
        pid = os.fork()
        if not pid:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a test that fails leaves nobody behind
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.dup2(file, 1)
            os.dup2(file, 2)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            arm(step, after)
            agent(arguments)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(arm)
