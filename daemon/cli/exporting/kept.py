"""Scans as the ledger has them: the findings as they were seen last, judged with all verdicts that there are."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from daemon.ledger import Ledger, ScanEntry
from daemon.ledger.retained import Retained
from daemon.review.audit import lacking
from daemon.settings import Settings
from pipeline.errors import LedgerError, RecordError
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.output.formats.scan import Past, Scan
from pipeline.output.latest import with_verdict
from pipeline.output.read import read_counts, read_finding, read_scan
from pipeline.output.records import EnrichedFinding, ScanRecord, VerdictsInUse
from pipeline.output.superseding import OutAlready, as_it_counts
from pipeline.remembered import Remembered
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, read_standing
from pipeline.review.standing import NONE
from pipeline.review.verdict import Situation
from pipeline.rules.policy import Policy, load_policy

T = TypeVar("T")

_ROWS = 256  # read at a time, some 1.5 MB


class KeptScans:
    """What a ledger keeps, for formats; use it within one `snapshot` of its database.

    Attributes:
        lacking: why no verdict counts, in a sentence; None where the log is what the ledger has seen of it.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        """Raises:
        LedgerError: if the log of verdicts cannot be read.
        ConfigError: if there are verdicts, and the policy that they are held to cannot be read.
        """
        self._ledger = ledger
        self._standing, self._policy = NONE, Policy()
        self.lacking = lacking(settings.state_dir / FILE_NAME, ledger)
        if self.lacking is None and (settings.state_dir / FILE_NAME).exists():
            self._standing = read_standing(settings.state_dir)
        if self._standing.head.seq:
            knowledge = load_knowledge(load_features, settings.knowledge_dirs)
            self._policy = load_policy(settings.policy_files, knowledge)
        self._situations: Remembered[str, Situation | None] = Remembered(_ROWS)

    def latest(self, host: str | None = None) -> Iterator[Scan]:
        """Give the latest scan of each host and scope, or of one host only.

        Raises:
            LedgerError: if a record cannot be read.
        """
        return map(self.scan, self._ledger.records.latest(host))

    def has_findings(self, entry: ScanEntry) -> bool:
        """Say whether findings of a scan are still kept that it was the last to see."""
        return self._ledger.reviews.kept_of(entry.scan_no)[0] > 0

    def scan(self, entry: ScanEntry) -> Scan:
        """Give one scan."""
        record = None
        if entry.record is not None:
            record = _read(read_scan, entry.record, f"the record of scan {entry.scan_id}")
        number = entry.scan_no
        return Scan(
            entry.scan_id,
            entry.host,
            record,
            lambda: self._findings(number),
            tuple(self._missing(entry, record)),
            lambda: self._history(entry),
            self._ledger.reviews.kept_of(number)[1] < entry.findings,
        )

    def _history(self, entry: ScanEntry) -> tuple[Past, ...]:
        """Say what the scans before this one came to, as far as their records are kept."""
        before = [
            one
            for one in self._ledger.records.rows(host=entry.host, profile=entry.profile)
            if one.scan_no < entry.scan_no and one.record is not None
        ]
        found = []
        for one in reversed(before):
            counts = _read(read_counts, one.record or b"", f"the record of scan {one.scan_id}")
            found.append(Past(one.scan_id, one.as_of, counts.level))
        return tuple(found)

    def _missing(self, entry: ScanEntry, record: ScanRecord | None) -> Iterator[str]:
        if self.lacking is not None:
            yield f"No verdict of a reviewer counts here: {self.lacking}."
        findings, lines = self._ledger.reviews.kept_of(entry.scan_no)
        if lines < entry.findings:
            yield (
                f"The ledger has {lines:,} of the {entry.findings:,} lines of the scan; the others were seen again by "
                "a later scan, or are too old or too many."
            )
        if findings < lines:
            yield f"Of lines about one thing the worst is here: {findings:,} findings stand for {lines:,} lines."
        waiting = self._ledger.quarantine.num_open()
        if waiting:
            pieces = "1 piece" if waiting == 1 else f"{waiting:,} pieces"
            yield f"In quarantine: {pieces} of input that could not be used (`sysscan-agent ledger quarantine list`)."
        aside = self._ledger.aside.count()
        if aside:
            scans = "1 scan" if aside == 1 else f"{aside:,} scans"
            yield f"Set aside and not analysed: {scans} (`sysscan-agent ledger aside list`)."

    def decided_since(self, entry: ScanEntry) -> Iterator[tuple[int, EnrichedFinding, EnrichedFinding]]:
        """Give the findings of a scan about which something was decided after their lines went out: for how many
        different lines each stands, as it was told, and as it is now.

        Raises:
            LedgerError: if a finding cannot be read.
        """
        if self._standing.head.seq:
            for row, line in self._lines(entry.scan_no):
                now = self._latest(row, line)
                if now.review != line.review:
                    yield -(-row.lines // line.occurrences), line, now

    def _findings(self, scan_no: int) -> Iterator[EnrichedFinding]:
        for row, line in self._lines(scan_no):
            yield self._latest(row, line)

    def _lines(self, scan_no: int) -> Iterator[tuple[Retained, EnrichedFinding]]:
        store = self._ledger.reviews
        after = 0
        while rows := store.of_scan(scan_no, after, _ROWS):
            after = rows[-1].row
            lines = store.lines([row.row for row in rows])
            for row in rows:
                yield row, _read(read_finding, lines.get(row.row, b""), f"the line of finding {row.fingerprint}")

    def _latest(self, row: Retained, line: EnrichedFinding) -> EnrichedFinding:
        head, used = self._standing.head, line.provenance.verdicts
        situation = self._situation(row.situation)
        judged = Head() if used is None else Head(used.seq, used.head)
        if situation is None or (self.lacking is None and judged == head):
            return line  # else with less than there is, or with what was given up
        verdict = self._standing.find(line.host, line.fingerprint, situation, line.as_of)
        if verdict is None and line.review is None:
            return line
        now = as_it_counts(OutAlready(line, situation, row.keys), self._standing, self._policy, line.as_of)
        upto = VerdictsInUse(head.seq, head.hash)
        return with_verdict(line, verdict, now.status, now.level, now.overruled, upto)

    def _situation(self, name: str) -> Situation | None:
        if name not in self._situations:
            self._situations[name] = self._ledger.reviews.situation(name)
        return self._situations[name]


def _read(read: Callable[[bytes], T], line: bytes, what: str) -> T:
    try:
        return read(line)
    except RecordError as error:
        raise LedgerError(f"{what} cannot be read: {error}") from error
