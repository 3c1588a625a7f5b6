"""The process that a model runs in: reads questions from a socket, and writes answers to it.

    python -m pipeline.engine.serve DESCRIPTOR

`daemon/inference.py` starts it, and ends it. It lives no longer than its parent, and nothing but that decides when it
ends: signals that a terminal or a service manager sends to a whole group are not for it.
"""

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.engine.errors import EngineError, RuntimeFault, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.identity import Device, Runtime
from pipeline.engine.messages import Answered, Ask, Failed, Measure, Measured, Ready, Reply, Start, pack, receive

if TYPE_CHECKING:
    from pipeline.engine.decoder import Decoder

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"  # where memory runs out, this process goes first: nothing is lost with it
_PROBED_TOKENS = 4


def main() -> None:
    """Serve the socket whose descriptor is the only argument, until its other end is closed."""
    parent = int(sys.argv[2])
    _leave_the_end_to(parent)
    with socket.socket(fileno=int(sys.argv[1])) as channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(channel)


def serve(channel: socket.socket) -> None:
    """Load the model that the first message names, and answer what follows, in its order."""
    requests = receive(channel)
    start = cast(Start, next(requests, None))
    if start is None:
        return
    try:
        decoder = _load(start)
    except EngineError as error:
        channel.sendall(pack(Failed(0, type(error).__name__, str(error))))
        return
    gc.freeze()
    channel.sendall(pack(Ready(_probe(decoder))))
    for request in requests:
        channel.sendall(
            pack(_reply(decoder, request, start) if isinstance(request, Ask) else _measure(decoder, request))
        )


def _leave_the_end_to(parent: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the thread that started this process blocks them all
    # Not only by the end of the socket, which a process that is stopped or loops never sees.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has ended")
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def _load(start: Start) -> "Decoder":
    try:
        from pipeline.engine.load import open_unchanged  # brings numpy and the grammar's library along
    except ImportError as error:
        raise Unsupported(f"the model cannot be run: {error}; install sysscan-agent again") from error
    return open_unchanged(
        Path(start.directory), cast(Runtime, start.runtime), threads=start.threads, device=cast(Device, start.device),
        digest=start.digest,
    )  # fmt: skip


def _probe(decoder: "Decoder") -> float:
    """Write some tokens, so that the parent knows from the first question on how long to wait; tokens a second."""
    begin = time.perf_counter()
    for token in range(2, 2 + _PROBED_TOKENS):
        decoder.runner.append((token,))
    decoder.runner.rewind(0)
    return _PROBED_TOKENS / (time.perf_counter() - begin)


def _reply(decoder: "Decoder", ask: Ask, start: Start) -> Reply:
    begin, computed = time.perf_counter(), decoder.num_computed
    try:
        text = decoder.generate(ask.prompt, Grammar(ask.schema), ask.max_tokens)
    except EngineError as error:
        return Failed(ask.id, type(error).__name__, str(error))
    except (RuntimeError, MemoryError) as error:  # what the runtimes raise, a GPU without memory included
        return Failed(
            ask.id, RuntimeFault.__name__,
            f"{start.directory}: the {start.runtime} runtime failed in the middle of an answer: {_one_line(error)}; "
            "free memory, or install the model again",
        )  # fmt: skip
    return Answered(ask.id, text, decoder.num_computed - computed, time.perf_counter() - begin)


def _measure(decoder: "Decoder", request: object) -> Reply:
    assert isinstance(request, Measure)
    from pipeline.engine.probe import measure

    try:
        speed = measure(decoder.runner)
    except (RuntimeError, MemoryError) as error:
        return Failed(request.id, RuntimeFault.__name__, f"the runtime fails: {_one_line(error)}")
    finally:
        decoder.forget()
    return Measured(request.id, speed.prefill, speed.decode)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


if __name__ == "__main__":
    main()
