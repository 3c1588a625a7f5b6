"""Makes a plan from the findings of a host: what a machine can do, in an order that works, and what it cannot.

Only what is at stake has a place in it. A step is the action that comes first for its finding, if that changes
something, can be taken back, and nothing speaks against it. Everything else is named with the reason.
"""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.display import printable
from pipeline.finding import LEVELS
from pipeline.output.formats.overview import AT_STAKE
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import subject_of
from pipeline.output.formats.wanted import Wanted
from pipeline.output.plan.order import LOOK_FIRST, covered_by, place, reboots
from pipeline.output.plan.steps import Aside, Plan, Step, Why
from pipeline.output.records import EnrichedFinding
from pipeline.rules.remediate import Action
from pipeline.rules.undo import ROOT

_NOTE = re.compile(rf"n=({re.escape(ROOT)}/[A-Za-z0-9._:@=,-]+);")
_UNIT = re.compile(r"systemctl try-restart -- ('[^']*'|[A-Za-z0-9@%+=:,./_-]+)\)\Z")
_NAMED = 5  # labels and keys of one entry
_KEY = 12  # hex digits of a dedupe key that a person copies
_MOST_ASIDES = 300  # a report can make up any number of texts
_SURELY_NOT = frozenset({"certain", "likely"})
_NOTHING = ": "  # how the shell says that there is nothing to do

_Named = tuple[str, str]  # name and key of a finding


@dataclass(slots=True)
class _Entry:
    """Findings with one answer.

    Attributes:
        worst: the first of those with the highest score.
        named: the first `_NAMED` of them.
    """

    worst: EnrichedFinding
    action: Action | None
    findings: int = 0
    named: dict[str, str] = field(default_factory=dict)
    acceptances: dict[str, None] = field(default_factory=dict)

    def add(self, finding: EnrichedFinding, action: Action | None) -> None:
        if finding.risk.score > self.worst.risk.score:
            self.worst, self.action = finding, action
        self.findings += 1
        if len(self.named) < _NAMED:
            self.named.setdefault(printable(subject_of(finding).name, 120), finding.dedupe_key[:_KEY])
        if action is not None and action.acceptance is not None:
            self.acceptances.setdefault(action.acceptance)

    def take(self, other: "_Entry") -> None:
        """Take the findings of another entry in."""
        self.findings += other.findings
        for label, key in other.named.items():
            if len(self.named) < _NAMED:
                self.named.setdefault(label, key)


class _Making:
    def __init__(self, kinds: Mapping[str, str], included: Collection[str]) -> None:
        self._kinds, self._included = kinds, included
        self._steps: dict[tuple[str, str], _Entry] = {}
        self._asides: dict[tuple[Why, str, str], _Entry] = {}
        self.left_out: Counter[str] = Counter()

    def add(self, finding: EnrichedFinding) -> None:
        if finding.status not in AT_STAKE:
            self.left_out[finding.status.replace("_", " ")] += 1
            return
        action = _first(finding)
        why, reason = self._judge(finding, action)
        if why is None and action is not None and action.command is not None:
            self._steps.setdefault((action.id, action.command), _Entry(finding, action)).add(finding, action)
            return
        why = why or "by_hand"
        self._aside(why, _Entry(finding, action), reason).add(finding, action)

    def _aside(self, why: Why, new: _Entry, reason: str) -> _Entry:
        about = new.action.id if new.action is not None else new.worst.class_
        name = (why, about, reason)
        if name not in self._asides and len(self._asides) >= _MOST_ASIDES:
            name = (why, "", "")
        return self._asides.setdefault(name, new)

    def _judge(self, finding: EnrichedFinding, action: Action | None) -> tuple[Why | None, str]:
        """Say why there is no step for it, with what is to be added to that; None where there is one."""
        if action is None:
            return "no_remedy", ""
        if action.contraindicated is not None:
            return "breaks", action.contraindicated
        artefact = finding.artefact
        kind = self._kinds.get(action.id)
        if kind == "accept":
            return "breaks", artefact.why if artefact is not None else ""
        if artefact is not None and artefact.degree in _SURELY_NOT and not finding.threat_intel:
            return "mistaken", artefact.why
        if kind is None:
            return "by_hand", "this version does not know the action: analyse the report anew"
        if kind == "manual":
            return "by_hand", ""
        if action.command is None or action.check is None or action.rollback is None:
            return "unwritable", action.caution or ""
        if action.id in LOOK_FIRST and action.id not in self._included:
            return "look_first", LOOK_FIRST[action.id]
        if action.rollback.startswith(_NOTHING) or _NOTE.search(action.command) is None:
            return "by_hand", "its command writes nothing down that could be taken back"
        return None, ""

    def steps(self) -> tuple[Step, ...]:
        """Give the steps in order; call it before `asides`."""
        taken: dict[str, _Entry] = {}
        ordered = sorted(self._steps.values(), key=lambda one: (-one.worst.risk.score, one.worst.dedupe_key))
        present = {one.action.id for one in ordered if one.action is not None}
        for entry in ordered:
            action = entry.action
            assert action is not None
            found = _NOTE.search(action.command or "")
            assert found is not None
            if (by := covered_by(action.id)) is not None and by in present:
                self._aside("settled_elsewhere", entry, f"{by} does it, too")
            elif (other := taken.setdefault(found[1], entry)) is not entry:
                reason = "a finding that weighs more asks for another value of the same setting"
                self._aside("settled_elsewhere", entry, reason)
                other.take(entry)
        sorted_steps = sorted(taken.items(), key=lambda one: self._place(one[1]))
        return tuple(self._step(number, note, entry) for number, (note, entry) in enumerate(sorted_steps, 1))

    def _place(self, entry: _Entry) -> tuple[int, str, int, str]:
        action = entry.action
        assert action is not None
        late = place(action.id, self._kinds.get(action.id))
        # What is about one unit stands together, so that it is restarted once.
        return late, _unit(action) or "", -entry.worst.risk.score, action.command or ""

    def _step(self, number: int, note: str, entry: _Entry) -> Step:
        action = entry.action
        assert action is not None
        assert action.command is not None and action.check is not None and action.rollback is not None
        return Step(
            number=number,
            action=action.id,
            summary=printable(action.summary, 600),
            level=entry.worst.risk.level,
            command=action.command,
            check=action.check,
            rollback=action.rollback,
            caution=action.caution,
            note=note,
            unit=_unit(action),
            reboots=reboots(action.id, self._kinds.get(action.id)),
            findings=entry.findings,
            labels=tuple(entry.named),
            keys=tuple(entry.named.values()),
            acceptances=tuple(entry.acceptances),
        )

    def asides(self) -> tuple[Aside, ...]:
        """Give what has no step, the worst first."""
        found = [_as_aside(why, reason, entry) for (why, _, reason), entry in self._asides.items()]
        found.sort(key=lambda one: (-LEVELS.index(one.level), -one.findings, one.why, one.about, one.reason))
        return tuple(found)


