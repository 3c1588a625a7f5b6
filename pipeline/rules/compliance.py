"""What a finding is evidence for: controls, techniques, and the gaps of a scan per framework.

The words are those of evidence (failing, supporting, disputed, none): a scanner looks at settings, and no setting makes
a control met. What the scanner probably got wrong is evidence of nothing; it is disputed, and counted apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pipeline.contract import Count, Digest, Doc, Items, Positive, TechniqueId
from pipeline.finding import Status
from pipeline.knowledge.schema import Basis, ControlRef, Framework, FrameworkFact, Knowledge, TechniqueRef, Topic

Evidence = Literal["failing", "supporting", "disputed", "none"]

FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
FRAMEWORK_NAMES: dict[Framework, str] = {  # for people
    "nist_800_53_r5": "NIST 800-53",
    "nist_csf_2_0": "NIST CSF 2.0",
    "pci_dss_4_0": "PCI DSS 4.0",
    "hipaa": "HIPAA",
}
BASES: tuple[Basis, ...] = get_args(Basis)  # strongest first
MAX_SAMPLE = 10  # dedupe keys named for each control; the rest can be found by control

_FRAMEWORK_RANK = {name: rank for rank, name in enumerate(FRAMEWORKS)}
_BASIS_RANK = {name: rank for rank, name in enumerate(BASES)}
_EVIDENCE: dict[Status, Evidence] = {"open": "failing", "passed": "supporting"}


@dataclass(slots=True, frozen=True)
class Control:
    """One control that a finding is evidence for, or says something about."""

    framework: Annotated[Framework, Doc("The framework.")]
    control: Annotated[str, Doc("The control's id there.")]
    title: Annotated[str, Doc("Its title.")]
    evidence: Annotated[
        Evidence,
        Doc(
            "What the finding says: against the control, in favour of it, or neither; `disputed` where it would say "
            "something and is certainly or likely a mistake of the scanner (`artefact`)."
        ),
    ]
    basis: Annotated[
        Basis, Doc("`sourced`: published; `derived`: through a published crosswalk; `inferred`: our judgement.")
    ]
    source: Annotated[str, Doc("Who says so.")]
    core: Annotated[bool, Doc("Present when two or more independent sources agree.")] = False
    caution: Annotated[
        str | None, Doc("Present when the mapping looks misplaced, with the reason; such entries count nowhere.")
    ] = None


@dataclass(slots=True, frozen=True)
class Technique:
    """One technique of MITRE ATT&CK."""

    technique: Annotated[TechniqueId, Doc("Its id.")]
    name: Annotated[str, Doc("Its name.")]
    basis: Annotated[Basis, Doc("As for controls.")]


@dataclass(slots=True, frozen=True)
class Coverage:
    """How much of a framework the scanner's classes can be evidence for at all.

    Groups of controls are not counted, nor are claims marked with a caution.
    """

    total: Annotated[Count, Doc("Controls of the framework.")]
    named: Annotated[Count, Doc("Controls that some finding class is evidence for.")]
    sourced: Annotated[Count, Doc("Those for which a published source says so.")]
    core: Annotated[Count, Doc("Those for which two independent sources do.")]


@dataclass(slots=True, frozen=True)
class Reach:
    """Which controls of a framework the scanner's classes can be evidence for; groups are among `controls`, too."""

    coverage: Coverage
    controls: frozenset[str]


@dataclass(slots=True, frozen=True)
class SupportedControl:
    """One control with evidence of this basis."""

    control: Annotated[str, Doc("Its id.")]
    title: Annotated[str, Doc("Its title.")]
    findings: Annotated[Positive, Doc("Findings of this basis.")]
    weaker: Annotated[Count, Doc("Findings of a weaker basis.")]
    sample: Annotated[
        tuple[Digest, ...],
        Items(most=MAX_SAMPLE),
        Doc("Dedupe keys of at most ten; none in the line of a scan."),
    ]
    disputed: Annotated[
        Count,
        Doc("Findings about it beside these that are probably mistakes of the scanner. Left out when there are none."),
    ] = field(default=0, kw_only=True)


@dataclass(slots=True, frozen=True)
class FailingControl(SupportedControl):
    """One control with failing evidence of this basis."""

    supporting: Annotated[Count, Doc("Findings in favour of it.")]


@dataclass(slots=True, frozen=True)
class SupportedControls:
    """Controls with evidence of one kind and no stronger kind, by basis."""

    sourced: Annotated[tuple[SupportedControl, ...], Doc("Controls of this basis.")]
    derived: Annotated[tuple[SupportedControl, ...], Doc("Controls of this basis.")]
    inferred: Annotated[tuple[SupportedControl, ...], Doc("Controls of this basis.")]


