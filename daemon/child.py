"""The model's process as its parent sees it: how it is started, spoken to and ended, and what it died of."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pipeline
from pipeline.engine.messages import Message, Request, Unpacker, pack

_READ_BYTES = 1 << 16
_TAIL_BYTES = 4096  # of what it prints
_LINE_CHARS = 300
_LEAVING_S = 1.0  # between the end of its socket and its own end


def serve_command() -> list[str]:
    """Give the command that runs the engine's process, less the arguments that `Child` adds."""
    return [sys.executable, "-P", "-m", "pipeline.engine.serve"]


class Child:
    """A process that is spoken to through a socket; nothing here blocks but its end."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; it is given the descriptor of its socket, and our process id.

        Raises:
            OSError: if it cannot be started.
        """
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                pass_fds=(theirs.fileno(),),
                # The packages that this process uses, wherever it was told to find them.
                env={**os.environ, "PYTHONPATH": os.pathsep.join([_root(), *filter(None, sys.path)])},
                process_group=0,  # what a terminal sends to ours is for us to decide about
            )
        except OSError:
            ours.close()
            os.close(reader)
            raise
        finally:
            theirs.close()
            os.close(writer)
        ours.setblocking(False)
        os.set_blocking(reader, False)
        self._channel = ours
        self.printed = reader
        self._tail = b""
        self._out = bytearray()
        self._unpacker = Unpacker()

    @property
    def pid(self) -> int:
        """Name the process."""
        return self._process.pid

    @property
    def channel(self) -> socket.socket:
        """Give the socket, to wait for."""
        return self._channel

    @property
    def has_unsent(self) -> bool:
        """Say whether `flush` has something to do."""
        return bool(self._out)

    def send(self, request: Request) -> None:
        """Take a message, and send what the socket takes of it now.

        Raises:
            BadMessage: if it is too long.
            OSError: if the process has gone.
        """
        self._out += pack(request)
        self.flush()

    def flush(self) -> None:
        """Send what is left.

        Raises:
            OSError: if the process has gone.
        """
        try:
            while self._out:
                del self._out[: self._channel.send(self._out)]
        except BlockingIOError:
            return

    def receive(self) -> Iterator[Message]:
        """Give the messages that are there.

        Raises:
            BadMessage: if something is none.
            OSError: also where the process has closed its end.
        """
        while True:
            try:
                piece = self._channel.recv(_READ_BYTES)
            except BlockingIOError:
                return
            if not piece:
                raise ConnectionResetError("closed")
            yield from self._unpacker.feed(piece)

    def listen(self) -> bool:
        """Read what it prints, and keep the end of it; returns whether more may follow."""
        try:
            while piece := os.read(self.printed, _READ_BYTES):
                self._tail = (self._tail + piece)[-_TAIL_BYTES:]
        except BlockingIOError:
            return True
        return False

    def end(self, *, by_itself: bool = False) -> str:
        """End it, or let it come to its own end, and say in plain words how that was.

        Args:
            by_itself: it seems to be ending, and is given a moment for it.
        """
        killed = not by_itself
        if by_itself:
            try:
                self._process.wait(_LEAVING_S)
            except subprocess.TimeoutExpired:
                killed = True
        self._process.kill()
        code = self._process.wait()
        self.listen()
        os.close(self.printed)
        self._channel.close()
        lines = self._tail.decode(errors="replace").strip().splitlines()
        said = f"; it said: {lines[-1].strip()[:_LINE_CHARS]}" if lines else ""
        return f"{'it was ended' if killed else _how(code)}{said}"


def _root() -> str:
    return str(Path(pipeline.__file__).parents[1])


def _how(code: int) -> str:
    if code >= 0:
        return f"it ended by itself, with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal without a name"
    hint = ", as the kernel does where memory runs out" if -code == signal.SIGKILL else ""
    return f"it was killed by signal {-code} ({name}){hint}"
