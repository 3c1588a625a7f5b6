"""What the findings of a scan come to, gathered one at a time: bounded by how many kinds and controls there are."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from pipeline.analysis.question import UNKNOWN
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Status
from pipeline.output.formats.controls import ControlsSeen
from pipeline.output.formats.scan import Scan
from pipeline.output.formats.subject import subject_of
from pipeline.output.records import EnrichedFinding, ScanRecord, VerdictsInUse
from pipeline.retrieval.likely import FirstLook
from pipeline.rules.remediate import Action

AT_STAKE: Final[frozenset[Status]] = frozenset({"open", "unknown", "error"})
SETTLED: Final[frozenset[Status]] = frozenset({"accepted", "false_positive"})
EXAMPLES: Final = 5
_MOST_KINDS = 500  # a report can make up any number of titles and situations
_TITLE, _DESCRIPTION = 200, 600  # characters of the scanner's words
OLDER_STORY: Final = "As the scan saw it; verdicts since then are not in these sentences."

_Alike = tuple[str, ...]


@dataclass(slots=True)
class Kind:
    """Findings at stake of one level about which the same is said and the same is to be done, each in its own name.

    Attributes:
        worst: the first of those with the highest score; what is said of the kind is what its line says.
        mixed: they have no more in common than class and level, because there are too many kinds to tell apart.
        names: how many findings bear each of at most `EXAMPLES` names.
    """

    worst: EnrichedFinding
    mixed: bool = False
    findings: int = 0
    names: dict[str, int] = field(default_factory=dict)

    def add(self, finding: EnrichedFinding) -> None:
        """Take a finding in."""
        if finding.risk.score > self.worst.risk.score:
            self.worst = finding
        self.findings += 1
        name = _label(finding)
        if name in self.names or len(self.names) < EXAMPLES:
            self.names[name] = self.names.get(name, 0) + 1

    @property
    def examples(self) -> tuple[str, ...]:
        """What at most `EXAMPLES` of them are about, that of the worst first."""
        return tuple(dict.fromkeys((_label(self.worst), *self.names)))[:EXAMPLES]

    @property
    def more(self) -> int:
        """How many of them have other names than `examples`."""
        return self.findings - sum(self.bearing(name) for name in self.examples)

    def bearing(self, name: str) -> int:
        """Count those of a name out of `examples`; of others, none."""
        return self.names.get(name, int(name == _label(self.worst)))

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
        members: names of findings that the patterns of the scan record name, by their dedupe keys.
    """

    status: Counter[Status] = field(default_factory=Counter)
    level: Counter[Level] = field(default_factory=Counter)
    state: Counter[str] = field(default_factory=Counter)
    listed: Counter[Level] = field(default_factory=Counter)
    kinds: dict[tuple[Level, _Alike], Kind] = field(default_factory=dict)
    controls: ControlsSeen = field(default_factory=ControlsSeen)
    not_analysed: int = 0
    verdicts: VerdictsInUse | None = None
    members: dict[str, str] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """Count the findings that somebody has settled; without any, nobody needs to look for them."""
        return sum(self.status[status] for status in SETTLED)

    def worst_first(self) -> list[Kind]:
        """Give the kinds that are at stake, the worst first."""
        return sorted(
            self.kinds.values(),
            key=lambda kind: (
                -LEVELS.index(kind.worst.risk.level), -kind.worst.risk.score, -kind.findings, kind.worst.class_
            ),
        )  # fmt: skip


def overview(scan: Scan) -> Overview:
    """Look through the findings of a scan once."""
    seen = Overview()
    wanted = {key for group in scan.record.correlations for key in group.members} if scan.record is not None else set()
    for finding in scan.findings():
        seen.status[finding.status] += 1
        seen.controls.add(finding)
        if any(one.caution is None and one.evidence in ("failing", "disputed") for one in finding.compliance):
            seen.listed[finding.risk.level] += 1
        seen.not_analysed += finding.analysis.fallback_reason == "internal_error"
        used = finding.provenance.verdicts
        if used is not None and (seen.verdicts is None or used.seq > seen.verdicts.seq):
            seen.verdicts = used
        if finding.dedupe_key in wanted:
            settled = "" if finding.status in AT_STAKE else f" [{finding.status.replace('_', ' ')}]"
            seen.members[finding.dedupe_key] = _label(finding) + settled
        if finding.status not in AT_STAKE:
            continue
        if finding.baseline is not None:
            seen.state[finding.baseline.state] += 1
        level = finding.risk.level
        seen.level[level] += 1
        key = level, _alike(finding)
        mixed = key not in seen.kinds and len(seen.kinds) >= _MOST_KINDS
        if mixed:
            key = level, ("unknown" if says_little(finding) else finding.class_,)
        kind = seen.kinds.get(key)
        if kind is None:
            kind = seen.kinds[key] = Kind(finding, mixed)
        kind.add(finding)
    return seen


def is_story_older(seen: Overview, record: ScanRecord) -> bool:
    """Say whether findings were judged with verdicts that the record of their scan does not know."""
    known = record.provenance.verdicts
    return seen.verdicts is not None and (known is None or known.seq < seen.verdicts.seq)


def says_little(finding: EnrichedFinding) -> bool:
    """Say whether no class knows the finding, so that what counts is what the scanner says of it."""
    return finding.likely is not None or finding.class_.startswith(UNKNOWN)


def words_of_scanner(finding: EnrichedFinding) -> str:
    """Give the scanner's title and description where the kind is not known, or not by its known words; else nothing.

    They are cut and act on nothing, but anybody may have chosen them.
    """
    if not (says_little(finding) or finding.class_candidates or finding.class_basis not in ("exact", "review")):
        return ""
    title, description = finding.finding.title, finding.finding.description
    shown = printable(title or "", _TITLE), printable(description or "", _DESCRIPTION)
    return ": ".join(dict.fromkeys(filter(None, shown)))


def _alike(finding: EnrichedFinding) -> _Alike:
    """Name what findings have in common of which the same is said and about which the same is to be done."""
    said, artefact, review = finding.analysis, finding.artefact, finding.review
    return (
        finding.class_,
        said.situation,
        said.key if said.text_by == "model" else "",
        said.action or "",
        "" if artefact is None else f"{artefact.id} {artefact.degree}",
        "" if review is None else str(review.seq),
        (finding.finding.title or "") if says_little(finding) else "",
    )


def _label(finding: EnrichedFinding) -> str:
    """Name what a finding is about; one program runs as many processes."""
    name, process = subject_of(finding).name, finding.slots.get("pid")
    return f"{name} (process {process})" if process else name
