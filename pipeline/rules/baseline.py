"""What is new, what came back and what is gone, against the host's earlier scans of the same scope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.classes.scan import ScanIndex, resolves
from pipeline.display import printable
from pipeline.finding import Classified, Member, ScanHeader, Status
from pipeline.keys import digest
from pipeline.knowledge.predicates import compile_all, view
from pipeline.knowledge.schema import Knowledge
from pipeline.steps import PIECE, Steps, finish, pieces, sort_in_steps

BaselineState = Literal["new", "recurring", "changed", "regressed", "resolved"]

# Slots of these types differ from scan to scan without anything having changed on the host.
_VOLATILE = frozenset({"pid", "count"})
_RESOLVED = "resolved"
# Warnings of the scanner that part of what it reports on was not looked at. Those on single processes and modules stand
# in every scan of a healthy host.
_BLIND_CODES = frozenset({"generic", "mounts_unreadable", "param_unreadable", "walk_error"})
# Fingerprints that a scan does not report but that stay remembered, for one host and scope. A host where processes
# and connections come and go would else be remembered without end; those seen longest ago go first, open ones last.
MAX_UNSEEN = 5_000
# With several lines of one fingerprint, what any of them says before what the next does.
_RANK: tuple[Status, ...] = ("open", "error", "unknown", "info", "accepted", "false_positive", "passed")


class Prior(Protocol):
    """What is remembered of one fingerprint."""

    @property
    def class_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def content(self) -> str: ...
    @property
    def first_seen_at(self) -> str: ...
    @property
    def last_scan_no(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def label(self) -> str: ...


@dataclass(slots=True, frozen=True)
class Seen:
    """One fingerprint of this scan against the baseline; also what is to be remembered of it.

    Attributes:
        count: in how many scans of the scope it was seen, this one included.
        status: the worst of its lines, whatever their order; `passed` only when all passed.
    """

    fingerprint: str
    class_id: str
    state: BaselineState
    status: str
    content: str
    first_seen_at: str
    count: int
    label: str


@dataclass(slots=True, frozen=True)
class Missing:
    """A fingerprint that an earlier scan had open and that this one does not report.

    Attributes:
        last_scan_no: of the scan that saw it last.
    """

    fingerprint: str
    class_id: str
    label: str
    first_seen_at: str
    count: int
    last_scan_no: int


@dataclass(slots=True, frozen=True)
class Comparison:
    """A scan against the baseline.

    Attributes:
        resolved: gone, and gone means mended.
        not_observed: gone, but the scan or the scanner cannot tell why; those seen last come first.
        forget: fingerprints that need not be remembered any longer.
        compared: whether absence meant anything in this scan.
    """

    seen: dict[str, Seen]
    resolved: tuple[Missing, ...]
    not_observed: tuple[Missing, ...]
    forget: tuple[str, ...]
    compared: bool


def compare(
    index: ScanIndex, prior: Mapping[str, Prior], knowledge: Knowledge, policy_profile: str = "default"
) -> Comparison:
    """Compare a scan with what earlier scans of the same host and scope said."""
    return finish(compare_steps(index, prior, knowledge, policy_profile))


def compare_steps(
    index: ScanIndex, prior: Mapping[str, Prior], knowledge: Knowledge, policy_profile: str = "default"
) -> Steps[Comparison]:
    """Do what `compare` does, in steps."""
    context = index.context
    lines: dict[str, list[Member]] = {}
    for piece in pieces(index.members, 16 * PIECE):
        for member in piece:
            lines.setdefault(member.classified.fingerprint, []).append(member)
        yield
    seen: dict[str, Seen] = {}
    for fingerprint, members in lines.items():
        seen[fingerprint] = _seen(fingerprint, members, prior.get(fingerprint), context.as_of, knowledge)
        if not len(seen) % PIECE:
            yield
    del lines
    gone = yield from sort_in_steps(fingerprint for fingerprint in prior if fingerprint not in seen)
    if not resolves(context):
        # Nothing is mended by such a scan, but what is remembered has its bound all the same.
        surplus = yield from _surplus(prior, gone)
        return Comparison(seen, (), (), tuple(surplus), compared=False)
    observed = _Observed(index, knowledge, policy_profile)
    resolved: list[Missing] = []
    not_observed: list[Missing] = []
    for names in pieces(gone, 4 * PIECE):
        for fingerprint in names:
            row = prior[fingerprint]
            if row.status == "open":
                missing = Missing(fingerprint, row.class_id, row.label, row.first_seen_at, row.count, row.last_scan_no)
                mended = yield from observed.at(row.class_id)
                (resolved if mended else not_observed).append(missing)
        yield
    not_observed.sort(key=lambda missing: -missing.last_scan_no)
    kept = {missing.fingerprint for missing in resolved}
    surplus = yield from _surplus(prior, gone)
    forget = tuple(fingerprint for fingerprint in surplus if fingerprint not in kept)
    return Comparison(seen, tuple(resolved), tuple(not_observed), forget, compared=True)


def _surplus(prior: Mapping[str, Prior], unseen: Sequence[str]) -> Steps[list[str]]:
    """Choose what to forget of what is remembered and was not seen."""
    if len(unseen) <= MAX_UNSEEN:
        return []
    rows = ((prior[fingerprint], fingerprint) for fingerprint in unseen)
    ordered = yield from sort_in_steps((row.status == "open", row.last_scan_no, name) for row, name in rows)
    return [fingerprint for _, _, fingerprint in ordered[: len(ordered) - MAX_UNSEEN]]


class _Observed:
    """Which classes a scan looked at well enough for absence to mean something."""

    def __init__(self, index: ScanIndex, knowledge: Knowledge, policy_profile: str) -> None:
        self._header = index.context.header
        self._knowledge = knowledge
        self._policy_profile = policy_profile
        self._members = index.members
        self._failed = {
            member.classified.slots.get("scanner", member.classified.scanner)
            for member in index.members
            if member.classified.status == "error"
        } | _blind(index.context.header)
        self._known: dict[str, bool] = {}

    def at(self, class_id: str) -> Steps[bool]:
        """Say whether what is gone of a class is mended."""
        if class_id not in self._known:
            self._known[class_id] = yield from self._at(class_id)
        return self._known[class_id]

    def _at(self, class_id: str) -> Steps[bool]:
        spec = self._knowledge.classes.get(class_id)
        if spec is None or spec.absence != "resolved" or spec.scanner in self._failed:
            return False
        needs = spec.absence_needs
        if needs is None:
            return True
        holds = compile_all(needs.when, self._knowledge.expected, self._policy_profile)
        for piece in pieces(self._members, 8 * PIECE):
            if any(
                member.classified.class_id == needs.class_ and holds(view(member, self._header)) for member in piece
            ):
                return True
            yield
        return False


def _blind(header: ScanHeader) -> set[str]:
    """Name the scanners that warned of something they could not look at."""
    warnings = header.raw.get("collection_warnings")
    if not isinstance(warnings, list):
        return set()
    return {
        str(warning.get("scanner"))
        for warning in warnings
        if isinstance(warning, dict) and warning.get("code") in _BLIND_CODES
    }


def label_of(finding: Classified, identity: tuple[str, ...], otherwise: str) -> str:
    """Name a finding for people: its identity slots, else its id; nothing in it acts on a terminal."""
    values = [finding.slots[name] for name in identity if name in finding.slots]
    return printable(" ".join(values) or otherwise)


def identity_slots(knowledge: Knowledge, class_id: str) -> tuple[str, ...]:
    """List the slots that tell findings of a class apart."""
    spec = knowledge.classes.get(class_id)
    return tuple(sorted(name for name, slot in spec.slots.items() if slot.identity)) if spec is not None else ()


def _seen(fingerprint: str, members: list[Member], row: Prior | None, as_of: str, knowledge: Knowledge) -> Seen:
    first = members[0].classified
    status = min((member.classified.status for member in members), key=_RANK.index)
    content = digest("baseline", sorted({_content(member, knowledge) for member in members}))
    state: BaselineState
    if row is None:
        state = "new"
    elif status == "open" and row.status in ("passed", _RESOLVED):
        state = "regressed"
    elif status == "passed" and row.status == "open":
        state = "resolved"
    else:
        state = "recurring" if row.content == content else "changed"
    return Seen(
        fingerprint=fingerprint,
        class_id=first.class_id,
        state=state,
        status=status,
        content=content,
        first_seen_at=as_of if row is None else row.first_seen_at,
        count=1 if row is None else row.count + 1,
        label=label_of(first, identity_slots(knowledge, first.class_id), first.title or first.class_id),
    )


def _content(member: Member, knowledge: Knowledge) -> str:
    finding = member.classified
    spec = knowledge.classes.get(finding.class_id)
    types = {name: slot.type for name, slot in spec.slots.items()} if spec is not None else {}
    slots = {name: value for name, value in finding.slots.items() if types.get(name) not in _VOLATILE}
    return digest(finding.situation, member.severity, slots)
