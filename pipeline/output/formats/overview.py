"""What the findings of a scan come to, gathered one at a time: bounded by how many kinds and controls there are."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from pipeline.finding import LEVELS, Level, Status
from pipeline.output.formats.controls import ControlsSeen
from pipeline.output.formats.scan import Scan
from pipeline.output.formats.subject import subject_of
from pipeline.output.records import EnrichedFinding, VerdictsInUse
from pipeline.retrieval.likely import FirstLook
from pipeline.rules.remediate import Action

AT_STAKE: Final[frozenset[Status]] = frozenset({"open", "unknown", "error"})
SETTLED: Final[frozenset[Status]] = frozenset({"accepted", "false_positive"})
EXAMPLES: Final = 5
_MOST_KINDS = 500  # told apart by titles; a report can make up any number of them


@dataclass(slots=True)
class Kind:
    """Findings of one class and level that are at stake; those that no class knows by the scanner's title, too.

    Attributes:
        name: the class, and the title where it counts.
        worst: the first of those with the highest score.
        examples: what at most `EXAMPLES` of them are about.
    """

    name: str
    worst: EnrichedFinding
    findings: int = 0
    examples: dict[str, None] = field(default_factory=dict)

    @property
    def action(self) -> Action | None:
        """What to do first about the worst of them, if anything is to be done."""
        chosen = self.worst.analysis.action
        return next((one for one in self.worst.remediation if one.id == chosen), None)

    @property
    def look(self) -> FirstLook | None:
        """What to look at first where no class knows the finding; it changes nothing."""
        return self.worst.likely.look if self.worst.likely is not None else None


@dataclass(slots=True)
class Overview:
    """What the findings of a scan are, counted.

    Attributes:
        level: of findings at stake.
        listed: of findings that speak against a control, or would if the scanner were not probably mistaken.
        state: of findings at stake, against earlier scans.
        verdicts: the latest prefix of the log of verdicts that a finding was judged with.
    """

    status: Counter[Status] = field(default_factory=Counter)
    level: Counter[Level] = field(default_factory=Counter)
    state: Counter[str] = field(default_factory=Counter)
    listed: Counter[Level] = field(default_factory=Counter)
    kinds: dict[tuple[Level, str], Kind] = field(default_factory=dict)
    controls: ControlsSeen = field(default_factory=ControlsSeen)
    not_analysed: int = 0
    verdicts: VerdictsInUse | None = None

    def worst_first(self) -> list[Kind]:
        """Give the kinds that are at stake, the worst first."""
        ordered = sorted(
            self.kinds.items(),
            key=lambda item: (-LEVELS.index(item[0][0]), -item[1].worst.risk.score, -item[1].findings, item[0][1]),
        )
        return [kind for _, kind in ordered]


def overview(scan: Scan) -> Overview:
    """Look through the findings of a scan once."""
    seen = Overview()
    for finding in scan.findings():
        seen.status[finding.status] += 1
        seen.controls.add(finding)
        if any(one.caution is None and one.evidence in ("failing", "disputed") for one in finding.compliance):
            seen.listed[finding.risk.level] += 1
        seen.not_analysed += finding.analysis.fallback_reason == "internal_error"
        used = finding.provenance.verdicts
        if used is not None and (seen.verdicts is None or used.seq > seen.verdicts.seq):
            seen.verdicts = used
        if finding.status not in AT_STAKE:
            continue
        if finding.baseline is not None:
            seen.state[finding.baseline.state] += 1
        level = finding.risk.level
        seen.level[level] += 1
        name = _name(finding) if len(seen.kinds) < _MOST_KINDS else finding.class_
        kind = seen.kinds.get((level, name))
        if kind is None:
            kind = seen.kinds[level, name] = Kind(name, finding)
        elif finding.risk.score > kind.worst.risk.score:
            kind.worst = finding
        kind.findings += 1
        if len(kind.examples) < EXAMPLES:
            kind.examples.setdefault(subject_of(finding).name)
    return seen


def _name(finding: EnrichedFinding) -> str:
    title = finding.finding.title
    return f"{finding.class_}: {title}" if finding.likely is not None and title else finding.class_
