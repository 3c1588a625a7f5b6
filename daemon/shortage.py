"""Tells a shortage of the host, which passes, from a fault of ours, which does not."""

import errno

from pipeline.errors import LedgerError

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS})


def is_shortage(error: BaseException) -> bool:
    """Say whether descriptors or memory ran out, here or in what led to here."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return False
        if isinstance(seen, MemoryError) or (isinstance(seen, OSError) and seen.errno in _SHORTAGES):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def wait_for_more(error: BaseException) -> None:
    """Have a shortage waited for, so that it never becomes a final result.

    Raises:
        LedgerError: a transient one, which the callers of a step wait for, if it is a shortage.
    """
    if is_shortage(error):
        raise LedgerError(f"the host has run out of something: {error}", transient=True) from error
