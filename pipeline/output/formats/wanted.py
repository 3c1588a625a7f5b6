"""Which findings of a scan were asked for, and which of them a gate stops at."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from pipeline.finding import LEVELS, Level
from pipeline.output.formats.overview import AT_STAKE
from pipeline.output.formats.scan import Scan
from pipeline.output.records import EnrichedFinding, Issue

_NEW = frozenset({"new", "regressed"})


@dataclass(slots=True, frozen=True)
class Wanted:
    """What findings have to be; all of it.

    Attributes:
        level: at least this bad.
        classes: shell patterns of the class, one of which fits.
        new: not seen before, or open again. Where no baseline is kept, nothing was seen before.
    """

    level: Level | None = None
    classes: tuple[str, ...] = ()
    new: bool = False

    def __bool__(self) -> bool:
        """Say whether anything is left out."""
        return self != _ALL

    def takes(self, finding: EnrichedFinding) -> bool:
        """Say whether a finding is one of those."""
        if self.new and finding.baseline is not None and finding.baseline.state not in _NEW:
            return False
        return self._fits(finding.class_, finding.risk.level)

    def takes_issue(self, issue: Issue) -> bool:
        """Say whether some finding of an issue may be one of those."""
        if self.new and issue.baseline and not _NEW & issue.baseline.keys():
            return False
        return self._fits(issue.class_, issue.level)

    def words(self) -> str:
        """Say what was asked for, in the options that did; empty where that is everything."""
        said = [f"--level {self.level}"] if self.level is not None else []
        said += [f"--class {one}" for one in self.classes]
        return " ".join([*said, "--new"] if self.new else said)

    def of(self, scan: Scan) -> Scan:
        """Give a scan with those findings only; it says that others are left out."""
        if not self:
            return scan
        missing = (*scan.missing, f"Only findings of {self.words()} were asked for; all others are left out here.")
        return replace(scan, findings=_some(scan.findings, self.takes), missing=missing)

    def _fits(self, class_id: str, level: Level) -> bool:
        if self.level is not None and LEVELS.index(level) < LEVELS.index(self.level):
            return False
        return not self.classes or any(fnmatchcase(class_id, pattern) for pattern in self.classes)


_ALL = Wanted()


def count_from(findings: Iterable[EnrichedFinding], level: Level, wanted: Wanted) -> int:
    """Count the findings at stake, of those asked for, that are at least this bad."""
    least = LEVELS.index(level)
    return sum(
        1 for one in findings if one.status in AT_STAKE and LEVELS.index(one.risk.level) >= least and wanted.takes(one)
    )


def _some(
    findings: Callable[[], Iterator[EnrichedFinding]], takes: Callable[[EnrichedFinding], bool]
) -> Callable[[], Iterator[EnrichedFinding]]:
    return lambda: filter(takes, findings())
