"""Has a shortage of the host waited for."""

from pipeline.errors import LedgerError
from pipeline.shortage import is_shortage


def wait_for_more(error: BaseException) -> None:
    """Have a shortage waited for, so that it never becomes a final result.

    Raises:
        LedgerError: a transient one, which the callers of a step wait for, if it is a shortage.
    """
    if is_shortage(error):
        raise LedgerError(f"the host has run out of something: {error}", transient=True) from error
