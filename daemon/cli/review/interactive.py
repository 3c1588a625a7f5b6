"""`review` on a terminal: one situation after the other, the worst first, decided by keys."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit
from daemon.cli.review.keyboard import Keyboard, draw
from daemon.cli.review.opened import Desk, open_desk
from daemon.cli.review.stopping import Handing
from daemon.ledger.retained import Filter
from daemon.review.deciding import Decision, give, undo
from daemon.review.queue import AT_STAKE, Aim, Ambiguous, Entry, NotFound, Wish
from daemon.review.who import author, now
from daemon.review.words import affected, label_of, title_of
from pipeline.display import printable
from pipeline.errors import AgentError
from pipeline.finding import LEVELS
from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Correction

_SCOPES = ("situation on {host}", "situation everywhere", "this finding alone, on {host}")
_KEYS = (
    "a approve   f false positive   x accept a risk   c correct the level   u undo the last",
    "s scope   n j ↓ next   p k ↑ back   d details   q quit",
)


def review(given: Mapping[str, Any], config: Path | None) -> Exit:
    """Go through the queue until the person has had enough."""
    with open_desk(given, config, to_write=True) as desk, Keyboard() as keyboard:
        Round(desk, keyboard).run()
    return Exit.DONE


class Round:
    """One walk through the queue."""

    def __init__(self, desk: Desk, keyboard: Keyboard) -> None:
        self._desk = desk
        self._keyboard = keyboard
        self._entries: list[Entry] = []
        self._at = 0
        self._scope = 0
        self._details = False
        self._message = ""
        self._given: list[int] = []  # by this walk, to be undone
        self._reason = ""  # as it was given last: Enter takes it again
        self._owner = author()
        self._until = ""
        self._do: Mapping[str, Callable[[], None]] = {
            "a": self._approve, "f": self._false_positive, "x": self._accept, "c": self._correct, "u": self._undo,
            "s": self._next_scope, "d": self._toggle, "n": self._next, "j": self._next, "down": self._next,
            "p": self._back, "k": self._back, "up": self._back, "enter": self._toggle,
        }  # fmt: skip
        self._read()

    def run(self) -> None:
        """Draw, wait for a key, do what it stands for."""
        while True:
            self._draw()
            key = self._keyboard.key()
            if key in ("q", "end"):
                return
            self._message = ""
            act = self._do.get(key)
            if act is None:
                continue
            try:
                act()
            except AgentError as error:  # nothing was decided; the person decides what now
                self._message = printable(str(error))

    def _read(self) -> None:
        self._desk.queue.refresh()
        self._entries = self._desk.queue.unreviewed(Filter(statuses=AT_STAKE))
        self._at = min(self._at, max(0, len(self._entries) - 1))

    # Keys

    def _approve(self) -> None:
        self._decide(Decision("approve"))

    def _false_positive(self) -> None:
        reason = self._ask_reason()
        if reason is not None:
            self._decide(Decision("false_positive", reason))

    def _accept(self) -> None:
        owner = self._keyboard.line("who answers for it", self._owner)
        until = None if owner is None else self._keyboard.line("until which day (2027-01-31)", self._until)
        if not owner or not until:
            return
        decision = Decision("accept", "not asked yet", owner=owner, until=until).checked(now())
        reason = self._ask_reason()
        if reason is not None:
            self._owner, self._until = owner, until
            self._decide(replace(decision, reason=reason))

    def _correct(self) -> None:
        self._message = "the level: 1 info  2 low  3 medium  4 high  5 critical"
        self._draw()
        key = self._keyboard.key()
        self._message = ""
        if key not in ("1", "2", "3", "4", "5"):
            return
        reason = self._ask_reason()
        if reason is not None:
            self._decide(Decision("correct", reason, Correction(level=LEVELS[int(key) - 1])))

    def _undo(self) -> None:
        if not self._given:
            self._message = "nothing of this walk to undo; `review undo NUMBER` undoes others"
            return
        seq = self._given[-1]
        with Handing().over(self._desk.writing):
            undo(self._desk.queue, self._desk.writing, [seq], reason="", at=now(), author=author())
        self._given.pop()
        self._read()
        self._message = f"verdict {seq} does not count any more"

    def _next_scope(self) -> None:
        self._scope = (self._scope + 1) % len(_SCOPES)

    def _toggle(self) -> None:
        self._details = not self._details

    def _next(self) -> None:
        self._at = min(self._at + 1, max(0, len(self._entries) - 1))

    def _back(self) -> None:
        self._at = max(0, self._at - 1)

    # Deciding

    def _ask_reason(self) -> str | None:
        """Ask why; without a reason, and with Escape, nothing is decided."""
        if not self._entries:
            return None
        reason = self._keyboard.line("why", self._reason)
        if not reason:
            self._message = "nothing was decided"
            return None
        self._reason = reason
        return reason

    def _decide(self, decision: Decision) -> None:
        if not self._entries:
            return
        entry = self._entries[self._at]
        aim = self._aim(entry)
        queue, log = self._desk.queue, self._desk.writing
        with Handing().over(log):
            (verdict,) = give(queue, log, decision.checked(now()), [aim], at=now(), author=author())
        self._given.append(verdict.seq)
        self._message = f"verdict {verdict.seq}: {decision.kind.replace('_', ' ')}, {affected([aim])}"
        if aim.lines >= entry.lines:  # nothing of it is left: no need to look through the queue
            del self._entries[self._at]
            self._at = min(self._at, max(0, len(self._entries) - 1))
        else:
            self._read()

    def _aim(self, entry: Entry) -> Aim:
        queue = self._desk.queue
        line = queue.line(entry.worst)
        situation = queue.situation(entry.situation)
        alone = self._scope == 2 or (situation is not None and not situation.is_known)
        wish = Wish(
            (line.fingerprint,), Filter(host=line.host), not alone, self._scope == 1 and not alone, {entry.situation}
        )
        try:
            (aim,) = queue.aims(wish)
        except (NotFound, Ambiguous) as error:
            raise AgentError(str(error)) from error
        return aim

    # Showing

    def _draw(self) -> None:
        if not self._entries:
            draw("Nothing is left to review.", [], [self._message, "u undo the last   q quit"])
            return
        entry = self._entries[self._at]
        try:
            line = self._desk.queue.line(entry.worst)
        except AgentError as error:
            draw(entry.class_id, [printable(str(error))], _KEYS)
            return
        head = f"{entry.level} {entry.score}  {title_of(line)}"
        hosts = printable(entry.hosts[0], 60) if len(entry.hosts) == 1 else f"{len(entry.hosts):,} hosts"
        body = [
            f"{entry.lines:,} {'line' if entry.lines == 1 else 'lines'} on {hosts}, the worst: {label_of(line)}",
            "",
            printable(line.analysis.assessment, 2000),
            printable(line.analysis.impact, 2000),
            *(_details(line) if self._details else ()),
        ]
        scope = _SCOPES[self._scope].format(host=printable(line.host, 60))
        where = f"{self._at + 1:,} of {len(self._entries):,}   decides on: {scope}"
        draw(head, body, [self._message, where, *_KEYS] if self._message else [where, *_KEYS])


def _details(line: EnrichedFinding) -> list[str]:
    found = ["", f"class {printable(line.class_)}, {line.status} (by {line.status_basis}), host {printable(line.host)}"]
    found += [f"  {name}={printable(value)}" for name, value in [*line.slots.items(), *line.features.items()]]
    if line.artefact is not None:
        found.append(f"scanner artefact ({line.artefact.degree}): {printable(line.artefact.why, 1000)}")
    found += [f"  {factor.points:+4}  {factor.name}: {printable(factor.why, 1000)}" for factor in line.risk.factors]
    found += [f"together with: {printable(group.title)}" for group in line.correlations]
    found += [f"to do: {printable(action.summary, 1000)}" for action in line.remediation[:3]]
    return found
