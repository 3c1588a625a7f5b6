"""`--fail-on`: ends a command with an exit code of its own where something is too bad to go on."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from daemon.cli.exits import Exit, say
from daemon.cli.failures import leave_closed_pipe
from pipeline.finding import LEVELS, Level
from pipeline.output.formats.scan import Scan
from pipeline.output.formats.wanted import Wanted, count_from
from pipeline.output.issues import issues_of
from pipeline.output.records import EnrichedFinding, Issue, ScanRecord


class Gate:
    """Counts findings that are too bad.

    What is accepted or a false positive does not count, nor what the filters leave out.
    """

    def __init__(self, level: Level | None, wanted: Wanted) -> None:
        """Args: `level`: None lets everything pass."""
        self._level, self._wanted = level, wanted
        self._findings = self._unseen = 0
        self._lacks_past = False  # some finding has nothing that it could be newer than
        self._left_out = 0  # findings that would be too bad, but for the filters
        self._blind = 0  # scans of which not all is known
        self._issues: int | None = 0  # that the findings make, as the summary counts them; None where no record says so

    def count(self, findings: Iterable[EnrichedFinding]) -> set[str]:
        """Take findings in; give the keys of those that are too bad."""
        bad: set[str] = set()
        for one in self._without_past(findings):
            if self._level is None:
                continue
            if self._wanted and not self._wanted.takes(one):
                self._left_out += count_from((one,), self._level, Wanted())
            elif count_from((one,), self._level, self._wanted):
                self._findings += 1
                bad.add(one.dedupe_key)
        return bad

    def look(self, record: ScanRecord | None, fine: Collection[str] = ()) -> None:
        """Note the issues of a scan, and where it is not whole, or its record, which would say so, is not there.

        Args:
            fine: keys of findings that are not too bad now, whatever they were when the record was made.
        """
        self._blind += record is None or not record.complete
        if record is None:
            self._issues = None
        elif self._issues is not None:
            self._issues += sum(1 for issue in self._too_bad(record) if not _is_settled(issue, fine))

    def note_past(self, record: ScanRecord) -> None:
        """Note where a scan has no earlier one that its findings could be newer than."""
        self._lacks_past = self._lacks_past or record.baseline is None

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Do not let a reader that leaves early pass for a gate that was passed."""
        try:
            yield
        except BrokenPipeError:
            if self._level is None:
                raise
            say(f"sysscan-agent: --fail-on {self._level}: the reader of the output left before all was looked at")
            leave_closed_pipe(Exit.GATE)

    def watch(self, scans: Iterable[Scan]) -> Iterator[Scan]:
        """Give scans on, and take their findings in.

        Where a source says that it lacks findings, what the record of the scan says of them counts.
        """
        for scan in scans:
            if self._level is not None:
                keys: set[str] = set()
                bad = self.count(_keyed(scan.findings(), keys))
                self.look(scan.record, keys - bad)
                if scan.is_part and scan.record is not None:
                    self._unseen += self._gone(scan.record, keys, len(bad))
            elif self._wanted.new:
                scan = replace(scan, findings=_counted(scan.findings, self._without_past))
            yield scan

    def ended(self, code: Exit) -> Exit:
        """Say what stopped the gate, and how the command ends."""
        if self._lacks_past and self._wanted.new:
            say("sysscan-agent: --new: no earlier scans are known of some findings, so that all of these count as new")
        bad = self._findings + self._unseen
        if self._level is not None and self._left_out:
            many = "1 finding" if self._left_out == 1 else f"{self._left_out:,} findings"
            say(f"sysscan-agent: --fail-on {self._level}: {many} of this level or worse left out by a filter")
        if not bad and self._level is not None and self._blind:
            many = "1 scan is" if self._blind == 1 else f"{self._blind:,} scans are"
            say(f"sysscan-agent: --fail-on {self._level}: {many} not whole, so worse may be missing from the input")
            return Exit.REJECTED if code == Exit.DONE else code
        if not bad:
            return code
        many = "1 finding" if bad == 1 else f"{bad:,} findings"
        if self._issues:
            many = f"1 issue ({many})" if self._issues == 1 else f"{self._issues:,} issues ({many})"
        said = f", of {self._wanted.words()}" if self._wanted else ""
        if self._unseen:
            said += f"; {self._unseen:,} of the findings are not in the input, but counted in its line of the scan"
        say(f"sysscan-agent: --fail-on {self._level}: {many} of this level or worse{said}")
        return Exit.GATE

    def _gone(self, record: ScanRecord, keys: Collection[str], seen: int) -> int:
        """Count findings that are too bad by the record, and not among those that were seen.

        Of issues whose lines are gone as well the record has numbers alone, which no filter can be asked about.
        """
        named = sum(len({*issue.examples} - {*keys}) for issue in self._too_bad(record))
        if self._wanted or self._level is None:
            return named
        levels = LEVELS[LEVELS.index(self._level) :]
        return max(named, sum(record.counts.level.get(level, 0) for level in levels) - seen)

    def _too_bad(self, record: ScanRecord) -> Iterator[Issue]:
        if self._level is not None:
            least = LEVELS.index(self._level)
            for issue in issues_of(record):
                if LEVELS.index(issue.level) >= least and self._wanted.takes_issue(issue):
                    yield issue

    def _without_past(self, findings: Iterable[EnrichedFinding]) -> Iterator[EnrichedFinding]:
        """Give findings on; note where one has no earlier scan to be held to."""
        for one in findings:
            self._lacks_past = self._lacks_past or one.baseline is None
            yield one


def _is_settled(issue: Issue, fine: Collection[str]) -> bool:
    """Say whether all findings of an issue are named by it, and not too bad any more."""
    return issue.lines <= len(issue.examples) and all(key in fine for key in issue.examples)


def _counted(
    findings: Callable[[], Iterator[EnrichedFinding]],
    count: Callable[[Iterable[EnrichedFinding]], Iterator[EnrichedFinding]],
) -> Callable[[], Iterator[EnrichedFinding]]:
    return lambda: count(findings())


def _keyed(findings: Iterable[EnrichedFinding], keys: set[str]) -> Iterator[EnrichedFinding]:
    for one in findings:
        keys.add(one.dedupe_key)
        yield one
