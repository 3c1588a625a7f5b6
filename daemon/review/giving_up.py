"""Going on with a log of verdicts whose newer copy is lost for good, because somebody says so."""

from daemon.ledger import Ledger
from daemon.ledger.given_up import GivenUp, give_up
from daemon.review.deciding import Unfit, text
from pipeline.errors import LedgerError
from pipeline.review.chain import Head, check
from pipeline.review.log import VerdictLog


class Refused(LedgerError):
    """Raised when there is nothing to give up, or not this; nothing was changed."""


def go_on_after(ledger: Ledger, log: VerdictLog | None, after: int, *, reason: str, at: str, author: str) -> GivenUp:
    """Give up the verdicts behind the last one that is left.

    Args:
        ledger: opened by the caller alone.
        log: None where there is none any more.
        after: the last verdict of the log, as the person says who wants this; 0 where none is left.

    Raises:
        Unfit: when there is no reason, or it is no text.
        Refused: when nothing is missing, the log does not end there, or it is another one and not only shorter.
    """
    reason = text(reason, "reason")
    if not reason:
        raise Unfit("reason", "say why the newer copy cannot be had any more; it stays with the ledger")
    end = log.head() if log is not None else Head()
    seen = ledger.reviews.anchors()
    lost = [anchor for anchor in seen if anchor.head.seq > end.seq]
    if not lost:
        raise Refused(f"the log ends at verdict {end.seq}, and nobody has seen more: nothing is missing")
    if after != end.seq:
        raise Refused(f"the log ends at verdict {end.seq}, not at {after}; look whether this is the copy that you mean")
    if log is not None:
        kept = [anchor for anchor in seen if anchor.head.seq <= end.seq]
        wrong = next(iter((*log.strange(), *check(log.rows(), kept))), None)
        if wrong is not None:
            raise Refused(f"{wrong}: this is not an older copy of the log, and nothing is given up for it")
    with ledger.database.write() as connection:
        give_up(connection, lost, end, at=at, author=author, reason=reason)
    return GivenUp(end.seq + 1, max(anchor.head.seq for anchor in lost), at, author, reason)
