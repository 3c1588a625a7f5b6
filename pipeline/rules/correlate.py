"""Findings that mean more together: rules of the knowledge, applied to a whole scan."""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.classes.scan import ScanIndex
from pipeline.features.paths import merged
from pipeline.finding import LEVELS, Level, Member, ScanHeader
from pipeline.keys import digest
from pipeline.knowledge.predicates import Test, compile_all, view
from pipeline.knowledge.schema import Correlation, CorrelationMember, Join, Knowledge, Selection
from pipeline.steps import PIECE, Steps, finish, pieces

_DELETED = " (deleted)"
_TRANSFORMS: dict[str, Callable[[str], str]] = {
    "none": str,
    "basename": lambda value: value.removesuffix(_DELETED).rpartition("/")[2],
    "dirname": lambda value: merged(value).rpartition("/")[0] or "/",
    "strip_deleted": lambda value: value.removesuffix(_DELETED),
    "same_file": merged,
}
_MAX_CONTEXT = 16  # findings of a member that no join names; they would be repeated in each group of the rule

Value = Callable[[Member], str | None]


@dataclass(slots=True, frozen=True)
class Group:
    """One time that a rule holds in a scan.

    Attributes:
        group: names it; stable for the scan.
        members: positions in the report, ascending, without repeats.
        raised: those among them whose level is at least `raises`.
        about: what the joined members share, a path, directory, pid or name; text of the host, to be shown with care.
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
    about: str = ""


class Correlator:
    """The correlation rules, compiled once for a knowledge and a policy profile."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        selectors = _Selectors(knowledge, profile)
        self._rules = [
            _Rule(name, rule, selectors)
            for name, rule in sorted(
                knowledge.correlations.items(), key=lambda item: (-_weight(item[1].raises), item[0])
            )
        ]

    def correlate(self, index: ScanIndex) -> list[Group]:
        """Find every group in a scan: those that raise most first, then by rule, first member and what they share."""
        return finish(self.steps(index))

    def steps(self, index: ScanIndex) -> Steps[list[Group]]:
        """Do what `correlate` does, in steps."""
        scan = _Scan(index)
        yield from scan.sort_by_class()
        groups: list[Group] = []
        for rule in self._rules:
            groups += yield from rule.groups(scan)
        return groups


def groups_of_findings(groups: Iterable[Group]) -> Steps[dict[int, list[Group]]]:
    """List, for each finding that is in any, the groups that it takes part in."""
    found: dict[int, list[Group]] = {}
    for number, group in enumerate(groups):
        for piece in pieces(group.members, 32 * PIECE):
            for seq in piece:
                found.setdefault(seq, []).append(group)
            if len(piece) > PIECE or not number % PIECE:
                yield
    return found


class _Scan:
    """The findings of a scan by class, with what the selectors found in them."""

    def __init__(self, index: ScanIndex) -> None:
        self.scan_id = index.context.scan_id
        self._header = index.context.header
        self._members = index.members
        self.by_class: dict[str, list[Member]] = {}
        self._found: dict[int, list[Member]] = {}

    def sort_by_class(self) -> Steps[None]:
        """Look at what there is of each class."""
        for piece in pieces(self._members, 32 * PIECE):
            for member in piece:
                self.by_class.setdefault(member.classified.class_id, []).append(member)
            yield

    def select(self, selector: "_Selector") -> Steps[list[Member]]:
        """List the findings that a selector takes, in report order."""
        known = self._found.get(selector.number)
        if known is None:
            known = self._found[selector.number] = yield from selector.find(self.by_class, self._header)
        return known


class _Selector:
    """A `Selection`, compiled."""

    def __init__(self, number: int, selection: Selection, when: Test, wrong: Mapping[str, Sequence[Test]]) -> None:
        self.number = number
        self.classes = tuple(dict.fromkeys(selection.classes))
        self._when = when
        self._wrong = wrong if selection.credible else {}

    def find(self, by_class: Mapping[str, Sequence[Member]], header: ScanHeader) -> Steps[list[Member]]:
        """List the findings that take part, in report order."""
        found: list[Member] = []
        known: dict[str, bool] = {}  # by content: twins are judged once
        for class_id in self.classes:
            wrong = self._wrong.get(class_id, ())
            for piece in pieces(by_class.get(class_id, ()), 4 * PIECE):
                for member in piece:
                    content = member.classified.content
                    taken = known.get(content)
                    if taken is None:
                        seen = view(member, header)
                        taken = known[content] = self._when(seen) and not any(test(seen) for test in wrong)
                    if taken:
                        found.append(member)
                yield
        if len(self.classes) > 1:
            found.sort(key=_seq)
        return found


