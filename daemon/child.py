"""A process that works for this one, as its parent sees it: its start, what is said to it, and what it died of.

The model runs in one, and large documents are read in one.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import pipeline

M_co = TypeVar("M_co", covariant=True)

_READ_BYTES = 1 << 16
_TAIL_BYTES = 4096  # of what it prints
_LINE_CHARS = 300
_LEAVING_S = 1.0  # between the end of its socket and its own end
_DYING_S = 5.0  # after SIGKILL: a disk that does not answer holds a process for as long as it likes
_NOT_FOR_IT = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID")


def serve_command(module: str = "pipeline.engine.serve") -> list[str]:
    """Return the command that runs a module as such a process, less the arguments that `Child` adds."""
    return [sys.executable, "-P", "-m", module]


class Unpacks(Protocol[M_co]):
    """Puts messages together from the pieces that a socket gives."""

    def feed(self, piece: bytes, /) -> Iterator[M_co]: ...


class Child(Generic[M_co]):
    """A process that is spoken to through a socket; nothing here blocks but `end`.

    Attributes:
        channel: the socket, to wait for.
        printed: descriptor of what it prints, to wait for.
    """

    def __init__(self, command: Sequence[str], unpacker: Unpacks[M_co]) -> None:
        """Start it; it is given the descriptor of its socket, and our process id. It inherits no other descriptor.

        Args:
            unpacker: for what it says; whatever that raises over rubbish comes out of `receive`.

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
        self._unpacker = unpacker

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

    def send_with(self, packed: bytes, descriptor: int) -> None:
        """Send a short message with an open file, to a process that waits for one.

        Raises:
            OSError: if the process has gone, or does not wait.
        """
        sent = socket.send_fds(self.channel, [packed], [descriptor])
        self.send(packed[sent:])

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

    def receive(self, most: int = _READ_BYTES) -> Iterator[M_co]:
        """Read once, and return the messages that are whole.

        Raises:
            OSError: also where the process has closed its end.
        """
        try:
            piece = self.channel.recv(most)
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

    def kill(self) -> None:
        """Have it end, without waiting for that; `end` is still to be called, best when it `has_ended`."""
        self._process.kill()

    @property
    def resident_bytes(self) -> int:
        """How much memory it holds now; 0 where that cannot be seen."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        except (OSError, ValueError, IndexError):
            return 0

    @property
    def processor_s(self) -> float:
        """How much processor time it has taken; 0 where that cannot be seen."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime
        except (OSError, ValueError, IndexError):
            return 0.0

    @property
    def has_ended(self) -> bool:
        """Whether it has; one that had much memory takes a while."""
        return self._process.poll() is not None

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
