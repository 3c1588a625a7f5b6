"""What the ledger remembers of a comparison with the baseline."""

from daemon.ports import BaselineRow
from pipeline.baseline import Comparison

_RESOLVED = "resolved"


def baseline_rows(comparison: Comparison, scan_no: int) -> list[BaselineRow]:
    """Give the rows to store: all that this scan saw, and what it showed to be mended."""
    seen = [
        BaselineRow(
            fingerprint=one.fingerprint,
            class_id=one.class_id,
            status=one.status,
            content=one.content,
            first_seen_at=one.first_seen_at,
            last_scan_no=scan_no,
            count=one.count,
            label=one.label,
        )
        for one in comparison.seen.values()
    ]
    resolved = [
        BaselineRow(
            fingerprint=one.fingerprint,
            class_id=one.class_id,
            status=_RESOLVED,
            content="",
            first_seen_at=one.first_seen_at,
            last_scan_no=scan_no,
            count=one.count,
            label=one.label,
        )
        for one in comparison.resolved
    ]
    return seen + resolved
