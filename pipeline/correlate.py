"""Findings that mean more together: rules of the knowledge, applied to a whole scan."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.finding import Level, Member, ScanHeader
from pipeline.keys import digest
from pipeline.knowledge.predicates import Test, View, compile_all
from pipeline.knowledge.schema import Correlation, CorrelationMember, Join, Knowledge
from pipeline.scan import ScanIndex

_DELETED = " (deleted)"
_TRANSFORMS: dict[str, Callable[[str], str]] = {
    "none": str,
    "basename": lambda value: PurePosixPath(value.removesuffix(_DELETED)).name,
    "dirname": lambda value: str(PurePosixPath(value.removesuffix(_DELETED)).parent),
    "strip_deleted": lambda value: value.removesuffix(_DELETED),
}
_NO_VALUE = ""


@dataclass(slots=True, frozen=True)
class Group:
    """One time that a rule holds in a scan.

    Attributes:
        group: names it; stable for the scan.
        members: positions in the report, ascending, without repeats.
        raised: those among them whose level is at least `raises`.
    """

    rule: str
    group: str
    title: str
    why: str
    first: str
    techniques: tuple[str, ...]
    raises: Level | None
    members: tuple[int, ...]
    raised: frozenset[int]


class Correlator:
    """The correlation rules, compiled once for a knowledge and a policy profile."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        self._rules = [
            (name, rule, {key: _Side(member, knowledge, profile) for key, member in rule.members.items()},
             [_Side(member, knowledge, profile) for member in rule.absent])
            for name, rule in sorted(knowledge.correlations.items())
        ]  # fmt: skip

    def correlate(self, index: ScanIndex) -> list[Group]:
        """Find every group in a scan, ordered by rule and first member."""
        by_class: dict[str, list[Member]] = {}
        for member in index.members:
            by_class.setdefault(member.classified.class_id, []).append(member)
        header = index.context.header
        groups: list[Group] = []
        for name, rule, sides, absent in self._rules:
            found: dict[str, list[Member]] = {}
            for key, side in sides.items():
                found[key] = side.find(by_class, header)
                if not found[key]:
                    break
            if len(found) < len(sides) or not all(found.values()):
                continue
            if any(side.find(by_class, header) for side in absent):
                continue
            groups.extend(self._groups(name, rule, sides, found, index.context.scan_id))
        return groups

    def _groups(
        self, name: str, rule: Correlation, sides: Mapping[str, "_Side"], found: Mapping[str, list[Member]], scan: str
    ) -> Iterable[Group]:
        if not rule.joins:
            buckets: dict[str, dict[str, list[Member]]] = {_NO_VALUE: dict(found)}
        else:
            buckets = _joined(rule.joins, found)
        for value, members in sorted(buckets.items(), key=lambda item: _first_seq(item[1])):
            if any(len({m.classified.fingerprint for m in members[key]}) < side.minimum for key, side in sides.items()):
                continue
            seqs = sorted({member.seq for side in members.values() for member in side})
            yield Group(
                rule=name,
                group=digest("group", name, scan, value),
                title=rule.title,
                why=rule.why,
                first=rule.first,
                techniques=tuple(rule.techniques),
                raises=rule.raises,
                members=tuple(seqs),
                raised=frozenset(member.seq for key in rule.raise_members for member in members[key]),
            )


class _Side:
    """One member of a rule: which findings take part."""

    def __init__(self, member: CorrelationMember, knowledge: Knowledge, profile: str) -> None:
        self.minimum = member.min
        self._classes = member.classes
        self._test: Test = compile_all(member.when, knowledge.expected, profile)

    def find(self, by_class: Mapping[str, Sequence[Member]], header: ScanHeader) -> list[Member]:
        """List the findings that take part, in report order; none where they are fewer than asked."""
        found = [
            member for key in self._classes for member in by_class.get(key, ()) if self._test(view(member, header))
        ]
        if len(found) < self.minimum:
            return []
        return sorted(found, key=lambda member: member.seq)


def view(member: Member, header: ScanHeader) -> View:
    """Show a classified finding to the predicates of the knowledge."""
    finding = member.classified
    return View(
        header,
        slots=finding.slots,
        features=finding.features,
        metadata=finding.metadata,
        status=finding.status,
        severity=member.severity,
        class_id=finding.class_id,
        title=finding.title or None,
        description=finding.description or None,
    )


def _joined(joins: Sequence[Join], found: Mapping[str, list[Member]]) -> dict[str, dict[str, list[Member]]]:
    """Split the members into groups in which all joins hold; the first join names the group."""
    first, *others = joins
    left_key, left_value = _reader(first.left, first.transform)
    right_key, right_value = _reader(first.right, first.transform)
    left: dict[str, list[Member]] = {}
    for member in found[left_key]:
        if (value := left_value(member)) is not None:
            left.setdefault(value, []).append(member)
    right: dict[str, list[Member]] = {}
    for member in found[right_key]:
        if (value := right_value(member)) is not None:
            right.setdefault(value, []).append(member)
    buckets: dict[str, dict[str, list[Member]]] = {}
    for value in left.keys() & right.keys():
        bucket = {key: list(members) for key, members in found.items()}
        bucket[left_key], bucket[right_key] = left[value], right[value]
        for join in others:
            key_a, value_a = _reader(join.left, join.transform)
            key_b, value_b = _reader(join.right, join.transform)
            shared = {value_a(m) for m in bucket[key_a]} & {value_b(m) for m in bucket[key_b]} - {None}
            bucket[key_a] = [member for member in bucket[key_a] if value_a(member) in shared]
            bucket[key_b] = [member for member in bucket[key_b] if value_b(member) in shared]
        if all(bucket.values()):
            buckets[value] = bucket
    return buckets


def _reader(place: str, transform: str) -> tuple[str, Callable[[Member], str | None]]:
    key, scope, name = place.split(".", 2)
    change = _TRANSFORMS[transform]

    def read(member: Member) -> str | None:
        finding = member.classified
        value = (finding.slots if scope == "slot" else finding.features).get(name)
        return change(value) if value else None

    return key, read


def _first_seq(members: Mapping[str, list[Member]]) -> int:
    return min(member.seq for side in members.values() for member in side)
