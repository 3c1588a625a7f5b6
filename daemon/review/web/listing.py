"""The queue, and what was decided: the pages that list."""

from collections import Counter
from collections.abc import Sequence

from daemon.review.deciding import Overtaken, undo
from daemon.review.queue import NotFound
from daemon.review.web.desk import Desk
from daemon.review.web.forms import PER_PAGE, Asked, Values, link, numbers, one, page_of
from daemon.review.web.pages import Page
from daemon.review.web.session import NOT_SHOWN, Session
from daemon.review.who import now
from daemon.review.words import numbered
from pipeline.display import printable
from pipeline.output.read import read_finding
from pipeline.review.verdict import Verdict

_ROWS = PER_PAGE


def queue(desk: Desk, session: Session, query: Values) -> Page:
    """Show what nobody has reviewed."""
    asked = Asked.of(query)
    entries = desk.entries(asked.filter, asked.text)
    page, pages = _pages(page_of(query), len(entries))
    shown = entries[(page - 1) * _ROWS : page * _ROWS]
    stored = desk.ledger.reviews.lines([entry.worst for entry in shown])
    rows = [(entry, read_finding(stored[entry.worst])) for entry in shown if entry.worst in stored]
    return Page(
        "queue.html",
        {
            "asked": asked,
            "rows": rows,
            "total": len(entries),
            "by_level": Counter(entry.level for entry in entries),
            "page": page,
            "pages": pages,
            "first": (page - 1) * _ROWS + 1,
            "progress": desk.progress(),
            "classes": desk.names("class_id"),
            "hosts": [
                name for name in desk.names("host") if printable(name) == name
            ],  # a browser shows them as they are
            "scanners": desk.names("scanner"),
            "done": done(desk, session, query),
        },
    )


def history(desk: Desk, session: Session, query: Values, notice: str = "") -> Page:
    """Show who decided what, the latest first, and whether the log is what was written."""
    verdicts = desk.queue.verdicts
    author, kind = one(query, "author"), one(query, "kind")
    chosen = [
        verdict for verdict in reversed(verdicts) if author in ("", verdict.author) and kind in ("", verdict.kind)
    ]
    page, pages = _pages(page_of(query), len(chosen))
    shown = chosen[(page - 1) * _ROWS : page * _ROWS]
    state = desk.states(verdicts)
    today = now()[:10]
    return Page(
        "history.html",
        {
            "rows": [(verdict, state[verdict.seq], undo_form(desk, session, str(verdict.seq))) for verdict in shown],
            "total": len(chosen),
            "page": page,
            "pages": pages,
            "author": author,
            "kind": kind,
            "authors": sorted({verdict.author for verdict in verdicts}),
            "today": Counter(verdict.author for verdict in verdicts if verdict.at[:10] == today).most_common(10),
            "checked": desk.checked(),
            "done": done(desk, session, query),
            "notice": notice,
        },
    )


def undone(desk: Desk, session: Session, values: Values) -> Page:
    """Have verdicts not count any more, and show the page from which that was asked."""
    given, at = one(values, "verdicts"), one(values, "at")
    seqs = numbers(given)
    form = session.read(f"undo {given}", one(values, "form"))
    if form is None or not seqs:
        return _again(desk, session, NOT_SHOWN)
    before = session.outcome(form)
    if before is not None:
        return Page(goes_to=_back(at, before, again=True))
    try:
        verdicts = undo(
            desk.queue, desk.log, seqs, reason=one(values, "reason"), at=now(), author=session.author, since=form.seq
        )
    except Overtaken as error:
        who = error.verdicts[0]
        return _again(desk, session, f"{who.author} has undone this already, with verdict {who.seq}.")
    except NotFound as error:
        return _again(desk, session, str(error))
    desk.decided()
    outcome = span(verdicts)
    session.spend(form, outcome)
    return Page(goes_to=_back(at, outcome))


def undo_form(desk: Desk, session: Session, verdicts: str) -> str:
    """Make the hidden field of a form that undoes verdicts."""
    return session.issue(f"undo {verdicts}", desk.seq)


def done(desk: Desk, session: Session, query: Values) -> dict[str, object] | None:
    """Give what was decided a moment ago, as the address of the page names it, so that it can be undone."""
    given = one(query, "done")
    seqs = numbers(given)
    if not seqs or not 0 < seqs[0] <= seqs[-1] <= desk.seq:
        return None
    verdicts = [desk.queue.verdicts[seq - 1] for seq in seqs]
    return {
        "what": numbered(verdicts),
        "first": verdicts[0],
        "verdicts": given,
        "again": one(query, "again") == "1",
        "at": one(query, "at"),
        "is_undo": verdicts[0].undoes is not None,
        "form": undo_form(desk, session, given),
    }


def span(verdicts: Sequence[Verdict]) -> str:
    """Name verdicts in an address: ``7``, ``7-12``."""
    first, last = verdicts[0].seq, verdicts[-1].seq
    return str(first) if first == last else f"{first}-{last}"


def _back(at: str, outcome: str, *, again: bool = False) -> str:
    path = "/history" if at == "history" else f"/finding/{at}" if at.isalnum() and at.isascii() else "/"
    return link(path, done=outcome, again=1 if again else 0)


def _again(desk: Desk, session: Session, notice: str) -> Page:
    page = history(desk, session, {}, notice)
    return Page(page.template, page.values, 409)


def _pages(page: int, rows: int) -> tuple[int, int]:
    pages = max(1, -(-rows // _ROWS))
    return min(page, pages), pages
