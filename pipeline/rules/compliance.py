"""What a finding is evidence for: controls, techniques, and the gaps of a scan per framework.

The words are those of evidence (failing, supporting, none): a scanner looks at settings, and no setting makes a
control met.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pipeline.finding import Status
from pipeline.knowledge.schema import Basis, ControlRef, Framework, FrameworkFact, Knowledge, TechniqueRef, Topic

Record = dict[str, Any]

FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
BASES: tuple[Basis, ...] = get_args(Basis)  # strongest first
MAX_SAMPLE = 10  # dedupe keys named for each control; the rest can be found by control

_FRAMEWORK_RANK = {name: rank for rank, name in enumerate(FRAMEWORKS)}
_BASIS_RANK = {name: rank for rank, name in enumerate(BASES)}
_EVIDENCE: dict[str, str] = {"open": "failing", "passed": "supporting"}


def controls_for(topics: Sequence[Topic], status: Status) -> tuple[Record, ...]:
    """List the controls that a finding with these topics and this status is evidence for.

    A control that several topics name is listed once, as the topic with the strongest claim has it: not marked
    with a caution, core, then by basis. The same order, within each framework, is that of the list. The result is
    shared between findings: read it, do not change it.
    """
    evidence = _EVIDENCE.get(status, "none")
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
) -> tuple[Record, ...]:
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
    return tuple({"technique": technique, "name": name, "basis": basis} for technique, (name, basis) in ordered)


@dataclass(slots=True, frozen=True)
class Coverage:
    """How much of a framework the scanner's classes can be evidence for at all.

    Counts are of controls, not groups of them, and leave out claims marked with a caution.

    Attributes:
        total: of the whole framework.
        named: for which some class has a claim of any basis.
        sourced: for which a published source makes it.
        core: for which two independent sources make it.
        controls: ids with a claim of any basis, groups too.
    """

    total: int
    named: int
    sourced: int
    core: int
    controls: frozenset[str]


def coverage(knowledge: Knowledge) -> dict[Framework, Coverage]:
    """Measure what the classes of the knowledge can say about each framework."""
    used = {ref.topic for spec in knowledge.classes.values() for ref in spec.topics}
    refs = [ref for key in used for ref in knowledge.topics[key].controls if ref.caution is None]
    found: dict[Framework, Coverage] = {}
    for framework in FRAMEWORKS:
        fact = knowledge.frameworks.get(framework)
        if fact is None:
            continue
        own = [ref for ref in refs if ref.framework == framework]
        single = [ref for ref in own if ref.control not in fact.groups]
        found[framework] = Coverage(
            total=fact.total,
            named=len({ref.control for ref in single}),
            sourced=len({ref.control for ref in single if ref.basis == "sourced"}),
            core=len({ref.control for ref in single if ref.core}),
            controls=frozenset(ref.control for ref in own),
        )
    return found


class GapAnalysis:
    """Accumulates over the findings of one scan; `add` costs a few dictionary operations a finding."""

    def __init__(self) -> None:
        # Findings share their tuple of controls, so count by tuple and look inside only once, at the end.
        self._groups: dict[str, _Group] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, key: str, controls: tuple[Record, ...], dedupe_key: str, fingerprint: str) -> None:
        """Count a finding; one with the same fingerprint and the same controls as before counts no further.

        `key` names the controls: findings with one key have the same.
        """
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(controls)
        mark = key, fingerprint
        if mark in self._seen:
            return
        self._seen.add(mark)
        group.count += 1
        if len(group.sample) < MAX_SAMPLE:
            group.sample.append((len(self._seen), dedupe_key))

    def report(
        self, frameworks: Mapping[Framework, FrameworkFact], covered: Mapping[Framework, Coverage]
    ) -> list[Record]:
        """Say per framework which controls have failing, supporting or no evidence.

        `failing` and `supporting_only` keep apart what is sourced, derived and inferred: a control stands under the
        strongest basis that its findings have there, `findings` counts those of that basis and `weaker` the others.
        `no_evidence` are the controls that some class could have said something about; the rest of the framework
        is beyond a scanner's reach (`coverage`). `covered` is `coverage` of the knowledge.
        """
        tallies = self._tallies()
        return [
            _framework_gap(name, frameworks[name], covered[name], tallies)
            for name in FRAMEWORKS
            if name in frameworks and name in covered
        ]

    def _tallies(self) -> "dict[tuple[str, str, str, str], _Tally]":
        """Add up per framework, control, evidence and basis."""
        tallies: dict[tuple[str, str, str, str], _Tally] = {}
        for group in self._groups.values():
            for each in group.controls:
                if each["evidence"] == "none" or "caution" in each:
                    continue
                key = each["framework"], each["control"], each["evidence"], each["basis"]
                tally = tallies.setdefault(key, _Tally())
                tally.count += group.count
                tally.sample += group.sample
        return tallies


class _Group:
    __slots__ = ("controls", "count", "sample")

    def __init__(self, controls: tuple[Record, ...]) -> None:
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


def _control(ref: ControlRef, evidence: str) -> Record:
    record: Record = {
        "framework": ref.framework,
        "control": ref.control,
        "title": ref.title,
        "evidence": evidence,
        "basis": ref.basis,
        "source": ref.source,
    }
    if ref.core:
        record["core"] = True
    if ref.caution is not None:
        record["caution"] = ref.caution
    return record


def _framework_gap(
    name: Framework, fact: FrameworkFact, covered: Coverage, tallies: "Mapping[tuple[str, str, str, str], _Tally]"
) -> Record:
    sections: dict[str, dict[str, list[Record]]] = {
        "failing": {basis: [] for basis in BASES},
        "supporting_only": {basis: [] for basis in BASES},
    }
    silent = []
    for control, title in fact.controls.items():
        failing = _by_basis(tallies, name, control, "failing")
        supporting = _by_basis(tallies, name, control, "supporting")
        if not failing and not supporting:
            if control in covered.controls:
                silent.append(control)
            continue
        basis, entry = _entry(control, title, failing or supporting)
        if failing:
            entry["supporting"] = sum(tally.count for tally in supporting.values())
        sections["failing" if failing else "supporting_only"][basis].append(entry)
    return {
        "framework": name,
        "title": fact.title,
        "version": fact.version,
        "coverage": {
            "total": covered.total,
            "named": covered.named,
            "sourced": covered.sourced,
            "core": covered.core,
        },
        **sections,
        "no_evidence": silent,
    }


def _by_basis(
    tallies: "Mapping[tuple[str, str, str, str], _Tally]", framework: str, control: str, evidence: str
) -> "dict[Basis, _Tally]":
    return {
        basis: tally for basis in BASES if (tally := tallies.get((framework, control, evidence, basis))) is not None
    }


def _entry(control: str, title: str, by_basis: "Mapping[Basis, _Tally]") -> tuple[Basis, Record]:
    basis, tally = next(iter(by_basis.items()))
    return basis, {
        "control": control,
        "title": title,
        "findings": tally.count,
        "weaker": sum(other.count for other in by_basis.values()) - tally.count,
        "sample": _first(tally.sample),
    }


def _first(sample: Iterable[tuple[int, str]]) -> list[str]:
    return [key for _, key in sorted(sample)[:MAX_SAMPLE]]
