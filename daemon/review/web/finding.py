"""One finding, or many situations at once: what is said of it, and the form that decides."""

from collections.abc import Sequence
from typing import Any

from daemon.ledger.retained import Filter, Retained
from daemon.review.deciding import Overtaken, Unfit, check, decided_since, give
from daemon.review.queue import Aim, Ambiguous, NotFound, Wish
from daemon.review.web.desk import Desk
from daemon.review.web.forms import NOTHING_TYPED, Asked, Sent, Values, link, one
from daemon.review.web.listing import done, span
from daemon.review.web.pages import Page
from daemon.review.web.session import NOT_SHOWN, Form, Session
from daemon.review.who import now
from daemon.review.words import about, affected, decided
from pipeline.keys import digest
from pipeline.output.read import read_finding
from pipeline.review.verdict import SCOPES, Kind, Scope, Verdict
from pipeline.rules.compliance import FRAMEWORK_NAMES

_OTHERS = 20  # findings of the same situation that are listed
_SHOWN = 30  # situations of many that are listed
_TOLD = 5  # verdicts of others that are told
MOST_AIMS = 2000  # verdicts at once
_MARK = 12  # hex digits of what the page said
_CHANGED = "What this reaches has changed since the page was drawn. Nothing was stored; look again, and decide."


def finding(
    desk: Desk, session: Session, key: str, query: Values, sent: Sent | None = None, trouble: "Trouble | None" = None
) -> Page:
    """Show a finding and why it is what it is, with the form.

    Raises:
        NotFound: when there is no such finding.
    """
    row = _row(desk, key, query)
    line = desk.queue.line(row.row)
    asked = Asked.of(query)
    entries = desk.entries(asked.filter, asked.text)
    at = next((place for place, entry in enumerate(entries) if entry.situation == row.situation), None)
    verdicts = desk.queue.verdicts_about(row)
    situation = desk.queue.situation(row.situation)
    knowledge = desk.knowledge
    aims = _aims(desk, row)
    spec = knowledge.classes.get(line.class_)
    others = [
        other for other in desk.ledger.reviews.findings(Filter(), [row.situation], _OTHERS + 1) if other.row != row.row
    ]
    labels = desk.ledger.reviews.lines([other.row for other in others])
    values: dict[str, Any] = {
        "row": row,
        "line": line,
        "asked": asked,
        "at": at,
        "total": len(entries),
        "before": _beside(desk, asked, entries, None if at is None else at - 1),
        "after": _beside(desk, asked, entries, 0 if at is None else at + 1),
        "meaning": spec.meaning if spec is not None else None,
        "frameworks": FRAMEWORK_NAMES,
        "scopes": [(scope, words, affected([aims[scope]])) for scope, words in _SCOPES.items() if scope in aims],
        "default": "host" if "host" in aims else "finding",
        "counting": desk.queue.verdict_on(row),
        "verdicts": list(reversed(verdicts)),
        "states": desk.states(desk.queue.verdicts),
        "others": [(other, read_finding(labels[other.row])) for other in others if other.row in labels][:_OTHERS],
        "situation": situation,
        "done": done(desk, session, query),
    }
    values |= _form(desk, session, _name_of(row), list(aims.values()), sent, trouble)
    return Page("finding.html", values, trouble.status if trouble is not None else 200)


def decide(desk: Desk, session: Session, key: str, values: Values) -> Page:
    """Take the form of a finding: store what it decides once, or say why not and show it again."""
    row = _row(desk, key, values)
    sent = Sent.of(values)
    form = session.read(_name_of(row), sent.form)
    if form is not None:
        before = session.outcome(form)
        if before is not None:
            return _on(desk, values, row, before, again=True)
    try:
        scope, kind = _chosen(sent)
        aim = desk.queue.aim(row, scope)
        at = SCOPES.index(scope)
        marks = list(form.marks[at : at + 1]) if form is not None else []
        outcome = _store(desk, session, form, sent, kind, [aim], marks)
    except Trouble as trouble:
        return finding(desk, session, key, values, sent, trouble)
    return _on(desk, values, row, outcome)


