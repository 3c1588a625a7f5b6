"""What a scan comes to on one screen: how bad it is, three things to do, and a line for each issue."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.cli.commands import command_lines, command_text
from daemon.cli.phrases import in_words
from pipeline.display import printable, quoted
from pipeline.finding import LEVELS, Level, Status
from pipeline.output.formats.wanted import Wanted
from pipeline.output.issues import issues_of
from pipeline.output.records import EnrichedFinding, Issue, ScanRecord
from pipeline.output.todo import called, first_steps
from pipeline.rules.compliance import FRAMEWORK_NAMES, FrameworkGap

LEVEL_STYLES = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan", "info": "dim"}
LEVEL_TEXT = {**LEVEL_STYLES, "critical": "bold red"}  # without a ground
KEY = 12  # hex digits of a dedupe key that a person copies
LISTED = 15  # issues of a summary, unless all are asked for
_ACTIONS = 3
_LEAST = 3  # issues that are listed on however low a terminal
_WIDE = 100  # columns from which on the things have a column of their own
_URGENCY: dict[Level, str] = {
    "critical": "Act today",
    "high": "Act this week",
    "medium": "Nothing urgent; plan what to do",
    "low": "Nothing urgent",
    "info": "Nothing urgent",
}
_STATES: dict[Status, str] = {
    "passed": "passed",
    "info": "for information",
    "accepted": "accepted",
    "false_positive": "called false positives",
}
_OTHERS = 39  # columns of all but what it is
_SHORTEST = 12  # columns of a name that is shown in part
_MEASURE = Console(width=80)
_INTRUSION = ("ioc.", "yara.")  # classes of indicators of an attack
_DOUBTFUL = frozenset({"certain", "likely"})


@dataclass(slots=True, frozen=True)
class Shown:
    """How a summary is to be.

    Attributes:
        source: a report or file that it was made from, for commands that say more; None where the ledger has the scan.
        limit: how many issues; None for all.
        wanted: which ones.
        accepted: findings that are settled, to be listed.
        given: options that say which ledger it is, for commands that say more.
        scan: what was given to name the scan, for the same; None: it is the latest of its host.
        brief: without what stands below the list of issues; one command says all that.
        bare: without what the host is, how many findings there are, and empty lines.
        lines: how many lines a command may take; of a longer one it is said how to see it.
    """

    source: str | None = None
    limit: int | None = None
    wanted: Wanted = Wanted()  # noqa: RUF009 - frozen
    accepted: Sequence[EnrichedFinding] = ()
    given: Sequence[str] = ()
    scan: str | None = None
    brief: bool = False
    bare: bool = False
    lines: int = 3

    @property
    def gap(self) -> str:
        """What sets a part apart from the one before."""
        return "" if self.bare else "\n"

    @property
    def where(self) -> str:
        """What to add to `show KEY` so that it finds the finding."""
        return self.ledger if self.source is None else f" --from {shlex.quote(printable(self.source))}"

    @property
    def ledger(self) -> str:
        """What to add to a command so that it reads the same ledger."""
        return "".join(f" {shlex.quote(printable(one))}" for one in self.given)


def show_summary(console: Console, record: ScanRecord, shown: Shown) -> None:
    """Print what a scan comes to: on a terminal no more than there is room for, if that is possible."""
    if not console.is_terminal or shown.limit is None:
        _print(console, record, shown)
        return
    shorter = replace(shown, brief=True)
    for one in (shown, shorter, replace(shorter, lines=1), replace(shorter, lines=1, bare=True)):
        rest = console.height - 1 - _height(console, record, replace(one, limit=0))
        fitted = replace(one, limit=min(one.limit or 0, max(rest, _LEAST)))
        if _height(console, record, fitted) < console.height and (one.brief or fitted.limit == shown.limit):
            break
    _print(console, record, fitted)


def _height(console: Console, record: ScanRecord, shown: Shown) -> int:
    """Count the rows that it would take."""
    with console.capture() as text:
        _print(console, record, shown)
    return text.get().count("\n")


def _print(console: Console, record: ScanRecord, shown: Shown) -> None:
    for part in _parts(record, shown, console.width):
        console.print(part, crop=False, soft_wrap=isinstance(part, Text) and part.no_wrap is True)


def _parts(record: ScanRecord, shown: Shown, width: int) -> Iterator[RenderableType]:
    issues = [issue for issue in issues_of(record) if shown.wanted.takes_issue(issue)]
    yield _verdict(record)
    if not shown.bare:
        yield from _counts(record)
    # What the scanner is probably mistaken about comes after what is as bad and surely so.
    steps = first_steps(sorted(issues, key=lambda one: (-LEVELS.index(one.level), _is_doubtful(one))), _ACTIONS)
    if steps:
        yield Text(f"{shown.gap}Do first", style="bold")
        for number, step in enumerate(steps, 1):
            said = Text(f" {number}. ").append(f"{step.level}: ", LEVEL_TEXT[step.level])
            yield from _hanging(said.append(printable(step.summary, 600)), width)
            yield _command(step.command or step.check, step.key, shown, width)
    if issues:
        yield from _issues(issues, record, shown, width)
    elif shown.wanted and issues_of(record):
        every = _number(len(issues_of(record)), "issue")
        yield Text(f"\nNo issue is of {shown.wanted.words()}; without that there are {every}.")
    if shown.brief:
        yield command_text(f"sysscan-agent {_commands(record, shown)[0]}", 2, width)
    else:
        yield from _more(record, shown, width)


def _verdict(record: ScanRecord) -> Text:
    levels = Counter(issue.level for issue in issues_of(record))
    line = Text(f"{printable(record.host)}: ", "bold")
    if not levels:
        seen = " in what could be read" if not record.complete else ""
        limited = " in what the scanner was told to report" if record.min_severity else seen
        return line.append(f"nothing is at stake{limited}.", "bold yellow" if limited else "bold green")
    for number, level in enumerate(level for level in reversed(LEVELS) if level in levels):
        line.append(", " if number else "", "default")
        line.append(f"{levels[level]:,} {level}", LEVEL_STYLES[level])
        if not number:  # the others are told like it
            line.append(" issue" if levels[level] == 1 else " issues", LEVEL_STYLES[level])
    worst = max(levels, key=LEVELS.index)
    sure = [one for one in issues_of(record) if one.level == worst and not _is_doubtful(one)]
    doubt = "" if sure else ", if the scanner is right"
    urgency = _URGENCY[worst]
    if any(one.class_.startswith(_INTRUSION) and one.level == worst == "critical" for one in sure):
        urgency = "Signs of intrusion, act now"
    return line.append(f". {urgency}{doubt}.", "bold")


def _counts(record: ScanRecord) -> Iterator[Text]:
    facts, counts = record.host_facts, record.counts
    about = ", ".join(printable(fact, 120) for fact in (facts.os, facts.kernel) if fact is not None)
    scanned = f"scanned {record.started_at}" if record.started_at else "scanned at an unknown time"
    yield Text(f"{about}; {scanned}" if about else scanned.capitalize(), "dim")
    at_stake = sum(counts.level.values())
    said = [f"{at_stake:,} to be dealt with, in {_number(len(issues_of(record)), 'issue')}"] if at_stake else []
    said += [f"{count:,} {words}" for state, words in _STATES.items() if (count := counts.status.get(state))]
    again = f" ({counts.lines:,} with repeats)" if counts.lines > counts.distinct else ""
    total = f"{_number(counts.distinct, 'finding')}{again}"
    yield Text(f"{total}: {', '.join(said)}." if said else f"{total}.", "dim")
    mistakes = sum(1 for issue in issues_of(record) if _is_doubtful(issue))
    if mistakes:
        are = "is probably a mistake" if mistakes == 1 else "are probably mistakes"
        yield Text(f"{_number(mistakes, 'issue')} {are} of the scanner, marked with a question mark.", "dim")
    for told in record.story:
        if told.name == "matters.nothing":
            yield Text(printable(told.text, 1000))
        if told.part == "unseen" and told.name not in ("unseen.no_baseline", "unseen.not_observed", "unseen.undecided"):
            yield Text(printable(told.text, 1000), "yellow")
    for entry in record.policy.expired:
        what = printable(entry.class_ or entry.fingerprint or "")
        yield Text(f"No longer accepted since {entry.expires}: {what} ({printable(entry.owner)}).", "yellow")


def _command(command: str | None, key: str, shown: Shown, width: int) -> Text:
    """Show what to type: the command itself where it is short, else what shows it."""
    room = width - 6
    if command is not None:
        lines = command_lines(command, room)
        if len(lines) <= shown.lines and max(map(len, lines)) <= room:
            return command_text(command, 4, width)
    return command_text(f"sysscan-agent show {key[:KEY]}{shown.where}", 4, width)


def _hanging(text: Text, width: int) -> Iterator[Text]:
    """Wrap a text, the further lines below what follows its number."""
    first, *more = text.wrap(_MEASURE, max(width - 4, 20))
    first.rstrip()
    yield first
    for line in more:
        line.rstrip()
        yield Text("    ").append_text(line)


def _issues(issues: Sequence[Issue], record: ScanRecord, shown: Shown, width: int) -> Iterator[RenderableType]:
    listed = issues[: shown.limit]
    findings = sum(issue.lines for issue in issues)
    of = f" of {shown.wanted.words()}" if shown.wanted else ""
    distinct = sum(record.counts.level.values())
    if findings > distinct and not shown.wanted:
        many = f"{_number(distinct, 'finding')} ({findings:,} with repeats)"
    else:
        repeats = " with repeats" if record.counts.lines > record.counts.distinct else ""
        many = f"{_number(findings, 'finding')}{repeats}"
    yield Text(f"{shown.gap}{_number(len(issues), 'issue')}{of}, {many}, the worst first", style="bold")
    titles = Counter(issue.title for issue in issues_of(record))
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", show_edge=False, width=width)
    for heading, justify in (("level", "right"), ("of 100", "right"), ("", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left", no_wrap=True)
    wide = width >= _WIDE
    room = (width - _OTHERS) * 3 // 5 if wide else width - _OTHERS
    table.add_column("what", no_wrap=True, overflow="ellipsis", width=room)
    if wide:
        table.add_column("where", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("key", no_wrap=True)
    for issue in listed:
        style = LEVEL_TEXT[issue.level]
        about = printable(issue.labels[0], 200) if issue.labels[0] else ""
        others = f" +{issue.distinct - 1:,}" if about and issue.distinct > 1 else ""
        title, words = printable(called(issue), 200), in_words(issue.split)
        apart = titles[issue.title] > 1
        what = _fitted(title, words, "" if wide else about, room, is_alone=not apart)
        place = end_of(about, width - _OTHERS - room - 1 - cell_len(others)) + others
        cells = [Text(what)] + ([Text(place, "dim")] if wide else [])
        doubt = "?" if _is_doubtful(issue) or issue.status == "unknown" else ""
        table.add_row(
            Text(issue.level, style), Text(f"{issue.score}", style), Text(doubt, "magenta"), *cells,
            f"{issue.lines:,}", Text(issue.examples[0][:KEY], "dim"),
        )  # fmt: skip
    yield table
    if len(listed) < len(issues):
        rest = issues[len(listed) :]
        many = _number(sum(issue.lines for issue in rest), "finding")
        how = "" if shown.brief else f": sysscan-agent {_commands(record, shown)[0].replace(' --detail', ' --all')}"
        yield Text(f"… and {_number(len(rest), 'more issue')} ({many}), none of them worse{how}", "dim")
    left = len(issues_of(record)) - len(issues)
    if left:
        many = _number(sum(one.lines for one in issues_of(record)) - findings, "finding")
        yield Text(f"Left out{of.replace(' of', ', not of', 1)}: {_number(left, 'issue')} ({many}).", "dim")


def _fitted(title: str, words: str, about: str, room: int, *, is_alone: bool) -> str:
    """Put title, what sets it apart and what it is about into so many columns; of a name the end tells most.

    Args:
        is_alone: no other issue has this title, so that what sets it apart can be left out.
    """
    apart = f" ({words})" if words else ""
    if not is_alone and not words and about:
        apart = f": {end_of(about, room // 2)}"
        about = ""
    if cell_len(title + apart) > room:
        return title if is_alone else f"{title[: max(room - cell_len(apart) - 1, 10)]}…{apart}"
    left = room - cell_len(title) - 2
    if about and left >= _SHORTEST and is_alone:  # where it is tells more than what it is like
        return f"{title}: {end_of(about, left)}"
    return title + apart


def end_of(about: str, room: int) -> str:
    """Give a name, or as much of its end as there is room for; of a path whole parts, where one fits."""
    if cell_len(about) <= room:
        return about
    end = about[1 - room :]
    return f"…{end[end.find('/') :] if about.startswith('/') and '/' in end else end}"


def _more(record: ScanRecord, shown: Shown, width: int) -> Iterator[RenderableType]:
    names = {key: label for issue in issues_of(record) for key, label in zip(issue.examples, issue.labels, strict=True)}
    for group in record.correlations[:3]:
        known = [f"{printable(names[key], 80)} {key[:KEY]}" for key in group.members if names.get(key)][:2]
        what = f": {', '.join(known)}{', …' if group.findings > len(known) else ''}" if known else ""
        many = _number(group.findings, "finding")
        yield Text(f"\nTogether, {group.level}: {group.title} ({many}{what}). {group.first}")
    if len(record.correlations) > 3:
        yield Text(f"… and {_number(len(record.correlations) - 3, 'more pattern')}: --detail", "dim")
    if shown.accepted:
        yield Text("\nAccepted, or called a false positive", "bold")
        yield from map(_accepted, shown.accepted)
    yield Text("")
    if record.baseline is not None:
        states = dict(record.baseline.states)
        said = [f"{count:,} {state}" for state, count in states.items() if state != "resolved"]
        said += [f"{len(record.baseline.resolved):,} resolved"] if record.baseline.resolved else []
        if record.baseline.not_observed_count:
            said.append(
                f"{record.baseline.not_observed_count:,} not reported this time, which does not show that they are gone"
            )
        is_first = any(told.name == "changed.all_new" for told in record.story)
        yield Text("No earlier scan is known." if is_first else f"Since earlier scans: {', '.join(said) or 'nothing'}.")
    against = [f"{count} of {FRAMEWORK_NAMES[one.framework]}" for one in record.compliance if (count := _failing(one))]
    if against:
        yield Text(f"Controls with evidence against them: {', '.join(against)}. A scan cannot prove compliance.")
    command, plan = _commands(record, shown)
    yield Text("More:", "dim")
    for text, what in (
        (command, "what each issue is, the whole story, compliance"),
        (f"show KEY{shown.where}", "one finding, with its commands"),
        (f"{plan} --format bash", "prints a script that checks, applies and undoes; it changes nothing by itself"),
    )[: 3 if issues_of(record) else 1]:
        yield command_text(f"sysscan-agent {text}", 2, width)
        yield Text(f"    {what}", "dim")


def _commands(record: ScanRecord, shown: Shown) -> tuple[str, str]:
    """Give the commands that say all of a scan, and that make a plan of it."""
    if shown.source is not None:
        source = shlex.quote(printable(shown.source))
        return f"analyze {source} --detail", f"remediate {source}"
    if shown.scan is not None:
        return f"report {shown.scan} --detail{shown.ledger}", f"remediate --scan {shown.scan}{shown.ledger}"
    host = shlex.quote(printable(record.host))
    return f"report --host {host} --detail{shown.ledger}", f"remediate --host {host}{shown.ledger}"


def _accepted(finding: EnrichedFinding) -> Text:
    entry = finding.suppression
    who = "" if entry is None else f", {printable(entry.owner)}"
    until = f" until {entry.expires}" if entry is not None and entry.expires is not None else ""
    why = "" if entry is None else f": {quoted(entry.reason, 300)}"
    what = printable(finding.finding.title or finding.finding.id, 120)
    return Text(f"  {finding.dedupe_key[:KEY]}  {finding.status.replace('_', ' ')}{who}{until}  {what}{why}")


def _failing(gap: FrameworkGap) -> int:
    return len(gap.failing.sourced) + len(gap.failing.derived) + len(gap.failing.inferred)


def _is_doubtful(issue: Issue) -> bool:
    return issue.artefact is not None and issue.artefact.degree in _DOUBTFUL


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def settled(findings: Iterable[EnrichedFinding]) -> list[EnrichedFinding]:
    """Pick the findings that somebody has settled."""
    return [one for one in findings if one.status in ("accepted", "false_positive")]
