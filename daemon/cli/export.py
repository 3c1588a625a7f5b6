"""`sysscan-agent export`, and what `report` and `analyze` do for `--format`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from daemon.cli import startup
from daemon.cli.exits import Exit, die, say
from daemon.cli.exporting.forms import Options, check_options, write_form
from daemon.cli.exporting.kept import KeptScans
from daemon.cli.exporting.saved import SavedLines, Unreadable, room_explained
from daemon.cli.exporting.sources import end_without_scans, name_unusable, some, what
from daemon.cli.filters import check_classes
from daemon.cli.gate import Gate
from daemon.cli.ledger import open_to_read
from daemon.cli.options import Form
from daemon.cli.settings_to_read import settings_to_read
from daemon.cli.target import explained, open_target
from daemon.settings import Settings, load_settings
from pipeline.display import printable
from pipeline.errors import ConfigError, RecordError
from pipeline.finding import Level
from pipeline.output.formats.scan import Scan
from pipeline.output.formats.wanted import Wanted
from pipeline.output.records import VerdictRecord

_OF_LEDGER = {"state_dir": "--state-dir", "policy_files": "--policy", "knowledge_dirs": "--knowledge"}


def export_scans(
    given: Mapping[str, Any],
    config: Path | None,
    sources: Sequence[str],
    *,
    form: Form,
    options: Options,
    output: Path | None,
    scan: str | None,
    host: str | None,
    wanted: Wanted,
    fail_on: Level | None,
) -> Exit:
    """Write findings in a form: those of saved lines, or, without any, those of the ledger."""
    check_options(form, options)
    for name, flag in _OF_LEDGER.items():
        if sources and given.get(name):
            die(Exit.USAGE, f"{flag}: has no effect on saved lines, only on what is in the ledger; leave it out")
    if output is not None and str(output) == "-":
        output = None
    if not sources:
        settings = settings_to_read(given, config)
        return export_kept(
            settings, form, options=options, output=output, scan=scan, host=host, wanted=wanted, fail_on=fail_on
        )
    gate = Gate(fail_on, wanted)
    with gate.guarding(), SavedLines() as saved, room_explained():
        startup.loaded()
        try:
            saved.read(sources)
        except Unreadable as error:
            die(Exit.USAGE, str(error))
        except RecordError as error:
            die(Exit.USAGE, f"{', '.join(map(printable, sources))}: {error}")
        scans = some(saved.scans(scan, host))
        if scans is None:
            end_without_scans(saved, (), sources, scan=scan, host=host)
        settings_of_daemon = _daemon_settings(given, config)
        known = settings_of_daemon.knowledge_dirs if settings_of_daemon is not None else ()
        check_classes(wanted.classes, known, lambda: saved.classes)
        _write(form, map(wanted.of, gate.watch(scans)), options, output, sources, settings_of_daemon, saved.verdicts)
        name_unusable(saved)
    return gate.ended(Exit.REJECTED if saved.num_unusable else Exit.DONE)


def export_kept(
    settings: Settings,
    form: Form,
    *,
    options: Options | None = None,
    output: Path | None = None,
    scan: str | None = None,
    host: str | None = None,
    only: bool = False,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    fail_on: Level | None = None,
) -> Exit:
    """Write findings of the ledger in a form.

    Args:
        only: one scan, the latest that fits; else the latest of each host and scope.
    """
    gate = Gate(fail_on, wanted)
    with gate.guarding(), open_to_read(settings) as ledger, ledger.database.snapshot():
        kept = KeptScans(ledger, settings)
        startup.loaded()
        check_classes(wanted.classes, settings.knowledge_dirs, lambda: ledger.reviews.names("class_id"))
        if only or scan is not None:
            entry = ledger.records.find(scan_id=scan, host=host)
            if entry is not None and entry.findings and not kept.has_findings(entry):
                die(
                    Exit.NOT_FOUND,
                    f"the findings of scan {entry.scan_id} are not kept in {settings.state_dir} any more; "
                    "`export FILE` takes them from saved lines",
                )
            scans = None if entry is None else iter((kept.scan(entry),))
        else:
            scans = some(kept.latest(host))
        if scans is None:
            die(Exit.NOT_FOUND, f"{what(scan, host)} in {settings.state_dir}; `report --list` shows those there are")
        _write(form, map(wanted.of, gate.watch(scans)), options or Options(), output, (), settings)
        if kept.lacking is not None:
            say(f"sysscan-agent: no verdict counts: {printable(kept.lacking)}")
    return gate.ended(Exit.DONE if kept.lacking is None else Exit.REJECTED)


def convert_lines(lines: BinaryIO, form: Form, file: BinaryIO, refused: int, wanted: Wanted) -> None:
    """Write lines that were just made in a form, those that were asked for.

    Args:
        refused: pieces of the reports that could not be used.
    """
    with SavedLines() as saved, room_explained():
        lines.seek(0)
        saved.take("what was analysed", lines)
        saved.close_input()
        if refused:
            pieces = "1 piece" if refused == 1 else f"{refused:,} pieces"
            saved.remarks.append(f"Could not be used: {pieces} of what was to be analysed.")
        write_form(form, map(wanted.of, saved.scans()), Options(), file)


def _write(
    form: Form,
    scans: Iterable[Scan],
    options: Options,
    output: Path | None,
    sources: Sequence[str],
    settings: Settings | None,
    verdicts: Sequence[VerdictRecord] = (),
) -> None:
    with explained(output), open_target(output, sources, "file", settings) as file:
        write_form(form, scans, options, file, verdicts)


def _daemon_settings(given: Mapping[str, Any], config: Path | None) -> Settings | None:
    """Give the daemon's settings, to leave alone what it writes; without any that can be read there is no daemon."""
    try:
        return load_settings(os.environ, given, config)
    except ConfigError:
        if config is not None:
            raise
        return None
