"""A scan record for people: what is wrong with the host, and what to do first."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from daemon.cli.commands import command_text
from daemon.cli.phrases import in_words
from daemon.cli.summary import KEY, LEVEL_STYLES, Shown, show_summary
from pipeline.display import printable, quoted
from pipeline.finding import LEVELS
from pipeline.knowledge.schema import Degree
from pipeline.output.issues import issues_of
from pipeline.output.records import (
    BaselineSection,
    GoneFinding,
    Issue,
    ScanCorrelation,
    ScanRecord,
    Sentence,
)
from pipeline.output.records.story import SentenceName
from pipeline.output.sentences import TEMPLATES
from pipeline.output.todo import Step, called, first_steps
from pipeline.rules.compliance import FRAMEWORK_NAMES, FrameworkGap, SupportedControls

_DEGREES: dict[Degree, str] = {
    "certain": "a mistake of the scanner",
    "likely": "probably a mistake of the scanner",
    "cannot_tell": "the scanner may be mistaken",
}
_STEPS = 5  # actions
_ONE_LINE = 90  # columns from which on the headings of the compliance table have one line
_SENTENCE = 1_000  # characters
# Sentences of the story that stand among the remarks or with the patterns, with what to do about them.
_REMARKED: frozenset[SentenceName] = frozenset(
    {
        "together.why", "unseen.ambiguous_class", "unseen.incomplete", "unseen.min_severity", "unseen.notes",
        "unseen.rejected", "unseen.unknown_class",
    }
)  # fmt: skip
_SHOWN = 12  # of a list of what is gone
_COMPLIANCE_WORDS = (
    "Failing: a finding of this scan speaks against the control; sourced where a published source says so, other "
    "where it is derived or our judgement. Supporting: a check passed. Disputed: the scanner is probably mistaken, so "
    "it counts neither way. Covered: controls that this scanner can say "
    "anything about. That a control is met, no scan can show."
)


def show_record(console: Console, record: ScanRecord, shown: Shown, *, detail: bool = False) -> None:
    """Print what a scan comes to; `detail`: and all that its record says."""
    show_summary(console, record, shown)
    if detail:
        issues = [issue for issue in issues_of(record) if shown.wanted.takes_issue(issue)]
        console.print(Group(*_parts(record, issues, console.width, kept=shown.source is None)), crop=False)


def _parts(record: ScanRecord, issues: Sequence[Issue], width: int, *, kept: bool) -> Iterable[RenderableType]:
    yield Text("")
    yield from _remarks(record, kept)
    yield from _story(record.story)
    if issues:
        yield Text("\nIssues, the worst first", style="bold")
        for issue in issues:
            yield _issue(issue, width)
    if record.correlations:
        yield Text("\nFindings that mean more together", style="bold")
        for group in record.correlations:
            yield _correlation(group)
    steps = first_steps(issues, _STEPS)
    if steps:
        yield Text("\nWhat to do first", style="bold")
        for number, step in enumerate(steps, 1):
            yield from _step(number, step, width)
    if record.baseline is not None:
        yield from _baseline(record.baseline)
    yield Text("\nCompliance: controls with evidence in this scan", style="bold")
    yield _compliance(record.compliance, width)
    yield Padding(Text(_COMPLIANCE_WORDS, "dim"), (0, 0, 0, 2))


def _remarks(record: ScanRecord, kept: bool) -> Iterable[Text]:
    counts = record.counts
    if not record.complete:
        yield Text(TEMPLATES["unseen.incomplete"], style="yellow")
    if record.min_severity:
        least = record.min_severity if record.min_severity in LEVELS else quoted(record.min_severity, 80)
        yield Text(f"The scanner left out everything below {least}.", style="yellow")
    if "newer_scanner" in record.notes:
        yield Text(
            "The scanner is newer than those known here: kinds of findings may be new to the knowledge, or recognised "
            "by less than all that they say (class_basis).",
            style="yellow",
        )
    odd = [note for note in record.notes if note != "newer_scanner"]
    if odd:
        notes = ", ".join(note.replace("_", " ") for note in odd)
        yield Text(f"Odd about the report: {notes} (see docs/malformed.md).", style="yellow")
    if counts.rejected:
        where = "`sysscan-agent ledger quarantine list`" if kept else "standard error"
        how_many = _number(counts.rejected, "finding")
        yield Text(f"Could not be used: {how_many}; {where} says which and why.", style="yellow")
    if counts.probable_artefacts and all(one.name != "matters.mistakes" for one in record.story):
        how_many = _number(counts.probable_artefacts, "line")
        yield Text(f"Probably mistakes of the scanner: {how_many}; each says why.", style="dim")
    if counts.unknown_class:
        how_many = _number(counts.unknown_class, "line")
        yield Text(f"Of a kind that this program does not know: {how_many}.", style="dim")
    if counts.stay_open:
        how_many = _number(counts.stay_open, "finding")
        yield Text(
            f"The scanner goes on reporting these after they are resolved: {how_many}; each brings an entry for the "
            "allow-list.",
            style="dim",
        )
    if counts.ambiguous_class:
        how_many = _number(counts.ambiguous_class, "line")
        yield Text(f"Fits several kinds of finding, and does not say which: {how_many}; each names them.", style="dim")
    for entry in record.policy.expired:
        what = entry.class_ or entry.fingerprint
        yield Text(f"Allow-list entry for {what} ({entry.owner}) expired on {entry.expires}.", style="yellow")


def _story(story: Sequence[Sentence]) -> Iterable[RenderableType]:
    """Show the story, a paragraph for each part; records of older versions have none."""
    told = [one for one in story if one.name not in _REMARKED]
    if told:
        yield Text("\nIn short", style="bold")
    for _, sentences in groupby(told, key=lambda one: one.part):
        text = " ".join(printable(one.text, _SENTENCE) for one in sentences)
        yield Padding(Text(text), (0, 0, 0, 2))


def _issue(issue: Issue, width: int) -> RenderableType:
    head = Text()
    head.append(f"{issue.level:>8} {issue.score:>3}  ", LEVEL_STYLES[issue.level].replace(" on red", ""))
    title = Text(printable(called(issue)), "bold")
    if issue.distinct > 1:
        title.append(f"  ×{issue.distinct:,}")
    about = in_words(issue.split)
    if about:
        title.append(f"  ({about})", "not bold dim")
    if issue.artefact is not None:
        title.append(f"  {_DEGREES[issue.artefact.degree]}", "not bold magenta")
    if issue.status == "unknown":
        title.append("  this report cannot tell whether it is so", "not bold yellow")
    where = ", ".join(printable(label, 60) for label in issue.labels)
    more = issue.distinct - len(issue.labels)
    place = Text(where + (f", +{more:,}" if more > 0 else ""), "dim", no_wrap=True, overflow="ellipsis")
    grid = Table.grid()
    grid.add_column(width=14, no_wrap=True)
    grid.add_column()
    grid.add_row(head, title)
    grid.add_row(Text(f"{issue.examples[0][:KEY]:>12}  ", "dim"), place)
    if issue.reported:
        grid.add_row("", Text(f"The scanner says: {printable(issue.reported, 1000)}", "dim"))
    if issue.assessment:  # records of older versions have none
        grid.add_row("", Text(printable(issue.assessment, 1000)))
    look = issue.likely.look if issue.likely is not None else None
    if look is None:
        return grid
    grid.add_row("", Text(f"First look: {printable(look.summary, 400)}"))
    return Group(grid, command_text(look.command, 14, width))


def _correlation(group: ScanCorrelation) -> RenderableType:
    text = Text()
    text.append(f"{group.level:>8}  ", LEVEL_STYLES[group.level])
    text.append(group.title, "bold")
    about = f"{printable(group.about)}, " if group.about else ""
    if about[:-2].isdecimal():
        about = f"process {about}"
    text.append(f" ({about}{group.findings} findings)\n", "dim")
    text.append(group.why)
    if group.first:
        text.append(f"\nFirst: {group.first}", "green")
    return Padding(text, (0, 0, 0, 2))


def _step(number: int, step: Step, width: int) -> Iterable[RenderableType]:
    grid = Table.grid()
    grid.add_column(width=5, no_wrap=True)
    grid.add_column()
    grid.add_row(f"  {number}.", Text(printable(step.summary, 600)))
    yield grid
    if step.command:
        yield command_text(step.command, 5, width)
    elif step.check:
        yield command_text(step.check, 5, width, "look: $")


def _baseline(baseline: BaselineSection) -> Iterable[RenderableType]:
    yield Text("\nSince earlier scans of this host", style="bold")
    # What is gone has no line in this scan, so the lists count it and the states cannot.
    counts = {
        **{str(state): count for state, count in baseline.states.items()},
        "resolved": len(baseline.resolved),
        "not observed": baseline.not_observed_count,
    }
    shown = [f"{count:,} {state}" for state, count in counts.items() if count]
    yield Text("  " + (", ".join(shown) or "nothing to compare"))
    if not baseline.compared:
        yield Text("  This scan cannot show what was resolved: it is incomplete, filtered, or in SARIF.", style="dim")
    gone = Table.grid(padding=(0, 2, 0, 0))
    lists: tuple[tuple[str, Sequence[GoneFinding], str], ...] = (
        ("resolved", baseline.resolved, "green"),
        ("not observed", baseline.not_observed, "yellow"),
    )
    for name, entries, style in lists:
        for entry in entries[:_SHOWN]:
            where = f": {printable(entry.label)}" if entry.label else ""
            gone.add_row(Text(f"  {name}", style), Text(f"{entry.title}{where}", style))
        if len(entries) > _SHOWN:
            gone.add_row("", Text(f"… and {len(entries) - _SHOWN:,} more", "dim"))
    if gone.row_count:
        yield gone
    if baseline.not_observed:
        yield Text("  Not observed: not reported this time, which does not show that it is gone.", style="dim")


def _compliance(frameworks: Sequence[FrameworkGap], width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    table.add_column("  framework", no_wrap=True)
    # Where there is no room, a heading takes two lines, which leaves each framework its one.
    for heading in (("failing,", "sourced"), ("failing,", "other")):
        table.add_column((" " if width > _ONE_LINE else "\n").join(heading), justify="right", overflow="fold")
    for name in ("supporting", "disputed", "covered"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in frameworks:
        failing, covered = entry.failing, entry.coverage
        table.add_row(
            f"  {FRAMEWORK_NAMES[entry.framework]}",
            str(len(failing.sourced)),
            str(len(failing.derived) + len(failing.inferred)),
            str(_count(entry.supporting_only)),
            str(_count(entry.disputed_only)),
            f"{covered.named} of {covered.total}",
        )
    return table


def _count(controls: SupportedControls) -> int:
    return len(controls.sourced) + len(controls.derived) + len(controls.inferred)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
