"""Files of SQLite on the file system that they lie on: how they are named to be read, made, and told from others."""

import os
from pathlib import Path

READ_ONLY = (
    "it lies on a read-only file system, with changes beside it (-wal) or to be written: copy the whole directory to "
    "where you may write, and look there"
)


def uri_to_read(path: Path) -> str:
    """Name a database for SQLite to read, also on a file system that is read-only, where it can make nothing beside it.

    What was written and not taken in yet lies beside it, and must not be left out: then SQLite refuses.
    """
    beside = path.with_name(f"{path.name}-wal")
    is_all_there = not beside.exists() or not beside.stat().st_size
    immutable = "&immutable=1" if is_read_only(path) and is_all_there else ""
    return f"{path.absolute().as_uri()}?mode=ro{immutable}"


def is_read_only(path: Path) -> bool:
    """Say whether a file lies on a file system that is read-only."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def identity(path: Path) -> tuple[int, int] | None:
    """Say which file bears a name now, or None where there is none (or none that we may see)."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def touch(path: Path) -> None:
    """Make the file with mode 0600, for the owner of its directory: root must not take it from the service."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        status = os.fstat(descriptor)
        if status.st_mode & 0o777 != 0o600:
            os.fchmod(descriptor, 0o600)
        owner = path.parent.stat()
        if os.geteuid() == 0 and not status.st_size and status.st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)
