"""Which lines a row of the outbox is in a file."""

from collections.abc import Callable
from typing import Literal

from daemon.log import get_logger
from daemon.ports.outbox import OutboxRow
from pipeline.errors import RecordError
from pipeline.finding import LEVELS, Level
from pipeline.output.ecs import ecs_line
from pipeline.output.lines import LONGEST, line_of, scan_records
from pipeline.output.read import read_finding, read_verdict
from pipeline.output.records import IssueRecord

logger = get_logger(__name__)

Mapping = Literal["plain", "ecs"]
Lines = Callable[[OutboxRow], list[bytes]]

_CHANGED = frozenset({"new", "changed", "regressed", "resolved"})


def line_maker(mapping: Mapping = "plain", *, changes_only: bool = False, min_level: Level = "info") -> Lines:
    """Give the function from a row to its lines, without their ends; the same lines for a row whenever it is asked.

    The record of a scan is a line for each issue that is wanted, as findings are wanted, and then one for the scan.
    """
    made = line_of if mapping == "plain" else ecs_line
    least = LEVELS.index(min_level)

    def wants(issue: IssueRecord) -> bool:
        changed = not issue.baseline or not _CHANGED.isdisjoint(issue.baseline)
        return (changed or not changes_only) and LEVELS.index(issue.level) >= least

    def lines(row: OutboxRow) -> list[bytes]:
        if mapping == "plain" and row.kind != "scan" and len(row.line) < LONGEST:
            return [row.line]
        try:
            if row.kind == "scan":
                records = scan_records(row.line)
                return [made(one) for one in records if not isinstance(one, IssueRecord) or wants(one)]
            return [made(read_finding(row.line) if row.kind == "finding" else read_verdict(row.line))]
        except RecordError as error:  # only a fault of ours; the line as it is is better than none
            logger.warning("sink.line_left_as_it_is", key=row.key, kind=row.kind, error=str(error))
            return [row.line]

    return lines
