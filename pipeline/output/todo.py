"""What to do first about the issues of a scan, and how an issue is called where that is said in a sentence."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.analysis.question import UNKNOWN
from pipeline.display import quoted
from pipeline.finding import Level
from pipeline.output.records import Issue

LABEL = 80  # characters of what a host calls something
_TITLE = 160
_NAMED = 4  # labels of one issue
_DONE_TO = 2  # labels of one thing to do
_URGENT: frozenset[Level] = frozenset({"high", "critical"})
_NAMELESS = "Unknown kind of finding"


@dataclass(slots=True, frozen=True)
class Step:
    """One thing to do.

    Attributes:
        level: of the issue that it is for.
        summary: in words, with the name of what it is about.
        command: for a root shell, or None.
        check: how to see that it worked, or None.
        key: dedupe key of a finding that it is for.
        is_look: nothing is changed by it.
    """

    level: Level
    summary: str
    command: str | None
    check: str | None
    key: str = ""
    is_look: bool = False


def first_steps(issues: Iterable[Issue], most: int) -> list[Step]:
    """Take what is to be done about the first issues, in their order, the same thing once: so is a look, whatever for.

    For findings of a kind that nobody knows it is the first look; where there is none, either, and the scanner holds
    them for urgent, that somebody reads what it says. An issue of which nothing can be done, or nothing without harm,
    has no step.
    """
    steps: dict[str, Step] = {}
    for issue in issues:
        step = _step(issue)
        if step is not None:
            steps.setdefault(step.command if step.is_look and step.command else step.summary, step)
        if len(steps) == most:
            break
    return list(steps.values())


def called(issue: Issue) -> str:
    """Give the title of an issue: in quotation marks where it is the report's and not ours."""
    if not issue.class_.startswith(UNKNOWN) or issue.candidates or issue.title == _NAMELESS:
        return issue.title
    return quoted(issue.title, _TITLE)


def labels(issue: Issue, most: int = _NAMED) -> str:
    """List what an issue is about: ``"a", "b" and 3 more``; empty where nothing has a name."""
    shown = [quoted(label, LABEL) for label in issue.labels if label][:most]
    more = issue.distinct - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if shown and more > 0 else "")


def about(text: str, things: str) -> str:
    """Add to what is to be done what it is to be done to."""
    return f"{text.removesuffix('.')} ({things})." if things else ended(text)


def ended(text: str) -> str:
    """End a sentence."""
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def _is_named(summary: str, issue: Issue) -> bool:
    """Say whether an action names what it is done to; what has no path is named by the action or is the host itself."""
    files = [label for label in issue.labels if label.startswith("/")]
    return not files or "/" in summary or any(label.rpartition("/")[2] in summary for label in files)


def _step(issue: Issue) -> Step | None:
    action, look = issue.do_first, issue.likely.look if issue.likely is not None else None
    if action is not None and action.contraindicated is None and action.kind != "accept":
        summary = about(action.summary, "" if _is_named(action.summary, issue) else labels(issue, _DONE_TO))
        return Step(issue.level, summary, action.command, action.check, issue.examples[0])
    if action is None and look is not None:
        things = labels(issue, _DONE_TO)
        subject = f"{called(issue)} ({things})" if things else called(issue)
        summary = f"For {subject}, look first: {ended(look.summary)}"
        return Step(issue.level, summary, look.command, None, issue.examples[0], is_look=True)
    if action is None and issue.class_.startswith(UNKNOWN) and issue.level in _URGENT:
        return Step(
            issue.level,
            f"Read what the scanner says of {called(issue)}: no class knows it.",
            None,
            None,
            issue.examples[0],
        )
    return None
