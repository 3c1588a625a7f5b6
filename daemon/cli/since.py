"""What reviewers have decided since a scan was told of, for who looks at its record.

A scan record says what was known when the scan was analysed, and so do its story and its issues. Verdicts that came
later are told beside it, with the levels that they leave.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.cli.exporting.kept import KeptScans
from daemon.cli.summary import LEVEL_STYLES
from daemon.ledger import ScanEntry
from daemon.review.queue import AT_STAKE
from daemon.review.words import label_of, title_of
from pipeline.display import printable
from pipeline.finding import LEVELS, Level
from pipeline.output.records import EnrichedFinding, ScanRecord

_SHOWN = 12  # findings


@dataclass(slots=True, frozen=True)
class Since:
    """What was decided after a scan was told of.

    Attributes:
        changed: findings as they were told, and as they are now; the worst first.
        levels: how many findings are at stake now, by level, counted as the record counts them.
        lacking: why no verdict counts, or None.
    """

    changed: tuple[tuple[EnrichedFinding, EnrichedFinding], ...]
    levels: dict[Level, int]
    lacking: str | None

    @classmethod
    def of(cls, kept: KeptScans, entry: ScanEntry, record: ScanRecord) -> "Since":
        """Look at the findings of a scan.

        Raises:
            LedgerError: if one cannot be read.
        """
        changed = sorted(kept.decided_since(entry), key=lambda one: -one[1].risk.score)
        levels: Counter[Level] = Counter(record.counts.level)
        for count, line, now in changed:
            levels[line.risk.level] -= count * (line.status in AT_STAKE)
            levels[now.risk.level] += count * (now.status in AT_STAKE)
        pairs = tuple((line, now) for _, line, now in changed)
        return cls(pairs, {level: levels[level] for level in LEVELS if levels[level] > 0}, kept.lacking)


def show_since(console: Console, since: Since) -> None:
    """Print it; nothing where nothing was decided since."""
    if since.lacking is not None:
        console.print(Text(f"No verdict counts: {printable(since.lacking)}.", "yellow"))
    if not since.changed:
        return
    count = len(since.changed)
    findings = "1 finding was" if count == 1 else f"{count:,} findings were"
    console.print(Text(f"Since this scan {findings} decided on; what follows below is from before that.", "bold"))
    table = Table.grid(padding=(0, 2, 0, 0))
    for no_wrap in (True, True, True, False, True):
        table.add_column(no_wrap=no_wrap, overflow="fold")
    for line, now in since.changed[:_SHOWN]:
        table.add_row(
            Text("  ").append(line.risk.level, LEVEL_STYLES[line.risk.level]), Text("→"), _state(now),
            Text(f"{title_of(line)}: {label_of(line)}"), Text(_by(now), "dim"),
        )  # fmt: skip
    console.print(table)
    if count > _SHOWN:
        console.print(Text(f"  … and {count - _SHOWN:,} more; `review history` has the verdicts", "dim"))
    console.print(Text("Findings at stake now: ").append_text(_levels(since.levels)), end="\n\n")


def _state(now: EnrichedFinding) -> Text:
    if now.status not in AT_STAKE:
        return Text(now.status.replace("_", " "), "green")
    return Text(now.risk.level, LEVEL_STYLES[now.risk.level])


def _by(now: EnrichedFinding) -> str:
    if now.review is None:
        return "a verdict was taken back"
    said = f"verdict {now.review.seq} by {printable(now.review.author, 40)}"
    return f"{said}, not in full" if now.review.overruled else said


def _levels(levels: dict[Level, int]) -> Text:
    parts: Iterable[Level] = [level for level in reversed(LEVELS) if level in levels]
    shown = Text(", ").join(Text(f"{levels[level]:,} {level}", LEVEL_STYLES[level]) for level in parts)
    return shown if levels else Text("nothing", "green")
