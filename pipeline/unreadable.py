"""Why a file cannot be read, and what to do about it."""

import errno
from typing import Final

_ADVICE: Final = {
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "check the name",
    errno.ENAMETOOLONG: "check the name",
    errno.EISDIR: "name a file",
    errno.EACCES: "run this as a user who may read it",
    errno.EPERM: "run this as a user who may read it",
    errno.ELOOP: "check the links in the path",
}


def why_unreadable(error: OSError) -> str:
    """Say it in words for people who named the file."""
    return f"{error.strerror or error}; {_ADVICE.get(error.errno or 0, 'check the disk that it is on')}"
