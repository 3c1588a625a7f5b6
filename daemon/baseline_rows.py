"""What the ledger remembers of a comparison with the baseline."""

from collections.abc import Iterator

from daemon.ports.work import BaselineRow
from pipeline.rules.baseline import Comparison, Missing, Seen

_RESOLVED = "resolved"


def baseline_rows(comparison: Comparison, scan_no: int) -> Iterator[BaselineRow]:
    """Give the rows to store: all that this scan saw, and what it showed to be mended."""
    for one in comparison.seen.values():
        yield _row(one, one.status, one.content, scan_no)
    for gone in comparison.resolved:
        yield _row(gone, _RESOLVED, "", scan_no)


def forgotten_rows(comparison: Comparison, scan_no: int) -> Iterator[BaselineRow]:
    """Give rows that stand for what is to be forgotten, as they are staged."""
    for fingerprint in comparison.forget:
        yield BaselineRow(fingerprint, "", "", "", "", scan_no, 0)


def _row(one: Seen | Missing, status: str, content: str, scan_no: int) -> BaselineRow:
    return BaselineRow(
        fingerprint=one.fingerprint,
        class_id=one.class_id,
        status=status,
        content=content,
        first_seen_at=one.first_seen_at,
        last_scan_no=scan_no,
        count=one.count,
        label=one.label,
    )
