"""What the ledger remembers of a comparison with the baseline."""

from daemon.ports.work import BaselineRow
from pipeline.rules.baseline import Comparison, Missing, Seen

_RESOLVED = "resolved"


def baseline_rows(comparison: Comparison, scan_no: int) -> list[BaselineRow]:
    """Give the rows to store: all that this scan saw, and what it showed to be mended."""
    seen = [_row(one, one.status, one.content, scan_no) for one in comparison.seen.values()]
    return seen + [_row(one, _RESOLVED, "", scan_no) for one in comparison.resolved]


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
