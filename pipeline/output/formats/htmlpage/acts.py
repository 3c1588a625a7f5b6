"""What to do: the first things, and then all that is at stake."""

from collections.abc import Iterator

from pipeline.output.formats.htmlpage.parts import CODE, LONG, examples_of, level_of
from pipeline.output.formats.overview import Kind, Overview
from pipeline.output.markup import Markup, element, text
from pipeline.rules.remediate import Action

_MOST_FIRST = 3
_NOTHING = ": "  # the shell's way to say that there is nothing to do


def first(seen: Overview) -> Iterator[Markup]:
    acts = [
        (kind, action)
        for kind in seen.worst_first()
        if kind.worst.risk.level != "info"
        and (action := kind.action) is not None
        and action.contraindicated is None
        and not _changes_nothing(action)
    ]
    if not acts:
        yield element("p", "Nothing that can be named.", class_="dim")
    for kind, action in acts[:_MOST_FIRST]:
        yield element(
            "div",
            element("p", element("strong", text(action.summary, LONG))),
            *_why(kind),
            *_how(action, is_open=True),
            class_="first",
        )


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
            element("p", examples_of(kind), class_="small"),
        ]
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
