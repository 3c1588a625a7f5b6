"""A plan as a document, for whoever has to agree to it before it is carried out."""

from collections.abc import Iterable, Iterator

from pipeline.output.formats.markdown import name, prose
from pipeline.output.plan.steps import WHY_TEXTS, Aside, Plan, Step
from pipeline.output.plan.words import counted, heading, left_out


def markdown(plans: Iterable[Plan]) -> Iterator[bytes]:
    """Write plans as one document."""
    for plan in plans:
        for line in _document(plan):
            yield (line + "\n").encode("utf-8", "replace")


def _document(plan: Plan) -> Iterator[str]:
    yield f"# Remediation plan for {name(plan.host)}"
    yield ""
    for text in (*heading(plan), *left_out(plan)):
        yield prose(text)
        yield ""
    yield "## Steps, in order"
    yield ""
    if not plan.steps:
        yield "None: there is nothing in it that a machine can do."
        yield ""
    for step in plan.steps:
        yield from _step(step)
    late = [str(step.number) for step in plan.steps if step.reboots]
    if late:
        yield f"Reboot when it suits: {_steps(late)} at the next boot."
        yield ""
    yield "## What a person has to do or decide"
    yield ""
    if not plan.asides:
        yield "Nothing."
        yield ""
    for aside in plan.asides:
        yield from _aside(aside)


def _steps(numbers: list[str]) -> str:
    return f"step {numbers[0]} takes effect" if len(numbers) == 1 else f"steps {', '.join(numbers)} take effect"


def _step(step: Step) -> Iterator[str]:
    yield f"### {step.number}. {prose(step.summary)}"
    yield ""
    yield f"- For {_what(step.findings, step.labels)} ({step.level}; {', '.join(map(name, step.keys))})."
    yield f"- What to mind: {prose(step.caution)}" if step.caution else "- What to mind: nothing that is known."
    if step.reboots:
        yield "- Takes effect at the next boot."
    for entry in step.acceptances[:3]:
        yield f"- The scanner does not see it. Once the check passes, for `allow` in a policy file: {name(entry, 2000)}"
    yield ""
    for title, line in (("Check", step.check), ("Command", step.command), ("Way back", step.rollback)):
        yield f"{title}:"
        yield ""
        yield from _code(line)


def _aside(aside: Aside) -> Iterator[str]:
    what = aside.about if aside.findings == 1 else counted(aside)
    why = WHY_TEXTS[aside.why] + (f": {aside.reason}" if aside.reason else "")
    yield f"- **{aside.level}** {prose(what)} For {_what(aside.findings, aside.labels)}, {name(aside.keys[0])}."
    yield f"  {prose(why)}"
    yield ""
    if aside.check is not None and aside.why != "breaks":
        yield "  Look:" if aside.findings == 1 else f"  Look, for {name(aside.labels[0])}:"
        yield ""
        yield from (f"  {line}" if line else "" for line in _code(aside.check))


def _what(findings: int, labels: Iterable[str]) -> str:
    shown = list(labels)
    more = findings - len(shown)
    return ", ".join(map(name, shown)) + (f" and {more:,} more" if more > 0 else "")


def _code(line: str) -> Iterator[str]:
    """Set a line of shell apart; it has no line ends, so that a fence longer than any in it holds it."""
    fence = "```"
    while fence in line:
        fence += "`"
    yield f"{fence}sh"
    yield line
    yield fence
    yield ""
