"""What is new, what came back and what is gone, against the host's earlier scans of the same profile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.finding import Classified, Member
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.scan import ScanIndex, resolves

BaselineState = Literal["new", "recurring", "changed", "regressed", "resolved"]

# Slots of these types differ from scan to scan without anything having changed on the host.
_VOLATILE = frozenset({"pid", "count"})
_RESOLVED = "resolved"
_FORGET_AFTER = 1000  # scans of the ledger; a fingerprint that is resolved for longer starts anew


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
        count: in how many scans of the profile it was seen, this one included.
        status: `open` when any line with the fingerprint is open.
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
    """A fingerprint that an earlier scan had open and that this one does not report."""

    fingerprint: str
    class_id: str
    label: str
    first_seen_at: str
    count: int


@dataclass(slots=True, frozen=True)
class Comparison:
    """A scan against the baseline.

    Attributes:
        resolved: gone, and gone means mended.
        not_observed: gone, but the scan or the scanner cannot tell why.
        forget: fingerprints that need not be remembered any longer.
        compared: whether absence meant anything in this scan.
    """

    seen: Mapping[str, Seen]
    resolved: tuple[Missing, ...]
    not_observed: tuple[Missing, ...]
    forget: tuple[str, ...]
    compared: bool


def compare(index: ScanIndex, prior: Mapping[str, Prior], knowledge: Knowledge) -> Comparison:
    """Compare a scan with what earlier scans of the same host and profile said."""
    context = index.context
    lines: dict[str, list[Member]] = {}
    for member in index.members:
        lines.setdefault(member.classified.fingerprint, []).append(member)
    seen = {
        fingerprint: _seen(fingerprint, members, prior.get(fingerprint), context.as_of, knowledge)
        for fingerprint, members in lines.items()
    }
    if not resolves(context):
        return Comparison(seen, (), (), (), compared=False)
    failed = {
        member.classified.slots.get("scanner", member.classified.scanner)
        for member in index.members
        if member.classified.status == "error"
    }
    resolved: list[Missing] = []
    not_observed: list[Missing] = []
    forget: list[str] = []
    for fingerprint, row in sorted(prior.items()):
        if fingerprint in seen:
            continue
        if row.status == "open":
            missing = Missing(fingerprint, row.class_id, row.label, row.first_seen_at, row.count)
            spec = knowledge.classes.get(row.class_id)
            gone = spec is not None and spec.absence == "resolved" and spec.scanner not in failed
            (resolved if gone else not_observed).append(missing)
        elif context.scan_no - row.last_scan_no > _FORGET_AFTER:
            forget.append(fingerprint)
    return Comparison(seen, tuple(resolved), tuple(not_observed), tuple(forget), compared=True)


def label_of(finding: Classified, identity: tuple[str, ...], otherwise: str) -> str:
    """Name a finding for people: its identity slots, else its id."""
    values = [finding.slots[name] for name in identity if name in finding.slots]
    return " ".join(values) or otherwise


def identity_slots(knowledge: Knowledge, class_id: str) -> tuple[str, ...]:
    """List the slots that tell findings of a class apart."""
    spec = knowledge.classes.get(class_id)
    return tuple(sorted(name for name, slot in spec.slots.items() if slot.identity)) if spec is not None else ()


def _seen(fingerprint: str, members: list[Member], row: Prior | None, as_of: str, knowledge: Knowledge) -> Seen:
    first = members[0].classified
    status = "open" if any(member.classified.status == "open" for member in members) else first.status
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
