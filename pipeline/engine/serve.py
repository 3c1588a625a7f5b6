"""The process that a model runs in: reads questions from a socket, and writes answers to it.

    python -m pipeline.engine.serve DESCRIPTOR PARENT

Its parent starts it and ends it (`daemon/supervisor.py`). It never outlives its parent. Signals that a terminal or a
service manager sends to everybody are not for it. Only the standard library is imported here, so that a library that
is missing is an answer, too.
"""

import contextlib
import gc
import socket
import sys
import time
from pathlib import Path
from typing import Protocol, cast

from pipeline.engine.checkpoint import checkpoint_digest
from pipeline.engine.errors import EngineError, ModelDamaged, NotEnoughMemory, RuntimeFault, Unsupported
from pipeline.engine.generator import Grammar
from pipeline.engine.identity import generator_digest
from pipeline.engine.messages import Answered, Ask, Failed, Measure, Measured, Ready, Reply, Start, pack, receive
from pipeline.engine.parent import bind_to
from pipeline.engine.probe import Speed
from pipeline.engine.runtimes import ENDPOINT, RUNTIMES, Device, Runtime


class Served(Protocol):
    """What answers: a `Generator` that counts its tokens and knows how fast it is."""

    num_computed: int

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str: ...
    def probe(self) -> float: ...
    def measure(self, rounds: int) -> Speed: ...


def main() -> None:
    """Serve the socket with this descriptor until its other end is closed, or the process with this id has ended."""
    descriptor, parent = map(int, sys.argv[1:])
    gc.disable()  # until the model is loaded: what loading makes stays
    bind_to(parent)
    with socket.socket(fileno=descriptor) as channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(channel)


def serve(channel: socket.socket) -> None:
    """Load the model that the first message names, and answer what follows, in its order."""
    requests = receive(channel)
    start = next(requests, None)
    if not isinstance(start, Start):
        return
    begin = time.perf_counter()
    try:
        model = _load(start)
    except EngineError as error:
        channel.sendall(pack(Failed(0, type(error).__name__, _one_line(error))))
        return
    except MemoryError:
        channel.sendall(pack(Failed(0, NotEnoughMemory.__name__, f"{start.directory}: too little memory to load it")))
        return
    gc.freeze()
    gc.enable()
    channel.sendall(pack(Ready(time.perf_counter() - begin, model.probe())))
    for request in requests:
        if isinstance(request, Ask):
            channel.sendall(pack(_answer(model, request, start)))
        elif isinstance(request, Measure):
            channel.sendall(pack(_measure(model, request, start)))


def _load(start: Start) -> Served:
    if start.runtime == ENDPOINT:
        from pipeline.engine.endpoint import open_endpoint  # brings an HTTP client along

        return open_endpoint(start)
    try:
        from pipeline.engine import load  # brings numpy and the grammar's library along
    except ImportError as error:
        package = RUNTIMES[cast(Runtime, start.runtime)].install
        raise Unsupported(f"the model cannot be run: {error}; install {package} again") from error
    directory, runtime, device = Path(start.directory), cast(Runtime, start.runtime), cast(Device, start.device)
    # Days may lie between the parent's look and this one, and an upgrade of the model or of what runs it.
    digest = (
        checkpoint_digest(directory, start.threads, device)
        if start.checkpoint
        else generator_digest(directory, runtime, threads=start.threads, device=device)
    )
    if digest != start.digest:
        raise ModelDamaged(f"{directory}: not what it was when this program began; start it again")
    if start.checkpoint:
        return load.open_checkpoint(directory, threads=start.threads, device=device)
    return load.open_generator(directory, runtime, threads=start.threads, device=device)


def _answer(model: Served, ask: Ask, start: Start) -> Reply:
    begin, computed = time.perf_counter(), model.num_computed
    try:
        text = model.generate(ask.prompt, Grammar(ask.schema), ask.max_tokens)
    except EngineError as error:
        return Failed(ask.id, type(error).__name__, _one_line(error))
    except Exception as error:  # whatever the runtimes raise, a GPU without memory included
        return _fault(ask.id, start, error, "in the middle of an answer")
    return Answered(ask.id, text, model.num_computed - computed, time.perf_counter() - begin)


def _measure(model: Served, request: Measure, start: Start) -> Reply:
    try:
        speed = model.measure(request.rounds)
    except Exception as error:
        return _fault(request.id, start, error, "while it was measured")
    return Measured(request.id, speed.prefill, speed.decode)


def _fault(number: int, start: Start, error: Exception, when: str) -> Failed:
    return Failed(
        number, RuntimeFault.__name__,
        f"{start.directory}: the {start.runtime} runtime failed {when}: {_one_line(error)}; "
        "free memory, or install the model again",
    )  # fmt: skip


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:1000] or type(error).__name__


if __name__ == "__main__":
    main()
