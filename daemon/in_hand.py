"""Remembers which scan is worked on, so that the next process knows what the last one ended over.

The note is a few bytes, written over in place. It is not synced: what ends a process leaves what it wrote to the
kernel, and a host that lost its power has not ended over a scan.

Somebody who kills the process at any moment must not make a scan look guilty. A fault in a library (or the watchdog of
systemd) comes as a signal that Python can note before it ends, with the place in the code: `crash`. What runs out of
memory is killed without a word, as it is by a person; then the scan counts as the cause only where it is heavy.
"""

import faulthandler
import os
from dataclasses import dataclass
from pathlib import Path

from daemon.log import get_logger

logger = get_logger(__name__)

HEAVY_BYTES = 8 << 20  # of a scan: it takes some 50 MB to work on, and real ones have 1 MB
_NOTE_BYTES = 64
_CRASH_BYTES = 4_000


@dataclass(slots=True, frozen=True)
class Ended:
    """What the last process had in hand when it ended without letting go of it.

    Attributes:
        crash: what Python noted of a fatal signal, the first lines; empty where it noted nothing.
    """

    scan_no: int
    heavy: bool
    crash: str

    @property
    def reason(self) -> str | None:
        """Say why the scan is taken for the cause, or None where nothing speaks for that."""
        if self.crash:
            return f"a process crashed over it ({self.crash.splitlines()[0]})"
        return "a process was killed over it, perhaps for the memory that it takes" if self.heavy else None


class InHand:
    """The note of this process.

    Attributes:
        ended: what the note of the last process says, or None where it had nothing in hand.
    """

    def __init__(self, path: Path) -> None:
        """Read the note of the last process, and begin our own; where there is no room for it, go without."""
        self._path = path
        self._file = -1
        self.ended: Ended | None = None
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self.ended = _parse(os.pread(self._file, _NOTE_BYTES + _CRASH_BYTES, 0))
            self._write(b"")
            os.ftruncate(self._file, _NOTE_BYTES)
        except OSError as error:
            logger.warning("in_hand.not_noted", path=str(path), error=error.strerror)
            self._give_up()

    def note_crashes(self) -> None:
        """Have fatal signals of this process noted behind the scan in hand, instead of nowhere."""
        try:
            self._crashes = self._path.open("ab", buffering=0)
        except OSError as error:
            logger.warning("in_hand.crashes_not_noted", path=str(self._path), error=error.strerror)
            return
        faulthandler.enable(self._crashes)

    def take(self, scan_no: int, size: int) -> None:
        """Note that a scan is worked on; `size` as `ClosedScan.bytes` has it."""
        self._write(b"%d %d" % (scan_no, size))

    def let_go(self) -> None:
        """Note that none is."""
        self._write(b"")

    def close(self) -> None:
        """Let go, and close the file."""
        self.let_go()
        self._give_up()

    def _write(self, note: bytes) -> None:
        if self._file >= 0:
            try:
                os.pwrite(self._file, note.ljust(_NOTE_BYTES - 1) + b"\n", 0)
            except OSError as error:
                logger.warning("in_hand.not_noted", path=str(self._path), error=error.strerror)

    def _give_up(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _parse(said: bytes) -> Ended | None:
    note, crash = said[:_NOTE_BYTES].split(), said[_NOTE_BYTES:].decode("utf-8", "replace").strip()
    if len(note) != 2 or not all(part.isdigit() for part in note):
        return None
    return Ended(int(note[0]), int(note[1]) >= HEAVY_BYTES, crash)
