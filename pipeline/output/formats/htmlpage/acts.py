"""What to do: the first things, and then all that is at stake."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipeline.finding import Level
from pipeline.output.formats.htmlpage.parts import CODE, LONG, examples_of, level_of, many, words_of
from pipeline.output.formats.overview import EXAMPLES, Kind, Overview, says_little
from pipeline.output.formats.patterns import patterns
from pipeline.output.markup import Markup, element, text
from pipeline.output.records import ScanRecord
from pipeline.rules.remediate import Action

_MOST_FIRST = 3
_URGENT: Final[frozenset[Level]] = frozenset({"high", "critical"})
_READ = "Read what the scanner says: nothing here knows this kind of finding."
_NOTHING = ": "  # the shell's way to say that there is nothing to do


def first(seen: Overview) -> Iterator[Markup]:
    steps: dict[str, list[Kind]] = {}
    for kind in seen.worst_first():
        step = _step(kind)
        if step is not None:
            steps.setdefault(step, []).append(kind)
    if not steps:
        yield element("p", "Nothing that can be named.", class_="dim")
    for kind, *others in list(steps.values())[:_MOST_FIRST]:
        action, look = kind.action, kind.look
        parts: list[Markup] = []
        if action is not None:
            parts = [element("p", element("strong", text(action.summary, LONG))), *_why(kind)]
            parts += _how(action, is_open=True)
        elif look is not None:
            parts = [element("p", element("strong", "Look first: ", text(look.summary, LONG))), *_why(kind)]
            parts.append(element("pre", element("code", text(look.command, CODE))))
        else:
            parts = [element("p", element("strong", _READ)), *_why(kind)]
        if others:
            parts.append(element("p", "The same for: ", text(_named(others), LONG), class_="small"))
        yield element("div", *parts, class_="first")


def _step(kind: Kind) -> str | None:
    """Name what is to be done first about a kind, the same for all about which the same is to be done; or None."""
    action = kind.action
    if kind.worst.risk.level == "info":
        return None
    if action is None:
        if kind.look is not None:
            return f"look {kind.look.id}"
        return _READ if says_little(kind.worst) and kind.worst.risk.level in _URGENT else None
    return None if action.contraindicated is not None or _changes_nothing(action) else action.id


def _named(kinds: Sequence[Kind]) -> str:
    names = tuple(dict.fromkeys(name for kind in kinds for name in kind.examples))[:EXAMPLES]
    more = sum(kind.findings - sum(map(kind.bearing, names)) for kind in kinds)
    return f"{', '.join(names)}{f', and {more:,} more' if more > 0 else ''}"


def _why(kind: Kind) -> Iterator[Markup]:
    yield element(
        "p",
        level_of(kind.worst),
        " ",
        text(kind.worst.analysis.assessment, LONG),
        " ",
        examples_of(kind),
        class_="small",
    )
    yield from words_of(kind)


def _how(action: Action, *, is_open: bool) -> Iterator[Markup]:
    """Give command, check and way back, folded where they would stand between one thing and the next."""
    parts: list[Markup] = []
    for label, code in (("Command", action.command), ("Check", action.check), ("Way back", action.rollback)):
        if code is not None and not code.startswith(_NOTHING):
            said = element("pre", element("code", text(code, CODE)))
            parts += [element("p", label, class_="small"), said] if label != "Command" or not is_open else [said]
    if is_open and action.command is not None:
        yield parts.pop(0)
    if action.caution is not None:
        yield element("p", element("strong", "Mind: "), text(action.caution, LONG), class_="small")
    if action.contraindicated is not None:
        yield element("p", element("strong", "Not done, because: "), text(action.contraindicated, LONG), class_="small")
    if parts:
        title = "Check and way back" if is_open else "Command, check and way back"
        yield element("details", element("summary", title), *parts)


def _changes_nothing(action: Action) -> bool:
    """Say whether an action is none: there is nothing to do, and nothing to check."""
    return action.command is None and (action.check or "").startswith(_NOTHING)


def stake(seen: Overview) -> Iterator[Markup]:
    kinds = seen.worst_first()
    if not kinds:
        yield element("p", "Nothing, in what could be seen.", class_="dim")
    for kind in kinds:
        finding, action = kind.worst, kind.action
        parts: list[Markup] = [
            element("h4", level_of(finding), " ", text(finding.analysis.assessment, LONG)),
            element("p", text(finding.analysis.impact, LONG)),
            *words_of(kind),
            element("p", examples_of(kind), class_="small"),
        ]
        if kind.mixed:
            differ = f"Too many kinds to tell apart: these differ, and what is said here is about {kind.examples[0]}."
            parts.append(element("p", differ, class_="note"))
        if finding.artefact is not None:
            degree = finding.artefact.degree
            why = (
                "Perhaps a mistake of the scanner: "
                if degree == "cannot_tell"
                else f"A {degree} mistake of the scanner: "
            )
            parts.append(element("p", why, text(finding.artefact.why, LONG), class_="note"))
        if action is None and kind.look is not None:
            parts.append(element("p", element("strong", "Look first: "), text(kind.look.summary, LONG)))
            parts.append(element("pre", element("code", text(kind.look.command, CODE))))
        if action is not None:
            parts += [
                element("p", element("strong", "To do: "), text(action.summary, LONG)),
                *_how(action, is_open=False),
            ]
        yield element("article", *parts)


def together(seen: Overview, record: ScanRecord | None) -> Iterator[Markup]:
    """Tell the patterns of the scan: findings that mean more together than each alone."""
    told, more = patterns(seen, record)
    if not told:
        said = "No known pattern across findings." if record is not None else "Not known: the record is not here."
        yield element("p", said, class_="dim")
    for one in told:
        group = one.group
        about = f"About {group.about}. " if group.about else ""
        yield element(
            "article",
            element("h4", element("span", group.level, class_=f"level {group.level}"), f" {group.title}"),
            element("p", text(group.why, LONG)),
            element("p", text(f"{about}{one.about}", LONG), class_="small"),
            element("p", element("strong", "First: "), text(group.first, LONG)),
        )
    if more:
        yield element("p", f"And {many(more, 'pattern')} more, none of a higher level.", class_="dim")