def many(
    desk: Desk, session: Session, query: Values, sent: Sent | None = None, trouble: "Trouble | None" = None
) -> Page:
    """Show what a verdict on many situations would be about, with the form.

    Raises:
        NotFound: when nothing that is to be reviewed fits.
    """
    here, everywhere = (_many(desk, query, everywhere=wide) for wide in (False, True))
    asked = Asked.of(query)
    values: dict[str, Any] = {
        "asked": asked,
        "keys": _keys(query),
        "everything": one(query, "every") == "1",
        "aims": [(aim, desk.queue.line(aim.worst)) for aim in here[:_SHOWN] if aim.worst is not None],
        "more": max(0, len(here) - _SHOWN),
        "scopes": [
            ("host", "each on the host where it is", affected(here)),
            ("everywhere", "on every host, now and later", affected(everywhere)),
        ],
        "default": "host",
        "line": None,
        "done": None,
    }
    values |= _form(desk, session, _name_of_many(query), [here, everywhere], sent, trouble)
    return Page("many.html", values, trouble.status if trouble is not None else 200)


def decide_many(desk: Desk, session: Session, values: Values) -> Page:
    """Take the form of many situations."""
    sent = Sent.of(values)
    form = session.read(_name_of_many(values), sent.form)
    asked = Asked.of(values)
    if form is not None:
        before = session.outcome(form)
        if before is not None:
            return Page(goes_to=link("/", asked.fields, done=before, again=1))
    try:
        scope, kind = _chosen(sent)
        try:
            aims = _many(desk, values, everywhere=scope == "everywhere")
        except NotFound as error:  # others have decided on all of it
            lines = _lines(desk.queue.verdicts[form.seq :]) if form is not None else []
            raise Trouble(_CHANGED, 409, lines=lines) from error
        at = _OF_MANY.index(scope) if scope in _OF_MANY else len(_OF_MANY)
        marks = list(form.marks[at : at + 1]) if form is not None else []
        outcome = _store(desk, session, form, sent, kind, aims, marks)
    except Trouble as trouble:
        try:
            return many(desk, session, values, sent, trouble)
        except NotFound:
            return Page("message.html", {"heading": "Nothing is left of it", "text": str(trouble)}, trouble.status)
    return Page(goes_to=link("/", asked.fields, done=outcome))


