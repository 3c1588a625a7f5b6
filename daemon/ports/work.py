"""The ledger's side of analysis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.classes.scan import ScanContext
from pipeline.finding import RawFinding


@dataclass(slots=True, frozen=True, kw_only=True)
class ClosedScan(ScanContext):
    """A scan whose members are fixed; the pipeline may work on it.

    `scan_no` is the place in the order of closing, which orders everything that follows.

    Attributes:
        source: name of the input, such as the path of a file, or ``-`` for standard input.
        findings: how many there are.
        bytes: what they take as they are kept; text that is not ASCII counts fourfold, as in memory.
        late: scans of its host that were closed after it are done already, so that it is compared with nothing and
            changes no baseline. It was set aside, and a person had it tried again.
        verdicts, verdicts_head: up to which verdict of the log it is judged with, and the hash of the log there.
    """

    source: str
    findings: int
    bytes: int = 0
    late: bool = False
    verdicts: int = 0
    verdicts_head: str = ""


@dataclass(slots=True, frozen=True)
class Batch:
    """Findings `first` (inclusive) to `last` (exclusive) of a scan; membership is committed before the graph runs."""

    batch_id: int
    scan_no: int
    first: int
    last: int
    attempt: int = 0


@dataclass(slots=True, frozen=True)
class BaselineRow:
    """What the host's earlier scans of the same profile said of one fingerprint.

    `label` names the finding for people (its path, unit, parameter) when it is no longer in a report.
    """

    fingerprint: str
    class_id: str
    status: str
    content: str
    first_seen_at: str
    last_scan_no: int
    count: int
    label: str = ""


@dataclass(slots=True, frozen=True)
class Reviewable:
    """What is kept of a finding so that somebody can review it later.

    Attributes:
        situation: its digest; `said` spells it out, as JSON.
        status, level, score: in effect, but for a verdict.
        profile: what its scan covered, or empty.
        keys: dedupe keys of its lines.
        line: the worst of them.
    """

    fingerprint: str
    situation: str
    said: bytes
    class_id: str
    scanner: str
    status: str
    level: str
    score: int
    profile: str
    keys: tuple[str, ...]
    line: bytes


class Work(Protocol):
    """Closed scans, in the order of closing, and what becomes of them."""

    def next_scan(self) -> ClosedScan | None:
        """Give the oldest closed scan that is neither done nor set aside.

        Here and below:

        Raises:
            ScanDamaged: when what is kept of a scan cannot be read; `set_aside` it, and go on.
        """

    def set_aside(self, scan_no: int, reason: str) -> None:
        """Take a scan out of the way, durably, until a person has it tried again; what is kept of it stays."""

    def count_attempt(self, scan_no: int, reason: str) -> bool:
        """Count durably that a process ended over a scan, or could not go on with it.

        The second time, with no batch done in between, the scan is set aside; returns whether it is now.
        """

    def findings(self, scan_no: int, first: int = 0, limit: int = -1) -> list[RawFinding]:
        """Give the findings of a scan from the position `first` on, in report order; a negative `limit` is none."""

    def plan(self, scan_no: int, size: int) -> list[Batch]:
        """Commit the batches of a scan (once; a later call with another size keeps the first plan) and return
        those that are not done, in order. A scan so large that there would be very many has larger ones, and one of
        large findings smaller ones."""

    def retry_batch(self, batch: Batch) -> Batch:
        """Count another attempt at a batch durably; returns the batch with the new count."""

    def commit_batch(
        self, batch: Batch, rows: Sequence[tuple[str, str, bool, bytes]], retained: Sequence[Reviewable] = ()
    ) -> None:
        """Store (dedupe key, level, changed, line) rows in the outbox and mark the batch done, in one transaction;
        with them goes what is `retained` for reviews."""

    def finish_scan(
        self,
        scan: ClosedScan,
        record: bytes,
        baseline: Sequence[BaselineRow],
        gone: Sequence[str],
        profile: str,
        staged: int = 0,
        resolves: bool = False,
    ) -> None:
        """Store the scan record, update the baseline (upsert `baseline`, delete fingerprints `gone`), delete the
        inbox rows and mark the scan done, in one transaction. Of a large scan the first `staged` rows of
        `stage_baseline` are the update, and they and the inbox are left to `settle`. `resolves`: what this scan does
        not have is gone from its host, and need not be reviewed."""

    def stage_baseline(self, scan_no: int, start: int, rows: Sequence[BaselineRow]) -> None:
        """Store rows, numbered from `start`, that count when the scan is finished, and never otherwise; the same
        numbers again replace them. A row without a status is to be forgotten."""

    def settle(self) -> bool:
        """Do a bounded piece of what finished scans left to do; returns whether there was any. Until it returns
        False, the baseline is not that of the last finished scan."""

    def baseline(self, host: str, profile: str, after: str = "", limit: int = -1) -> dict[str, BaselineRow]:
        """Give what is remembered, by fingerprint and in that order, from the one after `after` on."""
