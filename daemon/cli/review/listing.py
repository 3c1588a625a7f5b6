"""`review list`, `show` and `history`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from daemon.cli.exits import Exit, die, say
from daemon.cli.explain import show_finding
from daemon.cli.filters import check_kept
from daemon.cli.review.opened import open_desk
from daemon.cli.review.shown import entry_json, finding_json, print_json, verdict_json
from daemon.cli.summary import LEVEL_STYLES
from daemon.cli.terminal import terminal, wants_json
from daemon.ledger.retained import Filter
from daemon.review.queue import AT_STAKE
from daemon.review.who import now
from daemon.review.words import about, decided, label_of, states, title_of
from pipeline.display import printable
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.output.read import read_finding

_ALL_DONE = "Nothing is left to review."
_NONE_FIT = "Nothing that is left to review fits; leave a filter out."


def list_unreviewed(
    given: Mapping[str, Any], config: Path | None, wanted: Filter, text: str, *, limit: int, as_json: bool, all_: bool
) -> Exit:
    """Print what nobody has reviewed, the worst first, one line a situation.

    Args: `text`: what the line of a finding has to hold, as it is written; empty: nothing.
    """
    if not all_:
        wanted = Filter(wanted.class_, wanted.host, wanted.level, wanted.scanner, AT_STAKE)
    with open_desk(given, config, listing=True) as desk:
        check_kept(wanted.class_, wanted.host, wanted.scanner, desk.ledger.reviews, desk.settings.knowledge_dirs)
        entries = desk.queue.unreviewed(wanted)
        if text:
            found = desk.holding(text, wanted)
            entries = [entry for entry in entries if entry.situation in found]
        shown = entries if limit == 0 else entries[:limit]
        lines = {row: read_finding(line) for row, line in desk.ledger.reviews.lines([e.worst for e in shown]).items()}
    is_filtered = bool(text) or wanted != Filter(statuses=() if all_ else AT_STAKE)
    if wants_json(as_json):
        for entry in shown:
            print_json(entry_json(entry, lines.get(entry.worst)))
        if not entries and is_filtered:
            say(f"sysscan-agent: {_NONE_FIT}")
        return Exit.DONE
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("situation", "level", "lines", "hosts", "what", "worst of them"):
        table.add_column(heading, no_wrap=heading in ("situation", "level"), overflow="fold")
    for entry in shown:
        line = lines.get(entry.worst)
        hosts = printable(entry.hosts[0], 40) if len(entry.hosts) == 1 else f"{len(entry.hosts):,}"
        table.add_row(
            entry.situation[:12], Text(f"{entry.level} {entry.score}", LEVEL_STYLES[entry.level]), f"{entry.lines:,}",
            hosts, title_of(line) if line is not None else printable(entry.class_id),
            label_of(line) if line is not None else "",
        )  # fmt: skip
    console = terminal()
    console.print(table if entries else _NONE_FIT if is_filtered else _ALL_DONE)
    if len(shown) < len(entries):
        console.print(f"and {len(entries) - len(shown):,} more; --limit 0 shows all", style="dim")
    return Exit.DONE


def show_reviewed(given: Mapping[str, Any], config: Path | None, key: str, *, as_json: bool) -> Exit:
    """Print a finding, or the worst of a situation, with what was decided about it."""
    with open_desk(given, config) as desk:
        row = desk.queue.finding(key.lower())
        if row is None:
            die(Exit.NOT_FOUND, f"no finding and no situation {printable(key)} is kept")
        stored = desk.ledger.reviews.line(row.row)
        verdict = desk.queue.verdict_on(row)
        line = read_finding(stored)
        history = desk.queue.verdicts_about(row)
        state = states(desk.queue.verdicts, desk.queue.standing, now(), without_effect=desk.lacking is not None)
    if wants_json(as_json):
        print_json(
            {
                "finding": finding_json(row),
                "verdict": None if verdict is None else verdict_json(verdict),
                "history": [verdict_json(one, state[one.seq]) for one in history],
            }
        )
        return Exit.DONE
    console = terminal()
    show_finding(console, line, load_knowledge(load_features, desk.settings.knowledge_dirs))
    console.print("\nReview", style="bold")
    console.print(f"  situation {row.situation}, {row.lines:,} lines of this finding, seen {row.at}")
    for one in history:
        console.print(
            f"  {one.seq}  {decided(one)} ({about(one)}) by {printable(one.author)}, {one.at}: "
            f"{printable(one.reason) or 'no reason given'} [{state[one.seq]}]"
        )
    if not history:
        console.print("  nobody has decided anything about it")
    return Exit.DONE


def show_history(given: Mapping[str, Any], config: Path | None, *, limit: int, as_json: bool) -> Exit:
    """Print the verdicts, the latest first, and whether each counts."""
    with open_desk(given, config) as desk:
        verdicts = desk.queue.verdicts
        state = states(verdicts, desk.queue.standing, now(), without_effect=desk.lacking is not None)
    shown = verdicts[::-1] if limit == 0 else verdicts[::-1][:limit]
    if wants_json(as_json):
        for one in shown:
            print_json(verdict_json(one, state[one.seq]))
        return Exit.DONE
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("no.", "when", "who", "decided", "about", "reason", ""):
        table.add_column(heading, no_wrap=heading in ("no.", "when"), overflow="fold")
    for one in shown:
        table.add_row(
            str(one.seq), one.at, printable(one.author, 40), decided(one), about(one), printable(one.reason),
            state[one.seq],
        )  # fmt: skip
    terminal().print(table if shown else "Nobody has decided anything yet.")
    return Exit.DONE