class _Selectors:
    """Makes selectors; equal selections share one, so that a scan is searched once for each."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        self._knowledge = knowledge
        self._profile = profile
        self._known: dict[str, _Selector] = {}
        self._wrong: dict[str, list[Test]] = {}
        for entry in knowledge.artefacts.values():
            if entry.degree != "cannot_tell":
                test = compile_all(entry.when, knowledge.expected, profile)
                for class_id in entry.classes:
                    self._wrong.setdefault(class_id, []).append(test)

    def all(self, member: CorrelationMember) -> list[_Selector]:
        """Compile every selection by which a finding takes part."""
        return [self._of(selection) for selection in member.alternatives(self._knowledge.selections)]

    def _of(self, selection: Selection) -> _Selector:
        key = selection.model_dump_json(include={"classes", "when", "credible"})
        known = self._known.get(key)
        if known is None:
            when = compile_all(selection.when, self._knowledge.expected, self._profile)
            known = self._known[key] = _Selector(len(self._known), selection, when, self._wrong)
        return known


class _Side:
    """One member of a rule: which findings take part, and how many distinct ones it takes."""

    def __init__(self, member: CorrelationMember, selectors: _Selectors) -> None:
        self.minimum = member.min
        self._selectors = selectors.all(member)

    def possible(self, by_class: Mapping[str, Sequence[Member]]) -> bool:
        """Say whether the scan has findings of these classes at all."""
        return any(class_id in by_class for selector in self._selectors for class_id in selector.classes)

    def find(self, scan: _Scan) -> Steps[list[Member]]:
        """List the findings that take part, in report order."""
        if len(self._selectors) == 1:
            return (yield from scan.select(self._selectors[0]))
        merged_sides: dict[int, Member] = {}
        for selector in self._selectors:
            taken = yield from scan.select(selector)
            merged_sides.update((member.seq, member) for member in taken)
            yield
        return [merged_sides[seq] for seq in sorted(merged_sides)]

    def enough(self, members: Sequence[Member]) -> bool:
        """Say whether these are as many distinct findings as the rule asks for."""
        if len(members) < self.minimum:
            return False
        return self.minimum <= 1 or len({member.classified.fingerprint for member in members}) >= self.minimum


class _Rule:
    """A correlation, compiled."""

    def __init__(self, name: str, spec: Correlation, selectors: _Selectors) -> None:
        self._name = name
        self._spec = spec
        self._sides = {key: _Side(member, selectors) for key, member in spec.members.items()}
        self._absent = [_Side(member, selectors) for member in spec.absent]
        self._joins = [_CompiledJoin(join) for join in spec.joins]
        self._joined = {key for join in self._joins for key in (join.left, join.right)}

    def groups(self, scan: _Scan) -> Steps[list[Group]]:
        """List every time that the rule holds."""
        if not all(side.minimum == 0 or side.possible(scan.by_class) for side in self._sides.values()):
            return []
        found: dict[str, list[Member]] = {}
        for key, side in self._sides.items():
            found[key] = yield from side.find(scan)
            if not side.enough(found[key]):
                return []
        for side in self._absent:
            against = yield from side.find(scan)
            if side.enough(against):
                return []
        groups: list[Group] = []
        buckets = yield from self._buckets(found)
        for piece in pieces(buckets, PIECE // 4):
            for value, members in piece:
                if all(side.enough(members[key]) for key, side in self._sides.items()):
                    groups.append(self._group(value, members, scan.scan_id))
            yield
        return groups

    def _buckets(self, found: dict[str, list[Member]]) -> Steps[list[tuple[str, dict[str, list[Member]]]]]:
        if not self._joins:
            return [("", found)]
        context = {key: _some(members) for key, members in found.items() if key not in self._joined}
        buckets = []
        first, *others = self._joins
        yield
        matches = yield from first.matches(found[first.left], found[first.right])
        for number, (value, left, right) in enumerate(matches):
            bucket = {**found, **context, first.left: left, first.right: right}
            holds = yield from _hold(others, bucket)
            if holds:
                seq = min(member.seq for key in self._joined for member in bucket[key])
                buckets.append((seq, value, bucket))
            if not number % (PIECE // 4):
                yield
        # The value breaks ties, so that nothing depends on the order in which values were met.
        buckets.sort(key=lambda entry: entry[:2])
        return [(value, bucket) for _, value, bucket in buckets]

    def _group(self, value: str, members: Mapping[str, Sequence[Member]], scan_id: str) -> Group:
        spec = self._spec
        return Group(
            rule=self._name,
            group=digest("group", self._name, scan_id, value),
            title=spec.title,
            why=spec.why,
            first=spec.first,
            techniques=tuple(spec.techniques),
            raises=spec.raises,
            members=tuple(sorted({member.seq for side in members.values() for member in side})),
            raised=frozenset(member.seq for key in spec.raise_members for member in members[key]),
            about=value,
        )


class _CompiledJoin:
    """A `Join`, compiled.

    Attributes:
        left, right: the members that it joins.
    """

    def __init__(self, join: Join) -> None:
        self.left, self._left = _reader(join.left, join.transform)
        self.right, self._right = _reader(join.right, join.transform)
        self._below = join.relation == "below"

    def matches(
        self, left: Sequence[Member], right: Sequence[Member]
    ) -> Steps[list[tuple[str, list[Member], list[Member]]]]:
        """List each shared value with the findings on both sides that have it; a finding has one value."""
        values: dict[str, list[Member]] = {}
        for piece in pieces(right, 8 * PIECE):
            for member in piece:
                if (value := self._right(member)) is not None:
                    values.setdefault(_plain_directory(value) if self._below else value, []).append(member)
            if len(piece) > PIECE:
                yield
        depth = max((value.count("/") for value in values), default=0)
        takers: dict[str, list[Member]] = {}
        for piece in pieces(left, 8 * PIECE):
            for member in piece:
                value = self._left(member)
                if value is not None and self._below:
                    value = _holder(value, values, depth)
                if value is not None and value in values:
                    takers.setdefault(value, []).append(member)
            if len(piece) > PIECE:
                yield
        return [(value, members, values[value]) for value, members in takers.items()]


def _hold(joins: Sequence[_CompiledJoin], bucket: dict[str, list[Member]]) -> Steps[bool]:
    """Cut a bucket down to the findings for which all of the joins hold; say whether any are left."""
    size = -1
    while size != (size := sum(map(len, bucket.values()))):
        for join in joins:
            pairs = yield from join.matches(bucket[join.left], bucket[join.right])
            if not pairs:
                return False
            bucket[join.left] = sorted((member for _, left, _ in pairs for member in left), key=_seq)
            bucket[join.right] = sorted((member for _, _, right in pairs for member in right), key=_seq)
    return True


def _some(members: list[Member]) -> list[Member]:
    """Keep as many as are listed for context, chosen by what they are, not by where they stand in the report."""
    if len(members) <= _MAX_CONTEXT:
        return members
    return sorted(heapq.nsmallest(_MAX_CONTEXT, members, key=lambda member: member.dedupe_key), key=_seq)


def _holder(path: str, directories: Mapping[str, object], depth: int) -> str | None:
    """Find the deepest of `directories`, none of which is more than `depth` deep, that is the path or holds it."""
    if not path.startswith("/"):
        return None
    parts = path.split("/", depth + 1)[: depth + 1]
    for count in range(len(parts), 0, -1):
        directory = "/".join(parts[:count]) or "/"
        if directory in directories:
            return directory
    return None


def _plain_directory(path: str) -> str:
    return path.rstrip("/") or "/"


def _reader(place: str, transform: str) -> tuple[str, Value]:
    key, scope, names = place.split(".", 2)
    alternatives = names.split("|")
    change = _TRANSFORMS[transform]

    def read(member: Member) -> str | None:
        finding = member.classified
        values = finding.slots if scope == "slot" else finding.features
        value = next((found for name in alternatives if (found := values.get(name))), None)
        return change(value) if value is not None else None

    return key, read


def _seq(member: Member) -> int:
    return member.seq


def _weight(raises: Level | None) -> int:
    return -1 if raises is None else LEVELS.index(raises)
