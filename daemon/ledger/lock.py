"""The lock that keeps a second daemon off a state directory."""

import errno
import fcntl
import os
from pathlib import Path

from pipeline.errors import LedgerError, LedgerLocked

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class StateLock:
    """An advisory lock on the file `lock`, held until `release` or the end of the process.

    The operating system drops it when the holder dies, so there are no stale locks; the pid inside is only there
    to be shown.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, state_dir: Path) -> "StateLock":
        """Take the lock or fail at once.

        Raises:
            LedgerLocked: when another process has it; the message names its pid.
        """
        path = state_dir / "lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LedgerError(f"{path}: {error.strerror}; make the state directory writable for this user") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if not isinstance(error, BlockingIOError):
                raise LedgerError(f"{path}: cannot be locked: {error.strerror}; use a local file system") from error
            who = f"process {holder}" if holder else "another process"
            raise LedgerLocked(
                f"{state_dir}: {who} owns this state directory; stop it first or choose another --state-dir"
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:  # a full disk must not keep the daemon from starting to drain
            if error.errno not in _NO_SPACE:
                os.close(descriptor)
                raise LedgerError(f"{path}: {error.strerror}; check the disk") from error
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with a newcomer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
