"""The model's process as its parent sees it: how it is started, spoken to and ended, and what it died of."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pipeline
from pipeline.engine.messages import Message, Unpacker

_READ_BYTES = 1 << 16
_TAIL_BYTES = 4096  # of what it prints
_LINE_CHARS = 300
_LEAVING_S = 1.0  # between the end of its socket and its own end
_DYING_S = 5.0  # after SIGKILL: a disk that does not answer holds a process for as long as it likes
_NOT_FOR_IT = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")


def serve_command() -> list[str]:
    """Return the command that runs the engine's process, less the arguments that `Child` adds."""
    return [sys.executable, "-P", "-m", "pipeline.engine.serve"]


class Child:
    """A process that is spoken to through a socket; nothing here blocks but `end`.

    Attributes:
        channel: the socket, to wait for.
        printed: descriptor of what it prints, to wait for.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; it is given the descriptor of its socket, and our process id. It inherits no other descriptor.

        Raises:
            OSError: if it cannot be started.
        """
        self.channel, theirs = socket.socketpair()
        self.printed, writer = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=writer,  # ours is for findings
                stderr=writer,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
                process_group=0,  # what a terminal sends to our group is for us to decide about
            )
        except OSError:
            self.channel.close()
            os.close(self.printed)
            raise
        finally:
            theirs.close()
            os.close(writer)
        self.channel.setblocking(False)
        os.set_blocking(self.printed, False)
        self._tail = b""
        self._unsent = bytearray()
        self._unpacker = Unpacker()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` has something to do."""
        return bool(self._unsent)

    def send(self, packed: bytes) -> None:
        """Take a message, and send what the socket takes of it now.

        Raises:
            OSError: if the process has gone.
        """
        self._unsent += packed
        self.flush()

    def flush(self) -> None:
        """Send what is left, as far as the socket takes it.

        Raises:
            OSError: if the process has gone.
        """
        try:
            while self._unsent:
                del self._unsent[: self.channel.send(self._unsent)]
        except BlockingIOError:
            return

    def receive(self) -> Iterator[Message]:
        """Read once, and return the messages that are whole.

        Raises:
            BadMessage: if something is none.
            OSError: also where the process has closed its end.
        """
        try:
            piece = self.channel.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not piece:
            raise ConnectionResetError("closed")
        yield from self._unpacker.feed(piece)

    def listen(self) -> bool:
        """Read once of what it prints, and keep the end of it; returns whether more may follow."""
        try:
            piece = os.read(self.printed, _READ_BYTES)
        except BlockingIOError:
            return True
        self._tail = (self._tail + piece)[-_TAIL_BYTES:]
        return bool(piece)

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
        try:
            code = self._process.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            how = "it was killed, and has not ended yet"
        else:
            how = "it was ended" if killed else _how(code)
        self.listen()
        os.close(self.printed)
        self.channel.close()
        lines = self._tail.decode(errors="replace").strip().splitlines()
        return f"{how}; it said: {lines[-1].strip()[:_LINE_CHARS]}" if lines else how


def _environment() -> dict[str, str]:
    """Return ours, with the places that this process imports from, in their order."""
    root = str(Path(pipeline.__file__).parents[1])
    places = [place for place in sys.path if place]
    if root not in places:
        places.append(root)
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_IT}
    return {**kept, "PYTHONPATH": os.pathsep.join(places)}


def _how(code: int) -> str:
    if code >= 0:
        return f"it ended by itself, with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal without a name"
    hint = ", as the kernel does where memory runs out" if -code == signal.SIGKILL else ""
    return f"it was killed by signal {-code} ({name}){hint}"