@dataclass(slots=True, frozen=True)
class FailingControls:
    """Controls with failing evidence, by the strongest basis of that evidence."""

    sourced: Annotated[tuple[FailingControl, ...], Doc("Controls of this basis.")]
    derived: Annotated[tuple[FailingControl, ...], Doc("Controls of this basis.")]
    inferred: Annotated[tuple[FailingControl, ...], Doc("Controls of this basis.")]


@dataclass(slots=True, frozen=True)
class FrameworkGap:
    """What a scan says about one framework."""

    framework: Annotated[Framework, Doc("Which.")]
    title: Annotated[str, Doc("Its name.")]
    version: Annotated[str, Doc("The edition in use.")]
    coverage: Annotated[Coverage, Doc("How much of it a scanner can say anything about.")]
    failing: Annotated[FailingControls, Doc("Controls with failing evidence, by the strongest basis of that evidence.")]
    supporting_only: Annotated[SupportedControls, Doc("Controls with supporting evidence and no failing one.")]
    disputed_only: Annotated[
        SupportedControls,
        Doc("Controls about which all evidence comes from findings that are probably mistakes of the scanner."),
    ]
    no_evidence: Annotated[
        tuple[str, ...], Doc("Controls that a scanner can say something about and this scan does not.")
    ]


def controls_for(topics: Sequence[Topic], status: Status, disputed: bool = False) -> tuple[Control, ...]:
    """List the controls that a finding with these topics and this status is evidence for.

    `disputed`: the scanner is certainly or likely mistaken about the finding, so it speaks neither way.

    A control that several topics name is listed once, as the topic with the strongest claim has it: not marked
    with a caution, core, then by basis. The same order, within each framework, is that of the list. The result is
    shared between findings: read it, do not change it.
    """
    evidence = _EVIDENCE.get(status, "none")
    if disputed and evidence != "none":
        evidence = "disputed"
    strongest: dict[tuple[str, str], ControlRef] = {}
    for topic in topics:
        for ref in topic.controls:
            key = ref.framework, ref.control
            held = strongest.get(key)
            if held is None or _claim(ref) < _claim(held):
                strongest[key] = ref
    ordered = sorted(strongest.values(), key=lambda ref: (_FRAMEWORK_RANK[ref.framework], *_claim(ref)))
    return tuple(_control(ref, evidence) for ref in ordered)


def techniques_for(
    topics: Sequence[Topic], extra: Sequence[TechniqueRef], names: Mapping[str, str]
) -> tuple[Technique, ...]:
    """List the ATT&CK techniques of a finding, strongest basis first; `names` maps ids to names.

    The result is shared between findings: read it, do not change it.
    """
    strongest: dict[str, tuple[str, Basis]] = {}
    named = [(each.technique, each.name, each.basis) for topic in topics for each in topic.techniques]
    named += [(each.technique, names.get(each.technique, each.technique), each.basis) for each in extra]
    for technique, name, basis in named:
        held = strongest.get(technique)
        if held is None or _BASIS_RANK[basis] < _BASIS_RANK[held[1]]:
            strongest[technique] = name, basis
    ordered = sorted(strongest.items(), key=lambda item: _BASIS_RANK[item[1][1]])
    return tuple(Technique(technique, name, basis) for technique, (name, basis) in ordered)


def coverage(knowledge: Knowledge) -> dict[Framework, Reach]:
    """Measure what the classes of the knowledge can say about each framework."""
    used = {ref.topic for spec in knowledge.classes.values() for ref in spec.topics}
    refs = [ref for key in used for ref in knowledge.topics[key].controls if ref.caution is None]
    found: dict[Framework, Reach] = {}
    for framework in FRAMEWORKS:
        fact = knowledge.frameworks.get(framework)
        if fact is None:
            continue
        own = [ref for ref in refs if ref.framework == framework]
        single = [ref for ref in own if ref.control not in fact.groups]
        counts = Coverage(
            total=fact.total,
            named=len({ref.control for ref in single}),
            sourced=len({ref.control for ref in single if ref.basis == "sourced"}),
            core=len({ref.control for ref in single if ref.core}),
        )
        found[framework] = Reach(counts, frozenset(ref.control for ref in own))
    return found


