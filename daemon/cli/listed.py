"""What `sysscan-agent list` prints."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import terminal, wants_json
from daemon.settings import load_settings
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Framework, Knowledge
from pipeline.output.plan.order import LOOK_FIRST
from pipeline.rules.compliance import FRAMEWORK_NAMES

_Rows = Iterable[tuple[str, ...]]
_BESIDE = 120  # columns from which on names and texts have room beside each other


def show_classes(
    given: Mapping[str, Any], config: Path | None, *, scanner: str | None, search: str | None, as_json: bool
) -> Exit:
    """Print the classes of findings."""
    knowledge = _knowledge(given, config)
    scanners = {name.partition(".")[0] for name in knowledge.classes}
    if scanner is not None and scanner not in scanners:
        die(Exit.USAGE, f"--scanner {scanner}: not one of {', '.join(sorted(scanners))}")
    rows = (
        (name, spec.title, spec.meaning)
        for name, spec in sorted(knowledge.classes.items())
        if scanner in (None, name.partition(".")[0])
    )
    return _show(("class", "title", "meaning"), rows, search, as_json, shown=2)


def show_controls(
    given: Mapping[str, Any], config: Path | None, *, framework: str | None, search: str | None, as_json: bool
) -> Exit:
    """Print the controls, and how many topics are evidence for each."""
    knowledge = _knowledge(given, config)
    if framework is not None and framework not in FRAMEWORK_NAMES:
        die(Exit.USAGE, f"--framework {framework}: not one of {', '.join(FRAMEWORK_NAMES)}")
    topics: Counter[tuple[Framework, str]] = Counter()
    for topic in knowledge.topics.values():
        topics.update({(ref.framework, ref.control) for ref in topic.controls})
    rows = (
        (name, FRAMEWORK_NAMES[name], control, knowledge.frameworks[name].controls[control], f"{count}")
        for (name, control), count in sorted(topics.items())
        if framework in (None, name)
    )
    return _show(("framework", "name", "control", "title", "topics"), rows, search, as_json, skipped=1)


def show_correlations(given: Mapping[str, Any], config: Path | None, *, search: str | None, as_json: bool) -> Exit:
    """Print the patterns."""
    found = _knowledge(given, config).correlations
    rows = ((name, rule.title, rule.why) for name, rule in sorted(found.items()))
    return _show(("correlation", "title", "why"), rows, search, as_json, shown=2)


def show_remediations(
    given: Mapping[str, Any], config: Path | None, *, kind: str | None, search: str | None, as_json: bool
) -> Exit:
    """Print the actions."""
    found = _knowledge(given, config).remediations
    kinds: set[str] = {action.kind for action in found.values()}
    if kind is not None and kind not in kinds:
        die(Exit.USAGE, f"--kind {kind}: not one of {', '.join(sorted(kinds))}")
    rows = (
        (name, action.kind, _by(name, action.kind), action.summary)
        for name, action in sorted(found.items())
        if kind in (None, action.kind)
    )
    return _show(("action", "kind", "done by", "summary"), rows, search, as_json)


def _by(action: str, kind: str) -> str:
    """Say who does it: a script of `remediate`, or a person."""
    if kind in ("manual", "accept"):
        return "a person"
    return "a script, with --include" if action in LOOK_FIRST else "a script"


def _knowledge(given: Mapping[str, Any], config: Path | None) -> Knowledge:
    return load_knowledge(load_features, load_settings(os.environ, given, config).knowledge_dirs)


def _print(names: Sequence[str], rows: Sequence[Sequence[str]], *, has_texts: bool) -> None:
    """Print rows as a table; texts that have no room beside the other columns go below them."""
    console = terminal()
    if has_texts and console.width < _BESIDE:
        for first, *others, last in rows:
            more = f"  ({', '.join(others)})" if others else ""
            console.print(Text(first, "bold").append(more, "not bold dim"))
            console.print(Padding(Text(last), (0, 0, 0, 4), expand=False))
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for number, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=not number)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _show(
    names: Sequence[str], rows: _Rows, search: str | None, as_json: bool, *, shown: int | None = None, skipped: int = 0
) -> Exit:
    """Print rows: all columns as JSON; to people those from `skipped` up to `shown`.

    Where nothing fits, that is said by the exit code.
    """
    wanted = [row for row in rows if search is None or any(search.lower() in part.lower() for part in row)]
    if wants_json(as_json):
        for row in wanted:
            line = dict(zip((name.replace(" ", "_") for name in names), row, strict=True))
            sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    elif wanted:
        _print(names[skipped:shown], [row[skipped:shown] for row in wanted], has_texts=not skipped)
        if any("{" in row[-1] for row in wanted):
            terminal().print(Text("A word in braces stands for what a finding names, such as {path}.", "dim"))
    if not wanted:
        die(Exit.NOT_FOUND, "nothing of that kind is known; leave a filter out")
    return Exit.DONE