def plans(
    scans: Iterable[Scan], kinds: Mapping[str, str], wanted: Wanted, included: Collection[str] = ()
) -> Iterator[Plan]:
    """Make a plan for each host, in the order in which the hosts come.

    Args:
        scans: those of one host may be mixed with others; each is read once.
        kinds: the kind of each remediation that this version knows.
        included: ids out of `LOOK_FIRST` that somebody has looked into.
    """
    made: dict[str, tuple[_Making, list[Scan], list[str]]] = {}
    for scan in scans:
        making, of_host, agents = made.setdefault(scan.host, (_Making(kinds, included), [], []))
        of_host.append(scan)
        for finding in scan.findings():
            if not agents:
                agents.append(finding.provenance.agent)
            if finding.status in AT_STAKE and not wanted.takes(finding):
                making.left_out[f"not of {wanted.words()}"] += 1
            else:
                making.add(finding)
    for host, (making, of_host, agents) in made.items():
        steps = making.steps()
        missing = dict.fromkeys(gap.text for scan in of_host for gap in gaps(scan))
        yield Plan(
            host=host,
            agent=agents[0] if agents else "unknown",
            scans=tuple((scan.scan_id, scan.record.as_of if scan.record is not None else "") for scan in of_host),
            steps=steps,
            asides=making.asides(),
            left_out=tuple(sorted(making.left_out.items())),
            missing=tuple(missing),
        )


def _first(finding: EnrichedFinding) -> Action | None:
    """Give the action that comes first: a reviewer's word, else the first of the knowledge's that does no harm.

    A model's choice does not count here: it may not have a machine skip the look that stands before a change.
    """
    actions = finding.remediation
    if finding.analysis.origin == "review":
        chosen = next((one for one in actions if one.id == finding.analysis.action), None)
        if chosen is not None and chosen.contraindicated is None:
            return chosen
    return next((one for one in actions if one.contraindicated is None), actions[0] if actions else None)


def _unit(action: Action) -> str | None:
    """Name the unit that the command restarts at its end."""
    found = _UNIT.search(action.command or "")
    return None if found is None else shlex.split(found[1])[0]


def _as_aside(why: Why, reason: str, entry: _Entry) -> Aside:
    action, worst = entry.action, entry.worst
    about = action.summary if action is not None else worst.finding.title or worst.class_
    check = action.check if action is not None else None
    return Aside(
        why=why,
        action=action.id if action is not None else None,
        about=printable(about, 400),
        reason=printable(reason, 600),
        level=worst.risk.level,
        findings=entry.findings,
        labels=tuple(entry.named),
        keys=tuple(entry.named.values()),
        check=None if check is None or check.startswith(_NOTHING) else check,
    )