class GapAnalysis:
    """Accumulates over the findings of one scan; `add` costs a few dictionary operations a finding."""

    def __init__(self) -> None:
        # Findings share their list of controls, so count by list and look inside only once, at the end.
        self._groups: dict[str, _Group] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, name: str, controls: tuple[Control, ...], dedupe_key: str, fingerprint: str) -> None:
        """Count a finding; one with the same fingerprint and the same controls as before counts no further.

        `name` stands for the list of controls (`Judgement.controls_key`): findings with one name have one list.
        """
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(controls)
        mark = name, fingerprint
        if mark in self._seen:
            return
        self._seen.add(mark)
        group.count += 1
        if len(group.sample) < MAX_SAMPLE:
            group.sample.append((len(self._seen), dedupe_key))

    def report(
        self, frameworks: Mapping[Framework, FrameworkFact], covered: Mapping[Framework, Reach]
    ) -> tuple[FrameworkGap, ...]:
        """Say per framework which controls have failing, supporting, disputed or no evidence.

        `failing`, `supporting_only` and `disputed_only` keep apart what is sourced, derived and inferred: a control
        stands under the strongest basis that its findings have there, `findings` counts those of that basis and
        `weaker` the others.
        `no_evidence` are the controls that some class could have said something about; the rest of the framework
        is beyond a scanner's reach (`coverage`). `covered` is `coverage` of the knowledge.
        """
        tallies = self._tallies()
        return tuple(
            _framework_gap(name, frameworks[name], covered[name], tallies)
            for name in FRAMEWORKS
            if name in frameworks and name in covered
        )

    def _tallies(self) -> "dict[tuple[str, str, str, str], _Tally]":
        """Add up per framework, control, evidence and basis."""
        tallies: dict[tuple[str, str, str, str], _Tally] = {}
        for group in self._groups.values():
            for each in group.controls:
                if each.evidence == "none" or each.caution is not None:
                    continue
                key = each.framework, each.control, each.evidence, each.basis
                tally = tallies.setdefault(key, _Tally())
                tally.count += group.count
                tally.sample += group.sample
        return tallies


class _Group:
    __slots__ = ("controls", "count", "sample")

    def __init__(self, controls: tuple[Control, ...]) -> None:
        self.controls = controls
        self.count = 0
        self.sample: list[tuple[int, str]] = []


class _Tally:
    __slots__ = ("count", "sample")

    def __init__(self) -> None:
        self.count = 0
        self.sample: list[tuple[int, str]] = []


def _claim(ref: ControlRef) -> tuple[bool, bool, int]:
    """Order claims from the strongest to the weakest."""
    return ref.caution is not None, not ref.core, _BASIS_RANK[ref.basis]


def _control(ref: ControlRef, evidence: Evidence) -> Control:
    return Control(
        framework=ref.framework,
        control=ref.control,
        title=ref.title,
        evidence=evidence,
        basis=ref.basis,
        source=ref.source,
        core=ref.core,
        caution=ref.caution,
    )


def _framework_gap(
    name: Framework, fact: FrameworkFact, reach: Reach, tallies: "Mapping[tuple[str, str, str, str], _Tally]"
) -> FrameworkGap:
    failing: dict[str, list[FailingControl]] = {basis: [] for basis in BASES}
    supported: dict[str, list[SupportedControl]] = {basis: [] for basis in BASES}
    disputed: dict[str, list[SupportedControl]] = {basis: [] for basis in BASES}
    silent = []
    for control, title in fact.controls.items():
        against = _by_basis(tallies, name, control, "failing")
        in_favour = _by_basis(tallies, name, control, "supporting")
        doubtful = _by_basis(tallies, name, control, "disputed")
        doubts = sum(tally.count for tally in doubtful.values())
        if against:
            basis, count, weaker, sample = _strongest(against)
            supporting = sum(tally.count for tally in in_favour.values())
            failing[basis].append(FailingControl(control, title, count, weaker, sample, supporting, disputed=doubts))
        elif in_favour:
            basis, count, weaker, sample = _strongest(in_favour)
            supported[basis].append(SupportedControl(control, title, count, weaker, sample, disputed=doubts))
        elif doubtful:
            basis, count, weaker, sample = _strongest(doubtful)
            disputed[basis].append(SupportedControl(control, title, count, weaker, sample))
        elif control in reach.controls:
            silent.append(control)
    return FrameworkGap(
        framework=name,
        title=fact.title,
        version=fact.version,
        coverage=reach.coverage,
        failing=FailingControls(**{basis: tuple(controls) for basis, controls in failing.items()}),
        supporting_only=SupportedControls(**{basis: tuple(controls) for basis, controls in supported.items()}),
        disputed_only=SupportedControls(**{basis: tuple(controls) for basis, controls in disputed.items()}),
        no_evidence=tuple(silent),
    )


def _by_basis(
    tallies: "Mapping[tuple[str, str, str, str], _Tally]", framework: str, control: str, evidence: str
) -> "dict[Basis, _Tally]":
    return {
        basis: tally for basis in BASES if (tally := tallies.get((framework, control, evidence, basis))) is not None
    }


def _strongest(by_basis: "Mapping[Basis, _Tally]") -> tuple[Basis, int, int, tuple[str, ...]]:
    """Give the strongest basis, its findings, those of a weaker one, and the dedupe keys of some."""
    basis, tally = next(iter(by_basis.items()))
    weaker = sum(other.count for other in by_basis.values()) - tally.count
    return basis, tally.count, weaker, _first(tally.sample)


def _first(sample: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    return tuple(key for _, key in sorted(sample)[:MAX_SAMPLE])
