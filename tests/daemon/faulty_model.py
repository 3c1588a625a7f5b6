"""A small process that speaks as the engine's does, and fails as it is told to: by its mode, or by a prompt.

    python faulty_model.py MODE DIRECTORY DESCRIPTOR PARENT

Each start leaves a line in `DIRECTORY/starts`. A prompt is a fault and what to answer, such as ``die/yes``; with
``once-`` in front the fault shows only the first time.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

from pipeline.engine.messages import Answered, Ask, Failed, Measure, Measured, Ready, pack, receive

mode, directory = sys.argv[1], Path(sys.argv[2])


def fail(fault: str, channel: socket.socket) -> None:
    if fault == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "hang":
        time.sleep(3600)
    elif fault == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault == "leave":
        print("Traceback (most recent call last):\n  File x\nImportError: libgone.so: cannot open", file=sys.stderr)
        sys.exit(1)
    elif fault == "rubbish":
        channel.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(3600)
    elif fault == "flood":
        while True:
            os.write(1, b"x" * 65536)
    elif fault == "unasked":
        channel.sendall(pack(Answered(999, "not yours", 1, 1.0)))
    elif fault == "ready":
        channel.sendall(pack(Ready(0.1, 1.0, 1)))
    elif fault == "deaf":
        channel.shutdown(socket.SHUT_RD)
        time.sleep(3600)
    elif fault == "memory":
        raise MemoryError


with (directory / "starts").open("a") as file:
    file.write(f"{os.getpid()}\n")
with socket.socket(fileno=int(sys.argv[-2])) as channel:
    requests = receive(channel)
    start = next(requests, None)
    print("warming up", flush=True)
    if mode.startswith("failed-"):
        channel.sendall(pack(Failed(0, mode.removeprefix("failed-"), "as it was told")))
        sys.exit()
    fail(mode, channel)
    channel.sendall(pack(Ready(0.25, 1000.0, 4)))
    for request in requests:
        if isinstance(request, Measure):
            channel.sendall(pack(Measured(request.id, 2000.0, 1000.0)))
        elif isinstance(request, Ask):
            fault, _, text = request.prompt.rpartition("/")
            once = directory / fault.replace("/", "_")
            if fault.startswith("once-") and not once.exists():
                once.touch()
                fail(fault.removeprefix("once-"), channel)
            elif not fault.startswith("once-"):
                fail(fault, channel)
            if text.startswith("error"):
                channel.sendall(pack(Failed(request.id, "TooLong", text)))
            else:
                channel.sendall(pack(Answered(request.id, f"{text}!", 100, 0.1)))
