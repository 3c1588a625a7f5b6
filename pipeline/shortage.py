"""Tells a shortage of the host, which passes, from a mistake of a person or a fault of ours, which do not.

Whoever makes an error of one that led to it keeps that as its cause, so that it still shows.
"""

import errno

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS})


def is_shortage(error: BaseException) -> bool:
    """Say whether descriptors or memory ran out, here or in what led to here."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return False
        if isinstance(seen, MemoryError) or (isinstance(seen, OSError) and seen.errno in _SHORTAGES):
            return True
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return False
