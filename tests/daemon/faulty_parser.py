"""The process that reads documents, failing as it is told to.

    python faulty_parser.py MODE DIRECTORY DESCRIPTOR PARENT

Each start leaves a line in `DIRECTORY/starts`. With ``once-`` in front of the mode only the first process fails; with
``middle-`` a process fails after it has sent the first pieces, with ``start-`` before it has read anything. Mode `none`
is the real one, and `other` reads other bytes than there are.
"""

import contextlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.report import serve
from pipeline.report.document import Document
from pipeline.report.pieces import Piece, cut

mode, directory = sys.argv[1], Path(sys.argv[2])
is_first = not (directory / "starts").exists()
with (directory / "starts").open("a") as file:
    file.write(f"{os.getpid()}\n")
mode = (mode.removeprefix("once-") if is_first else "none") if mode.startswith("once-") else mode
in_the_middle = mode.startswith("middle-")
mode = mode.removeprefix("middle-")


def fail(channel: socket.socket) -> None:
    if mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif mode == "hang":
        time.sleep(3600)
    elif mode == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif mode == "leave":
        print("Traceback (most recent call last):\n  File x\nImportError: libgone.so: cannot open", file=sys.stderr)
        sys.exit(1)
    elif mode == "rubbish":
        channel.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(3600)
    elif mode == "flood":
        while True:
            os.write(1, b"x" * 65536)
    elif mode == "memory":
        raise MemoryError
    elif mode == "eat":
        kept = [b"x" * (1 << 20)]
        while True:
            kept.append(b"x" * (1 << 20))
    elif mode == "unbound":
        held: list[bytes] = []
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        while len(held) < 2_000:
            held.append(b"x" * (1 << 20))
            time.sleep(0.005)
        time.sleep(3600)
    elif mode == "loud":
        os.write(1, b"x" * (1 << 20))


if in_the_middle:
    real_cut = cut

    def cut_and_fail(document: Document, digest: str) -> Iterator[Piece]:
        for number, piece in enumerate(real_cut(document, digest)):
            if number == 4:
                fail(channel)
            yield piece

    serve.cut = cut_and_fail  # type: ignore[attr-defined]
else:
    real_read = serve._read_all

    def fail_and_read(descriptor: int, most: int) -> bytes:
        fail(channel)
        return real_read(descriptor, most) + (b" " if mode == "other" else b"")

    serve._read_all = fail_and_read
with socket.socket(fileno=int(sys.argv[-2])) as channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
    if mode.startswith("start-"):
        mode = mode.removeprefix("start-")
        fail(channel)
    serve.serve(channel)
