"""The evidence of a scan by control, gathered one finding at a time: bounded by how many controls there are."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.finding import LEVELS, Level
from pipeline.knowledge.schema import Basis, Framework
from pipeline.output.formats.subject import subject_of
from pipeline.output.records import EnrichedFinding, ScanRecord
from pipeline.rules.compliance import BASES, MAX_SAMPLE, Evidence

_TITLES: dict[Framework, tuple[str, str]] = {
    "nist_800_53_r5": ("NIST SP 800-53", "Revision 5"),
    "nist_csf_2_0": ("NIST Cybersecurity Framework", "2.0"),
    "pci_dss_4_0": ("PCI DSS", "4.0"),
    "hipaa": ("HIPAA Security Rule", "45 CFR 164"),
}
_ORDER: tuple[Evidence, ...] = ("failing", "supporting", "disputed", "none")  # what says the most first
_SOURCES = 5  # that are named of a control
_MOST_SOURCES = 50  # that are told apart


@dataclass(slots=True, frozen=True)
class Example:
    """One finding that says something about a control."""

    dedupe_key: str
    class_: str
    about: str
    evidence: Evidence
    level: Level
    basis: Basis
    source: str


@dataclass(slots=True)
class ControlEvidence:
    """What the findings of a scan say about one control.

    Attributes:
        counts: findings by what they say.
        accepted: of the failing ones, those that somebody answers for.
        basis: the strongest of those findings that say the most.
        sources: who says so of those of this basis.
        level: the worst of the failing findings.
        examples: at most ten, those that say the most first, and of these those of the strongest basis.
    """

    framework: Framework
    control: str
    title: str
    counts: dict[Evidence, int] = field(default_factory=dict)
    accepted: int = 0
    basis: Basis = "inferred"
    sources: dict[str, None] = field(default_factory=dict)
    level: Level = "info"
    examples: list[Example] = field(default_factory=list)

    @property
    def evidence(self) -> Evidence:
        """What they say together: one that speaks against the control outweighs the others."""
        return next((one for one in _ORDER if self.counts.get(one)), "none")

    @property
    def sources_named(self) -> str:
        """Name some of the sources, each once."""
        more = len(self.sources) - _SOURCES
        return "; ".join((*list(self.sources)[:_SOURCES], *([f"{more} more"] if more > 0 else ())))

    def named(self, most: int) -> tuple[str, ...]:
        """Name what findings are about that say what all of them say together, each once."""
        names = dict.fromkeys(one.about for one in self.examples if one.evidence == self.evidence)
        return tuple(names)[:most]


class ControlsSeen:
    """Gathers what findings say about controls."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Framework, str], ControlEvidence] = {}

    def add(self, finding: EnrichedFinding) -> None:
        """Count a finding; mappings with a caution count nowhere."""
        for control in finding.compliance:
            if control.caution is not None or control.evidence == "none":
                continue
            key = control.framework, control.control
            seen = self._seen.get(key)
            if seen is None:
                seen = self._seen[key] = ControlEvidence(control.framework, control.control, control.title)
            before, rank = seen.evidence, _ORDER.index(control.evidence)
            first = not seen.counts
            seen.counts[control.evidence] = seen.counts.get(control.evidence, 0) + 1
            if first or rank < _ORDER.index(before):
                seen.basis, seen.sources = control.basis, {}
            if rank == _ORDER.index(seen.evidence):
                if BASES.index(control.basis) < BASES.index(seen.basis):
                    seen.basis, seen.sources = control.basis, {}
                if control.basis == seen.basis and len(seen.sources) < _MOST_SOURCES:
                    seen.sources.update(dict.fromkeys(control.source.split("; ")))
            if control.evidence == "failing":
                seen.accepted += finding.status == "accepted"
                seen.level = max(seen.level, finding.risk.level, key=LEVELS.index)
            weight = rank, BASES.index(control.basis)
            if len(seen.examples) < MAX_SAMPLE or weight < _weight(seen.examples[-1]):
                example = Example(
                    finding.dedupe_key, finding.class_, subject_of(finding).name, control.evidence,
                    finding.risk.level, control.basis, control.source,
                )  # fmt: skip
                seen.examples = sorted([*seen.examples, example], key=_weight)[:MAX_SAMPLE]

    def of(self, framework: Framework) -> list[ControlEvidence]:
        """Give the controls of a framework, in order of their ids."""
        found = (seen for (name, _), seen in self._seen.items() if name == framework)
        return sorted(found, key=lambda seen: id_key(seen.control))


def _weight(example: Example) -> tuple[int, int]:
    return _ORDER.index(example.evidence), BASES.index(example.basis)


def id_key(control: str) -> tuple[tuple[int, str], ...]:
    """Sort ids of controls as people do: AC-2 before AC-10."""
    parts: list[tuple[int, str]] = []
    for part in _split(control):
        number = part.lstrip("0")
        parts.append((len(number), number) if part.isascii() and part.isdigit() else (-1, part))
    return tuple(parts)


def _split(text: str) -> Iterable[str]:
    piece = ""
    for letter in text:
        if piece and letter.isdigit() != piece[-1].isdigit():
            yield piece
            piece = ""
        piece += letter
    if piece:
        yield piece


def framework_title(framework: Framework, record: ScanRecord | None) -> tuple[str, str]:
    """Give name and edition of a framework."""
    for gap in record.compliance if record is not None else ():
        if gap.framework == framework:
            return gap.title, gap.version
    return _TITLES[framework]


def edition_beside(title: str, edition: str) -> str:
    """Give what an edition adds to a title that may end with it."""
    first, _, rest = edition.partition(", ")
    return rest if title.endswith(f" {first}") else edition
