"""What a worker's disk does not have of what is to be reviewed, and why."""

from collections.abc import Mapping

from daemon.lane.mark import read_mark
from daemon.ledger import Ledger
from pipeline.display import printable

_NAMED = 10  # partitions in one line

_UNSEEN = """
SELECT count(*), min(host) FROM (
  SELECT DISTINCT host FROM scans WHERE scan_no <= (SELECT value FROM counters WHERE name = 'rebuilt')
  EXCEPT
  SELECT host FROM scans WHERE scan_no > (SELECT value FROM counters WHERE name = 'rebuilt')
)
"""


def kept_elsewhere(ledgers: Mapping[int, Ledger], topic: str) -> list[str]:
    """Say in lines what other disks have, or had, that is not shown here; none where all of it is.

    Args:
        ledgers: of the partitions of the topic that this disk has, by number.
    """
    lines = []
    count = max((_partitions(one) for one in ledgers.values()), default=0)
    absent = [str(number) for number in range(count) if number not in ledgers]
    if absent:
        named = ", ".join(absent[:_NAMED]) + (", …" if len(absent) > _NAMED else "")
        lines.append(
            f"kafka {topic}: {len(absent)} of {count} partitions ({named}) are not on this disk; their hosts are "
            "reviewed where the workers are that have them (`sysscan-agent kafka status`)"
        )
    for number, ledger in sorted(ledgers.items()):
        hosts, first = ledger.database.connection.execute(_UNSEEN).fetchone()
        if hosts:
            lines.append(
                f"kafka {topic}/{number}: {hosts:,} host{'s' * (hosts > 1)} from another disk, not scanned since, such "
                f"as {printable(str(first), 60)}; what was kept for reviews is on that disk, or lost with it: review "
                f"{'them' if hosts > 1 else 'it'} there, or after another scan, which brings all findings here"
            )
    return lines


def _partitions(ledger: Ledger) -> int:
    """Say how many the topic had when something was last delivered from here; 0 where nothing was."""
    connection = ledger.database.connection
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'lane_notes'").fetchone() is None:
        return 0
    row = connection.execute("SELECT value FROM lane_notes WHERE name = 'mark'").fetchone()
    try:
        return 0 if row is None else read_mark(0, str(row[0])).partitions
    except ValueError:
        return 0
