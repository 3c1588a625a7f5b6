"""The process that a model runs in: reads questions from a socket, and writes answers to it.

    python -m pipeline.engine.serve DESCRIPTOR PARENT

Its parent starts it and ends it (`daemon/supervisor.py`). It never outlives its parent. Signals that a terminal or a
service manager sends to everybody are not for it. Only the standard library is imported here, so that a library that
is missing is an answer, too.
"""

import contextlib
import ctypes
import gc
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pipeline.engine.checkpoint import checkpoint_digest
from pipeline.engine.errors import EngineError, ModelDamaged, NotEnoughMemory, RuntimeFault, Unsupported
from pipeline.engine.identity import generator_digest
from pipeline.engine.lanes import Desk, Lane, OneByOne
from pipeline.engine.messages import Ask, Failed, Measure, Measured, Ready, Reply, Start, one_line, pack, receive
from pipeline.engine.parent import bind_to
from pipeline.engine.runtimes import ENDPOINT, RUNTIMES, Device, Runtime

_M_ARENA_MAX = -8  # malloc.h


def main() -> None:
    """Serve the socket with this descriptor until its other end is closed, or the process with this id has ended."""
    descriptor, parent = map(int, sys.argv[1:])
    gc.disable()  # until the model is loaded: what loading makes stays
    bind_to(parent)
    with socket.socket(fileno=descriptor) as channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(channel)
    os._exit(0)  # threads may be in the middle of an answer that nobody waits for


def serve(channel: socket.socket) -> None:
    """Load the model that the first message names, and answer what follows, in its order."""
    requests = receive(channel)
    start = next(requests, None)
    if not isinstance(start, Start):
        return
    begin = time.perf_counter()
    _share_memory(start.threads)
    try:
        lanes = _load(start)
    except EngineError as error:
        channel.sendall(pack(Failed(0, type(error).__name__, one_line(error))))
        return
    except MemoryError:
        channel.sendall(pack(Failed(0, NotEnoughMemory.__name__, f"{start.directory}: too little memory to load it")))
        return
    first, *_ = lanes
    gc.freeze()
    gc.enable()
    loaded_s = time.perf_counter() - begin
    channel.sendall(pack(Ready(loaded_s, first.probe(), sum(lane.slots for lane in lanes))))
    desk = Desk(
        lanes,
        lambda reply: channel.sendall(pack(reply)),
        lambda number, error: _fault(number, start, error, "in the middle of an answer"),
    )
    for request in requests:
        if isinstance(request, Ask):
            desk.put(request)
        elif isinstance(request, Measure):
            desk.wait()
            channel.sendall(pack(_measure(first, request, start)))


def _share_memory(threads: int) -> None:
    """Let the lanes allocate from as many places as they are.

    From one place they wait for each other, a tenth of the time that their answers take; glibc's default of many keeps
    memory in each that nobody uses.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, threads)


def _load(start: Start) -> Sequence[Lane]:
    if start.runtime == ENDPOINT:
        from pipeline.engine.endpoint import open_endpoint  # brings an HTTP client along

        return [OneByOne(open_endpoint(start))]
    try:
        from pipeline.engine import load  # brings numpy and the grammar's library along
    except ImportError as error:
        remedy = RUNTIMES[cast(Runtime, start.runtime)].remedy
        raise Unsupported(f"the model cannot be run: {error}; {remedy}") from error
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
        return [load.open_checkpoint(directory, threads=start.threads, device=device)]
    return load.open_lanes(directory, runtime, threads=start.threads, device=device)


def _measure(model: Lane, request: Measure, start: Start) -> Reply:
    try:
        speed = model.measure(request.rounds)
    except Exception as error:
        return _fault(request.id, start, error, "while it was measured")
    return Measured(request.id, speed.prefill, speed.decode)


def _fault(number: int, start: Start, error: Exception, when: str) -> Failed:
    return Failed(
        number, RuntimeFault.__name__,
        f"{start.directory}: the {start.runtime} runtime failed {when}: {one_line(error)}; "
        "free memory, or install the model again",
    )  # fmt: skip


if __name__ == "__main__":
    main()
