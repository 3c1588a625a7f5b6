"""A scan record for people: what is wrong with the host, and what to do first."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.display import printable

Json = Mapping[str, Any]

LEVEL_STYLES = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}
_ORDER = ("critical", "high", "medium", "low", "info")
FRAMEWORKS = {
    "nist_800_53_r5": "NIST 800-53",
    "nist_csf_2_0": "NIST CSF 2.0",
    "pci_dss_4_0": "PCI DSS 4.0",
    "hipaa": "HIPAA",
}
_DEGREES = {
    "certain": "a mistake of the scanner",
    "likely": "probably a mistake of the scanner",
    "cannot_tell": "the scanner may be mistaken",
}
_SHOWN = 12  # issues of a summary; the report has them all


def show_record(console: Console, record: Json, *, limit: int | None = _SHOWN) -> None:
    """Print a scan record; `limit` is how many issues, None for all."""
    console.print(Group(*_parts(record, limit)))


def _parts(record: Json, limit: int | None) -> Iterable[RenderableType]:
    yield _headline(record)
    yield from _remarks(record)
    issues: Sequence[Json] = record["issues"]
    if issues:
        yield Text("\nIssues, the worst first", style="bold")
        for issue in issues[:limit]:
            yield _issue(issue)
        if limit is not None and len(issues) > limit:
            yield Text(f"  … and {len(issues) - limit} more issues", style="dim")
    else:
        yield Text("\nNothing is open.", style="green")
    if record["correlations"]:
        yield Text("\nFindings that mean more together", style="bold")
        for group in record["correlations"]:
            yield _correlation(group)
    if issues:
        yield Text("\nWhat to do first", style="bold")
        for number, issue in enumerate(_first_steps(issues), 1):
            yield _step(number, issue)
    if record["baseline"] is not None:
        yield from _baseline(record["baseline"])
    yield Text("\nCompliance: controls with evidence in this scan", style="bold")
    yield _compliance(record["compliance"])


def _headline(record: Json) -> Text:
    counts, facts = record["counts"], record["host_facts"]
    line = Text()
    line.append(printable(record["host"]), style="bold")
    about = ", ".join(printable(facts[name]) for name in ("os", "kernel") if name in facts)
    line.append(f"  {about}  " if about else "  ")
    line.append(f"scanned {record['started_at'] or 'at an unknown time'}\n", style="dim")
    line.append(f"{counts['lines']:,} lines, {counts['distinct']:,} different findings, ")
    line.append(f"{counts['issues']} issues", style="bold")
    levels = counts["level"]
    for level in _ORDER:
        if level in levels:
            line.append("  ")
            line.append(f" {levels[level]:,} {level} ", style=LEVEL_STYLES[level])
    return line


def _remarks(record: Json) -> Iterable[Text]:
    counts = record["counts"]
    if not record["complete"]:
        yield Text("The report is not complete: nothing counts as mended because of it.", style="yellow")
    if counts["rejected"]:
        yield Text(f"{counts['rejected']} findings could not be used; see `ledger quarantine`.", style="yellow")
    if counts["probable_artefacts"]:
        yield Text(
            f"{counts['probable_artefacts']:,} lines are probably mistakes of the scanner; each says why.", style="dim"
        )
    if counts["ambiguous_class"]:
        yield Text(f"{counts['ambiguous_class']} lines could be one of several things; each names them.", style="dim")
    for entry in record["policy"]["expired"]:
        what = entry["class"] or entry["fingerprint"]
        yield Text(f"Allow-list entry for {what} ({entry['owner']}) expired on {entry['expires']}.", style="yellow")


def _issue(issue: Json) -> RenderableType:
    head = Text()
    head.append(f"{issue['level']:>8} {issue['score']:>3}  ", LEVEL_STYLES[issue["level"]].replace(" on red", ""))
    title = Text(printable(issue["title"]), "bold")
    if issue["distinct"] > 1:
        title.append(f"  ×{issue['distinct']:,}")
    about = [f"{name.replace('_', ' ')}: {value.replace('_', ' ')}" for name, value in issue["split"].items()]
    if about:
        title.append(f"  ({', '.join(about)})", "not bold dim")
    if issue["artefact"] is not None:
        title.append(f"  {_DEGREES[issue['artefact']['degree']]}", "not bold magenta")
    where = ", ".join(printable(label, 60) for label in issue["labels"])
    more = issue["distinct"] - len(issue["labels"])
    place = Text(where + (f", +{more:,}" if more > 0 else ""), "dim", no_wrap=True, overflow="ellipsis")
    grid = Table.grid()
    grid.add_column(width=14, no_wrap=True)
    grid.add_column()
    grid.add_row(head, title)
    grid.add_row("", place)
    return grid


def _correlation(group: Json) -> RenderableType:
    text = Text()
    text.append(f"{group['level']:>8}  ", LEVEL_STYLES[group["level"]])
    text.append(group["title"], "bold")
    about = f"{printable(group['about'])}, " if group.get("about") else ""
    text.append(f" ({about}{group['findings']} findings)\n", "dim")
    text.append(group["why"])
    if group["first"]:
        text.append(f"\nFirst: {group['first']}", "green")
    return Padding(text, (0, 0, 0, 2))


def _first_steps(issues: Sequence[Json], most: int = 5) -> list[Json]:
    """Take the worst issues that have something to be done, each action once."""
    steps: list[Json] = []
    seen: set[str] = set()
    for issue in issues:
        action = issue["do_first"]
        if action is None or action["contraindicated"] is not None or action["kind"] == "accept":
            continue
        if action["id"] in seen:
            continue
        seen.add(action["id"])
        steps.append(issue)
        if len(steps) == most:
            break
    return steps


def _step(number: int, issue: Json) -> RenderableType:
    action = issue["do_first"]
    text = Text(printable(action["summary"], 400))
    if action["command"]:
        text.append(f"\n$ {printable(action['command'], 1000)}", "green")
    elif action["check"]:
        text.append(f"\ncheck: {printable(action['check'], 1000)}", "dim")
    grid = Table.grid()
    grid.add_column(width=5, no_wrap=True)
    grid.add_column()
    grid.add_row(f"  {number}.", text)
    return grid


def _baseline(baseline: Json) -> Iterable[RenderableType]:
    yield Text("\nSince earlier scans of this host", style="bold")
    # What is gone has no line in this scan, so the lists count it and the states cannot.
    counts = {
        **baseline["states"],
        "resolved": len(baseline["resolved"]),
        "not observed": len(baseline["not_observed"]),
    }
    shown = [f"{count:,} {state}" for state, count in counts.items() if count]
    yield Text("  " + (", ".join(shown) or "nothing to compare"))
    if not baseline["compared"]:
        yield Text("  This scan cannot show that anything was mended (incomplete, filtered, or SARIF).", style="dim")
    for name, style in (("resolved", "green"), ("not_observed", "yellow")):
        for entry in baseline[name][:_SHOWN]:
            where = f": {printable(entry['label'])}" if entry["label"] else ""
            yield Text(f"  {name.replace('_', ' ')}: {entry['title']}{where}", style=style)
        if len(baseline[name]) > _SHOWN:
            yield Text(f"  … and {len(baseline[name]) - _SHOWN} more", style="dim")


def _compliance(frameworks: Sequence[Json]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("  framework")
    table.add_column("failing, sourced", justify="right")
    table.add_column("failing, other", justify="right")
    table.add_column("supporting", justify="right")
    table.add_column("covered", justify="right")
    for entry in frameworks:
        failing, supporting = entry["failing"], entry["supporting_only"]
        sourced = sum(len(controls) for basis, controls in failing.items() if basis == "sourced")
        other = sum(len(controls) for basis, controls in failing.items() if basis != "sourced")
        covered = entry["coverage"]
        table.add_row(
            f"  {FRAMEWORKS.get(entry['framework'], entry['framework'])}",
            str(sourced),
            str(other),
            str(sum(map(len, supporting.values()))),
            f"{covered['named']} of {covered['total']}" if covered else "",
        )
    return table
