"""The lock that keeps a second daemon off a state directory."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import LedgerError, LedgerLocked

try:
    import fcntl
except ModuleNotFoundError:  # not on every system; `analyze` does without a ledger there
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NAME = "lock"


class StateLock:
    """An advisory lock on the state directory itself, held until `release` or the end of the process.

    The directory cannot be removed or replaced without the ledger in it, so nobody takes the lock away by tidying up.
    The file `lock` in it holds the pid, to be shown, and is locked too, for versions that know no other lock. The
    operating system drops both when the holder dies, so there are no stale locks.
    """

    def __init__(self, *descriptors: int) -> None:
        self._descriptors = descriptors

    @classmethod
    def acquire(cls, state_dir: Path) -> "StateLock":
        """Take the lock or fail at once.

        Raises:
            LedgerLocked: when another process has it; the message names its pid.
            LedgerError: when there is nothing to lock; transient where that may pass.
        """
        _require_locks(state_dir)
        opened: list[int] = []
        path = state_dir
        try:
            opened.append(os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            _lock(opened[0], state_dir)
            path = state_dir / _NAME
            try:
                opened.append(_open(state_dir))
            except OSError as error:  # a full disk must not keep the daemon from starting to drain
                if error.errno not in _NO_SPACE:
                    raise
                return cls(*opened)
            _lock(opened[1], state_dir)
            _note_pid(opened[1])
        except OSError as error:
            cls(*opened).release()
            raise _explain(path, error) from error
        except BaseException:
            cls(*opened).release()
            raise
        return cls(*opened)

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with a newcomer."""
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)
        self._descriptors = ()


def holder(state_dir: Path) -> int | None:
    """Give the process that owns a state directory, or None where none does."""
    try:
        descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        try:
            return int((state_dir / _NAME).read_text("ascii", "replace").strip())
        except (OSError, ValueError):
            return None
    else:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def setting_up(state_dir: Path) -> Iterator[None]:
    """Let one process at a time create or migrate: `analyze` may meet a starting daemon in an empty directory.

    A record lock, which a process that holds the other kind of lock on the same file does not exclude.

    Raises:
        OSError: when there is nothing to lock.
        LedgerError: on a system without such locks.
    """
    _require_locks(state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = -1
    try:
        try:
            descriptor = _open(state_dir)
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        except OSError as error:  # SQLite's own locks are left, and whoever starts a daemon holds the state directory
            if error.errno not in _NO_SPACE:
                raise
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _require_locks(state_dir: Path) -> None:
    if not _HAS_LOCKS:
        raise LedgerError(
            f"{state_dir}: this system has no file locks (fcntl), so no ledger is kept here; "
            "use `analyze` without --record, or a Linux host"
        )


def _open(state_dir: Path) -> int:
    descriptor = os.open(state_dir / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if os.fstat(descriptor).st_mode & 0o777 != 0o600:  # whatever the umask
        os.fchmod(descriptor, 0o600)
    return descriptor


def _lock(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = _holder(state_dir)
        raise LedgerLocked(
            f"{state_dir}: {who} owns this state directory; stop it first or choose another --state-dir"
        ) from None
    except OSError as error:
        raise LedgerError(f"{state_dir}: cannot be locked: {error.strerror}; use a local file system") from error


def _holder(state_dir: Path) -> str:
    try:
        pid = (state_dir / _NAME).read_text("ascii", "replace").strip()
    except OSError:  # somebody took the file away; the lock is not in it
        pid = ""
    return f"process {pid}" if pid.isdecimal() else "another process"


def _note_pid(descriptor: int) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:  # see above
        if error.errno not in _NO_SPACE:
            raise


def _explain(path: Path, error: OSError) -> LedgerError:
    advice = "make the state directory writable for this user"
    if error.errno == errno.EIO:
        return LedgerError(f"{path}: {error.strerror}; check the disk with `dmesg`", transient=True)
    if error.errno == errno.EROFS:
        return LedgerError(f"{path}: {error.strerror}; remount it writable", transient=True)
    return LedgerError(f"{path}: {error.strerror}; {advice}")
