"""`sysscan-agent report`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from daemon.cli.exits import Exit, die
from daemon.cli.export import export_kept
from daemon.cli.exporting.kept import KeptScans
from daemon.cli.exporting.sources import what
from daemon.cli.filters import among, check_classes
from daemon.cli.gate import Gate
from daemon.cli.ledger import open_to_read
from daemon.cli.options import ReportForm
from daemon.cli.settings_to_read import settings_to_read
from daemon.cli.show import show_record
from daemon.cli.since import Since, show_since
from daemon.cli.summary import LISTED, Shown, end_of, settled
from daemon.cli.target import explained, open_target
from daemon.cli.terminal import terminal
from daemon.ledger import ScanEntry
from pipeline.display import printable
from pipeline.errors import RecordError
from pipeline.finding import Level
from pipeline.harmless import as_json
from pipeline.output.formats.wanted import Wanted
from pipeline.output.read import read_scan
from pipeline.output.records import EnrichedFinding

_BESIDE_SOURCE = 60  # columns of what stands beside host and source, in the list of scans
_SHORTEST = 24  # columns of a source


def show_report(
    given: Mapping[str, Any],
    config: Path | None,
    *,
    scan: str | None,
    host: str | None,
    format_: ReportForm | None,
    list_: bool,
    detail: bool = False,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    show_accepted: bool = False,
    fail_on: Level | None = None,
    output: Path | None = None,
    all_issues: bool = False,
) -> Exit:
    """Show one scan record, with its findings where a form has them, or list those there are."""
    settings = settings_to_read(given, config)
    if format_ is not None and format_ != "text" and format_ != "json":
        if list_:
            die(Exit.USAGE, f"--list: has no form {format_}, only text and json")
        return export_kept(
            settings, format_, output=output, scan=scan, host=host, only=True, wanted=wanted, fail_on=fail_on
        )
    if output is not None and (list_ or format_ != "json"):
        die(Exit.USAGE, f"--output {output}: has no effect on text or --list; add --format json, or another form")
    as_text = format_ == "text" or (format_ is None and sys.stdout.isatty())
    if not as_text or list_:
        on_text = ((detail, "--detail"), (show_accepted, "--show-accepted"), (all_issues, "--all"))
        for chosen, flag in (*on_text, (wanted, wanted.words())):
            if chosen:
                on = "beside --list" if list_ else "on the record, which is about the whole scan"
                die(Exit.USAGE, f"{flag}: has no effect {on}; {'' if list_ else 'add --format text, or '}leave it out")
    if list_ and fail_on is not None:
        die(Exit.USAGE, "--fail-on: has no effect beside --list; leave it out")
    if list_ and scan is not None:
        die(Exit.USAGE, f"{scan}: a scan has no effect beside --list; leave one of them out")
    gate = Gate(fail_on, wanted)
    accepted: list[EnrichedFinding] = []
    with gate.guarding(), open_to_read(settings) as ledger, ledger.database.snapshot():
        if list_:
            rows = ledger.records.rows(host=host)
            if host is not None and not rows:
                there = among(host, ledger.reviews.hosts())
                die(Exit.NOT_FOUND, f"{what(None, host)} in {settings.state_dir}; there {there or 'is none at all'}")
            _list(rows, as_text)
            return Exit.DONE
        check_classes(wanted.classes, settings.knowledge_dirs, lambda: ledger.reviews.names("class_id"))
        entry = ledger.records.find(scan_id=scan, host=host)
        if entry is not None and (fail_on is not None or show_accepted):
            (kept,) = gate.watch([KeptScans(ledger, settings).scan(entry)])
            accepted = settled(kept.findings()) if show_accepted else []
        if entry is None or entry.record is None:
            die(Exit.NOT_FOUND, f"{what(scan, host)} in {settings.state_dir}; `report --list` shows those there are")
        if not as_text:
            with explained(output), open_target(output, (), "file", settings) as file:
                file.write(entry.record + b"\n")
            return gate.ended(Exit.DONE)
        try:
            record = read_scan(entry.record)
        except RecordError as error:
            die(Exit.LEDGER, f"the record of scan {entry.scan_id} in {settings.state_dir} cannot be read: {error}")
        gate.note_past(record)
        since = Since.of(KeptScans(ledger, settings), entry, record)
    show_since(terminal(), since)
    limit = None if all_issues or detail else LISTED
    # What a person may give to find a scan is hex digits, or there would be none.
    shown = Shown(None, limit, wanted, accepted, _ledger(given, config), scan)
    show_record(terminal(), record, shown, detail=detail)
    return gate.ended(Exit.DONE)


def _ledger(given: Mapping[str, Any], config: Path | None) -> list[str]:
    """Give the options that said which ledger it is."""
    named = (("--state-dir", given.get("state_dir")), ("--config", config))
    return [word for flag, value in named if value is not None for word in (flag, str(value))]


def _list(entries: list[ScanEntry], as_text: bool) -> None:
    if not as_text:
        for entry in entries:
            line = {
                "scan_id": entry.scan_id, "host": entry.host, "as_of": entry.as_of, "findings": entry.findings,
                "rejected": entry.rejected, "complete": entry.complete, "source": printable(entry.source, 4096),
            }  # fmt: skip
            sys.stdout.buffer.write(as_json(line) + b"\n")
        return
    console = terminal()
    room = console.width - _BESIDE_SOURCE - max((cell_len(printable(entry.host)) for entry in entries), default=0)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("scan", "host", "as of", "findings", "complete", "from"):
        # A time that is cut short tells nothing, and of a path the end tells most.
        table.add_column(heading, no_wrap=heading in ("scan", "as of"), overflow="fold")
    for entry in entries:
        table.add_row(
            entry.scan_id[:12], printable(entry.host), entry.as_of, f"{entry.findings:,}",
            "yes" if entry.complete else "no", end_of(printable(entry.source), max(room, _SHORTEST)),
        )  # fmt: skip
    console.print(table)
