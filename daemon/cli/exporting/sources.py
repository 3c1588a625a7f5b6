"""Where commands take scans from: saved lines, scanner reports that are analysed on the spot, or the ledger."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NoReturn

from daemon.analysis_cache import analysis_cache
from daemon.cli import startup
from daemon.cli.exits import Exit, die, say
from daemon.cli.exporting.kept import KeptScans
from daemon.cli.exporting.refusals import refusal
from daemon.cli.exporting.saved import STANDARD_INPUT, SavedLines, Unreadable, is_ours, room_explained
from daemon.cli.filters import among
from daemon.cli.ledger import open_to_read
from daemon.cli.settings_to_read import settings_to_read
from daemon.one_shot import OneShot, Refused
from daemon.resources import open_resources
from daemon.settings import Settings, load_settings
from pipeline.display import printable
from pipeline.errors import RecordError
from pipeline.output.enriched import Line
from pipeline.output.formats.scan import Scan
from pipeline.output.write import write

_KEY = 12  # hex digits of a scan id


@dataclass(slots=True)
class Found:
    """Scans and what is wrong with their source.

    Attributes:
        scans: once, in order.
        classes: gives the classes of the findings that are there.
        exit_code: how the command ends if nothing else is wrong.
    """

    scans: Iterator[Scan]
    settings: Settings
    classes: Callable[[], Collection[str]]
    exit_code: Exit = Exit.DONE


@contextmanager
def found_scans(
    given: Mapping[str, Any], config: Path | None, sources: Sequence[str], *, scan: str | None, host: str | None
) -> Iterator[Found]:
    """Find scans: those of files, where there are any, else the latest of each host and scope in the ledger.

    A file may hold saved lines or a scanner report, which is analysed first.
    """
    settings = settings_to_read(given, config) if not sources else load_settings(os.environ, given, config)
    if not sources:
        with open_to_read(settings) as ledger, ledger.database.snapshot():
            kept = KeptScans(ledger, settings)
            startup.loaded()
            if scan is not None:
                entry = ledger.records.find(scan_id=scan, host=host)
                scans = iter(()) if entry is None else iter((kept.scan(entry),))
            else:
                scans = kept.latest(host)
            if kept.lacking is not None:
                say(f"sysscan-agent: no verdict counts: {printable(kept.lacking)}")
            yield Found(
                _some(scans, scan, host, f"{settings.state_dir}; `report --list` shows those there are"), settings,
                lambda: ledger.reviews.names("class_id"), Exit.DONE if kept.lacking is None else Exit.REJECTED,
            )  # fmt: skip
        return
    reports = [source for source in sources if source != STANDARD_INPUT and not is_ours(source)]
    lines = [source for source in sources if source not in reports]
    if given.get("state_dir"):
        die(Exit.USAGE, "--state-dir: has no effect on files, only on what is in the ledger; leave it out")
    if given.get("policy_files") and not reports:
        die(Exit.USAGE, "--policy: has no effect on saved lines, only where a report is analysed; leave it out")
    with SavedLines() as saved, room_explained(), analysed_lines(reports, settings) as (analysed, refused):
        try:
            saved.take("what was analysed", analysed)
            saved.read(lines)
        except Unreadable as error:
            die(Exit.USAGE, str(error))
        except RecordError as error:
            die(Exit.USAGE, f"{', '.join(map(printable, sources))}: {error}")
        startup.loaded()
        if refused:
            saved.remarks.append(f"Could not be used: {len(refused):,} pieces of the reports.")
        there = some(saved.scans(scan, host))
        if there is None:
            end_without_scans(saved, refused, sources, scan=scan, host=host)
        name_unusable(saved, refused)
        code = Exit.REJECTED if saved.num_unusable or refused else Exit.DONE
        yield Found(there, settings, lambda: saved.classes, code)


def name_unusable(saved: SavedLines, refused: Sequence[Refused] = ()) -> None:
    """Name lines, and pieces of reports, that could not be used."""
    for one in refused:
        say(f"sysscan-agent: {refusal(one)}")
    for line in saved.foreign:
        say(
            f"sysscan-agent: {printable(line.source)}: has no line of sysscan-agent (line {line.line}: "
            f"{printable(line.why)}); name a file that `analyze` or the daemon wrote, and give a scanner report to "
            "`sysscan-agent analyze`"
        )
    for line in saved.unusable:
        say(f"sysscan-agent: {printable(line.source)}: line {line.line} cannot be used: {printable(line.why)}")
    if saved.num_unnamed:
        say(f"sysscan-agent: {saved.num_unnamed:,} more lines cannot be used")


def end_without_scans(
    saved: SavedLines, refused: Sequence[Refused], sources: Sequence[str], *, scan: str | None, host: str | None
) -> NoReturn:
    """End the program, since no scan is there that could be given: say once why, and which there are."""
    name_unusable(saved, refused)
    where = ", ".join(map(printable, sources))
    if saved.is_empty and (refused or saved.foreign):  # which says all
        raise SystemExit(int(Exit.USAGE))
    if saved.is_empty:
        die(Exit.USAGE, f"{where}: empty; name a file that `analyze` or the daemon wrote")
    there = saved.names()
    if scan is None:
        listed = among(host or "", {of_host for _, of_host in there})
    else:
        listed = among(scan, {f"{name[:_KEY]} of {of_host}" for name, of_host in there})
    die(Exit.NOT_FOUND, f"{what(scan, host)} in {where}; there {listed}")


def what(scan: str | None, host: str | None) -> str:
    """Say what was looked for and not found."""
    wanted = f"no scan {printable(scan)}" if scan else "no finished scan"
    return f"{wanted} of host {printable(host)}" if host else wanted


@contextmanager
def analysed_lines(reports: Sequence[str], settings: Settings) -> Iterator[tuple[BinaryIO, list[Refused]]]:
    """Analyse reports as `analyze` does; give their lines in a file of no name, and what could not be used."""
    with TemporaryFile() as into:
        refused = _analyse(reports, settings, into) if reports else []
        into.seek(0)
        yield into, refused


def _analyse(reports: Sequence[str], settings: Settings, into: BinaryIO) -> list[Refused]:
    def emit(lines: Sequence[Line]) -> None:
        into.write(b"".join(one.line + b"\n" for one in lines))

    with ExitStack() as stack:
        store = stack.enter_context(analysis_cache(settings.given_state_dir)) if settings.model.enabled else None
        resources = open_resources(settings, store)
        stack.callback(resources.close)
        run = OneShot(resources, settings.limits, settings.analysis.batch_size, settings.host)
        for source in reports:
            for analysed in run.analyse(source, emit):
                into.write(write(analysed.record) + b"\n")
        return run.refused


def some(scans: Iterator[Scan]) -> Iterator[Scan] | None:
    """Give the scans, or None where there are none."""
    first = next(scans, None)
    return None if first is None else _with(first, scans)


def _some(scans: Iterator[Scan], scan: str | None, host: str | None, where: str) -> Iterator[Scan]:
    """Give the scans; where there are none, end the program."""
    there = some(scans)
    if there is None:
        die(Exit.NOT_FOUND, f"{what(scan, host)} in {where}")
    return there


def _with(first: Scan, more: Iterator[Scan]) -> Iterator[Scan]:
    yield first
    yield from more