class Trouble(Exception):
    """Raised when a form is not taken; it is shown again.

    Attributes:
        field: what is wrong with what was typed, or empty.
        lines: what others have decided meanwhile.
    """

    def __init__(self, message: str, status: int, field: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.field = field
        self.lines = lines


_OF_MANY: tuple[Scope, ...] = ("host", "everywhere")
_SCOPES: dict[Scope, str] = {  # in the order in which they are offered
    "host": "this situation on this host",
    "everywhere": "this situation on every host, now and later",
    "finding": "this finding alone",
}


def _store(
    desk: Desk,
    session: Session,
    form: Form | None,
    sent: Sent,
    kind: Kind,
    aims: Sequence[Aim],
    marks: Sequence[str],
) -> str:
    """Store what a form decides; returns the numbers of the verdicts, as in an address.

    Raises:
        Trouble: when it is not stored.
    """
    if form is None:
        raise Trouble(NOT_SHOWN, 409)
    try:
        decision = sent.decision(kind).checked(now())
        if decision.correction is not None:
            check(decision.correction, desk.knowledge)
    except Unfit as error:
        raise Trouble(str(error), 422, error.field) from error
    # Others' verdicts first: they say better than "it has changed" what has.
    if overtaken := decided_since(desk.queue, aims, form.seq):
        raise _told(overtaken)
    if marks != [_mark(desk, aims)]:
        raise Trouble(_CHANGED, 409, lines=_lines(desk.queue.verdicts[form.seq :]))
    try:
        verdicts = give(desk.queue, desk.log, decision, aims, at=now(), author=session.author, since=form.seq)
    except Overtaken as error:  # in between
        desk.decided()
        raise _told(error.verdicts) from error
    except Ambiguous as error:
        raise Trouble(str(error), 409) from error
    desk.decided()
    outcome = span(verdicts)
    session.spend(form, outcome)
    return outcome


def _told(verdicts: Sequence[Verdict]) -> Trouble:
    said = "Somebody has decided on this since the page was drawn. Nothing was stored; look again, and decide."
    return Trouble(said, 409, lines=_lines(verdicts))


def _lines(verdicts: Sequence[Verdict]) -> list[str]:
    lines = [
        f"Verdict {one.seq}: {decided(one)}, {about(one)}, by {one.author}, {one.at}"
        f"{f': {one.reason}' if one.reason else ''}"
        for one in verdicts[:_TOLD]
    ]
    more = len(verdicts) - len(lines)
    return [*lines, f"and {more:,} more, which the history has"] if more else lines


def _chosen(sent: Sent) -> tuple[Scope, Kind]:
    if sent.kind is None:
        raise Trouble("Choose what you decide: one of the four buttons.", 422)
    if sent.scope is None:
        raise Trouble("Choose what you decide on.", 422)
    return sent.scope, sent.kind


def _form(
    desk: Desk,
    session: Session,
    name: str,
    aims: Sequence[Aim | Sequence[Aim]],
    sent: Sent | None,
    trouble: Trouble | None,
) -> dict[str, Any]:
    marks = [_mark(desk, [aim] if isinstance(aim, Aim) else aim) for aim in aims]
    return {
        "form": session.issue(name, desk.seq, marks),
        "typed": NOTHING_TYPED if sent is None else sent.typed,
        "chosen": sent.scope if sent is not None else None,
        "trouble": trouble,
        "begun": sent.kind if sent is not None and sent.kind in ("accept", "correct") else "",
        "known_classes": sorted(desk.knowledge.classes),
        "today": now()[:10],
    }


def _mark(desk: Desk, aims: Sequence[Aim]) -> str:
    """Make a few digits of what a page says of how much a verdict reaches, and of the worst that it reaches."""
    said: list[Any] = []
    for aim in aims:
        said.append([aim.findings, aim.lines, sorted(aim.hosts), aim.target.fingerprint])
        if len(aims) == 1 and aim.worst is not None:
            line = desk.queue.line(aim.worst)
            said.append([line.analysis.key, line.status, line.risk.score])
    return digest("page", said)[:_MARK]


def _aims(desk: Desk, row: Retained) -> dict[Scope, Aim]:
    """Say what each scope would be about, in the order in which they are offered; the marks of the form follow it."""
    found: dict[Scope, Aim] = {}
    for scope in SCOPES:
        try:
            found[scope] = desk.queue.aim(row, scope)
        except (Ambiguous, NotFound):
            continue
    return found


def _row(desk: Desk, key: str, query: Values) -> Retained:
    host, situation = one(query, "of"), one(query, "in")
    rows = desk.ledger.reviews.exact(host, key) if host else []
    rows = [row for row in rows if row.situation == situation] or rows
    found = rows[0] if rows else desk.queue.finding(key.lower()) if len(key) >= 6 and key.isalnum() else None
    if found is None:
        raise NotFound("no finding of this name is kept any more")
    return found


def _beside(desk: Desk, asked: Asked, entries: Sequence[Any], at: int | None) -> str:
    if at is None or not 0 <= at < len(entries):
        return ""
    return _address(desk, entries[at].worst, asked.fields)


def _address(desk: Desk, row: int, fields: Sequence[tuple[str, str]]) -> str:
    line = desk.queue.line(row)
    return link(f"/finding/{line.fingerprint}", [("of", line.host), ("in", line.analysis.situation)], fields)


def _on(desk: Desk, values: Values, row: Retained, outcome: str, *, again: bool = False) -> Page:
    """Go on with the next of the list; back to the finding where it is not done with."""
    asked = Asked.of(values)
    more = {"done": outcome, "again": "1" if again else "", "at": row.fingerprint}
    place = one(values, "place")
    if not place.isdecimal():  # it was not opened from the list
        return Page(goes_to=_address(desk, row.row, [*asked.fields, *more.items()]))
    entries = desk.entries(asked.filter, asked.text)
    if not entries:
        return Page(goes_to=link("/", asked.fields, **more))
    entry = entries[min(int(place[:9]), len(entries) - 1)]
    return Page(goes_to=_address(desk, entry.worst, [*asked.fields, *more.items()]))


def _many(desk: Desk, values: Values, *, everywhere: bool) -> list[Aim]:
    asked = Asked.of(values)
    if one(values, "every") == "1":
        among = {entry.situation for entry in desk.entries(asked.filter, asked.text)}
    else:
        among = {name for key in _keys(values) for name in desk.ledger.reviews.matching(key)}
    aims = desk.queue.aims(Wish(wanted=asked.filter, everywhere=everywhere, among=among)) if among else []
    if not aims:
        raise NotFound("nothing that is to be reviewed fits; choose situations in the list, or another filter")
    if len(aims) > MOST_AIMS:
        raise Ambiguous(f"these are {len(aims):,} verdicts; narrow the list to at most {MOST_AIMS:,}")
    return aims


def _keys(values: Values) -> list[str]:
    """Give the situations that are named, by at least so many digits that no other one is meant."""
    return [key for key in values.get("key", ()) if len(key) == 32 and key.isalnum()]


def _name_of(row: Retained) -> str:
    return f"finding {row.fingerprint} {row.situation} {row.host}"


def _name_of_many(values: Values) -> str:
    named = sorted(_keys(values)) if one(values, "every") != "1" else ["every"]
    return f"many {digest('many', named, [list(pair) for pair in Asked.of(values).fields])}"
