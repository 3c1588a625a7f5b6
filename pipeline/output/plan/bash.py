"""A plan as a script for bash, which checks, applies and takes back; without an argument it does nothing.

The lines of a finding are put into functions as they are. They are complete shell commands in which every value of the
host is one quoted word (`pipeline/rules/remediate.py`); other text of the host stands in comments, cleaned of line
ends, or in quoted words.
"""

import shlex
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from pipeline.display import printable
from pipeline.output.plan.steps import WHY_TEXTS, Aside, Plan, Step
from pipeline.output.plan.words import about, counted, heading, left_out

# What shellcheck would say of every plan, and why it is meant so.
_MEANT = (
    ("SC1003,SC2016", "code in single quotes is for another shell, for awk, or for a configuration file"),
    ("SC2174", "mkdir names the directory above, too"),
    ("SC2013,SC2046,SC2086,SC2231", "what is not quoted there is a list of words, or a name of ours without blanks"),
    ("SC2317,SC2329", "the parts of a step are called by their number"),
)  # fmt: skip


def bash(plan: Plan) -> Iterator[bytes]:
    """Write a plan as a script."""
    for text in _script(plan):
        yield text.encode()


def _script(plan: Plan) -> Iterator[str]:
    yield "#!/usr/bin/env bash\n"
    for code, why in _MEANT:
        yield f"# shellcheck disable={code} # {why}\n"
    for line in heading(plan):
        yield _comment(line)
    yield _comment("")
    yield _comment("bash plan.sh --check changes nothing, --apply takes the steps, --undo takes them back.")
    for line in left_out(plan):
        yield _comment(line)
    if plan.asides:
        yield _comment("")
        yield _comment("NOT IN THIS SCRIPT, because:")
        for aside in plan.asides:
            yield from _aside(aside)
    yield "\n"
    yield f"host={_word(plan.host)}\n"
    yield "titles=() notes=() units=() boots=() minds=()\n"
    for step in plan.steps:
        yield from _step(step)
    yield "\n"
    yield _body()


def _step(step: Step) -> Iterator[str]:
    n = step.number
    yield f"\n# {n}. {step.summary}\n"
    yield _comment(f"   {step.action}, {step.level}, {about(step.findings, step.labels)}")
    yield _comment(f"   finding {', '.join(step.keys)}")
    for line in step.acceptances[:3]:
        yield _comment(
            f"   the scanner does not see it; once the check passes, put under `allow` in a policy file: {line}"
        )
    yield f"titles[{n}]={_word(step.summary)}\n"
    yield f"notes[{n}]={_word(step.note)}\n"
    yield f"units[{n}]={_word(step.unit or '')}\n"
    yield f"boots[{n}]={'yes' if step.reboots else ''}\n"
    yield f"minds[{n}]={_word(step.caution or '')}\n"
    for name, line in (("check", step.check), ("apply", step.command), ("undo", step.rollback)):
        yield f"{name}_{n}() {{\n  {line}\n}}\n"


def _aside(aside: Aside) -> Iterator[str]:
    said = WHY_TEXTS[aside.why] + (f" ({aside.reason})" if aside.reason else "")
    yield _comment(f"- {said}.")
    what = aside.about if aside.findings == 1 else counted(aside)
    yield _comment(f"    {aside.level}: {what}")
    yield _comment(f"    {about(aside.findings, aside.labels)}; explain {aside.keys[0]}")


def _comment(text: str) -> str:
    return f"# {printable(text, 4000)}".rstrip() + "\n"


def _word(text: str) -> str:
    return shlex.quote(printable(text, 4000))


@cache
def _body() -> str:
    return files(__package__).joinpath("script.sh").read_text(encoding="utf-8")
