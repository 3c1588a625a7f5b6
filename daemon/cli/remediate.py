"""`sysscan-agent remediate`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die, say
from daemon.cli.exporting.sources import found_scans
from daemon.cli.filters import check_classes
from daemon.cli.gate import Gate
from daemon.cli.options import PlanForm
from daemon.cli.target import explained, open_target
from pipeline.display import printable
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.output.formats.wanted import Wanted
from pipeline.output.plan.ansible import UnfitHost, ansible, check_host
from pipeline.output.plan.bash import bash
from pipeline.output.plan.make import plans
from pipeline.output.plan.markdown import markdown
from pipeline.output.plan.order import LOOK_FIRST
from pipeline.output.plan.steps import Plan


def write_plan(
    given: Mapping[str, Any],
    config: Path | None,
    sources: Sequence[str],
    *,
    form: PlanForm,
    output: Path | None,
    scan: str | None,
    host: str | None,
    wanted: Wanted,
    included: Sequence[str],
) -> Exit:
    """Write what can be mended as a script, a playbook or a document."""
    for action in included:
        if action not in LOOK_FIRST:
            die(Exit.USAGE, f"--include {printable(action)}: not one of {', '.join(LOOK_FIRST)}")
    if output is not None and str(output) == "-":
        output = None
    with found_scans(given, config, sources, scan=scan, host=host) as found:
        check_classes(wanted.classes, found.settings.knowledge_dirs, found.classes)
        knowledge = load_knowledge(load_features, found.settings.knowledge_dirs)
        kinds = {name: action.kind for name, action in knowledge.remediations.items()}
        gate = Gate(None, wanted)
        made = list(plans(gate.watch(found.scans), kinds, wanted, included))
        there = {step.action for plan in made for step in plan.steps}
        for action in included:
            if action not in there:
                say(f"sysscan-agent: --include {action}: has no effect; nothing here asks for it alone")
        if form == "bash" and len(made) > 1:
            hosts = ", ".join(printable(plan.host, 60) for plan in made[:10])
            die(Exit.USAGE, f"--format bash: a script is for one host; choose with --host one of {hosts}")
        if form == "ansible":
            for plan in made:
                try:
                    check_host(plan.host)
                except UnfitHost as error:
                    die(Exit.USAGE, f"--format ansible: {error}")
        with explained(output), open_target(output, sources, "file", found.settings) as file:
            for piece in _pieces(form, made):
                file.write(piece)
        return gate.ended(found.exit_code)


def _pieces(form: PlanForm, made: Sequence[Plan]) -> Iterator[bytes]:
    match form:
        case "bash":
            return bash(made[0])
        case "ansible":
            return ansible(made)
        case "markdown":
            return markdown(made)
