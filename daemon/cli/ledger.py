"""`sysscan-agent ledger …`."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import orjson
from rich.table import Table

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import terminal, wants_json
from daemon.ledger import Ledger, Quarantined
from daemon.reloading import last_reload
from daemon.review.audit import lacking
from daemon.settings import Settings, load_settings
from pipeline.display import printable
from pipeline.errors import QuarantineReason
from pipeline.harmless import harmless
from pipeline.review.log import FILE_NAME


def open_to_read(settings: Settings) -> Ledger:
    """Open the ledger beside a daemon that may be running.

    Raises:
        LedgerError: when there is none, or it cannot be read.
    """
    return Ledger.open(settings.state_dir, clock=time.time, read_only=True, exclusive=False)


def _open_to_change(settings: Settings) -> Ledger:
    open_to_read(settings).close()  # where there is none, none is to be made
    return Ledger.open(settings.state_dir, clock=time.time, exclusive=False)


def show_status(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Print the ledger's counts."""
    settings = load_settings(os.environ, given, config)
    with open_to_read(settings) as ledger:
        status = ledger.status()
        verdicts = lacking(settings.state_dir / FILE_NAME, ledger)
    if verdicts is not None:
        status["verdicts"] = verdicts
    reloaded = last_reload(settings.state_dir)
    if reloaded is not None:
        status["last_reload"] = f"refused: {reloaded.error}" if reloaded.error is not None else f"taken {reloaded.at}"
    if wants_json(as_json):
        _print_json(status)
        return Exit.DONE
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in status.items():
        shown = ", ".join(f"{key}: {count:,}" for key, count in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), f"{shown:,}" if isinstance(shown, int) else str(shown) or "none")
    terminal().print(table)
    return Exit.DONE


def check(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Print what is wrong with the ledger."""
    settings = load_settings(os.environ, given, config)
    with open_to_read(settings) as ledger:
        problems = ledger.fsck()
    if wants_json(as_json):
        _print_json({"problems": problems})
    else:
        for problem in problems:
            sys.stdout.write(f"{printable(problem, 1000)}\n")
        sys.stdout.write("The ledger is in order.\n" if not problems else "")
    return Exit.LEDGER if problems else Exit.DONE


def list_quarantine(given: Mapping[str, Any], config: Path | None, *, reason: str | None, as_json: bool) -> Exit:
    """Print what is in quarantine."""
    settings = load_settings(os.environ, given, config)
    if reason is not None and reason not in get_args(QuarantineReason):
        die(Exit.USAGE, f"no such reason: {printable(reason)}; there are: {', '.join(get_args(QuarantineReason))}")
    with open_to_read(settings) as ledger:
        entries = ledger.quarantine.rows(reason=reason)
    if wants_json(as_json):
        for entry in entries:
            _print_json(_as_json(entry))
        return Exit.DONE
    _show_table(entries)
    return Exit.DONE


def show_quarantined(given: Mapping[str, Any], config: Path | None, number: int, *, as_json: bool) -> Exit:
    """Print one entry."""
    settings = load_settings(os.environ, given, config)
    with open_to_read(settings) as ledger:
        entry = _find(ledger, number)
    if wants_json(as_json):
        _print_json(_as_json(entry))
        return Exit.DONE
    for name, value in _as_json(entry).items():
        if value is not None:
            sys.stdout.write(f"{name:>10}  {printable(str(value), 2000)}\n")
    return Exit.DONE


def retry_quarantined(given: Mapping[str, Any], config: Path | None, number: int) -> Exit:
    """Have a file read again."""
    settings = load_settings(os.environ, given, config)
    with _open_to_change(settings) as ledger:
        _find(ledger, number)
        entry = ledger.quarantine.retry(number)
    sys.stdout.write(f"{printable(entry.source)} will be read again by the daemon\n")
    return Exit.DONE


def dismiss_quarantined(given: Mapping[str, Any], config: Path | None, number: int) -> Exit:
    """Mark an entry as looked at."""
    settings = load_settings(os.environ, given, config)
    with _open_to_change(settings) as ledger:
        _find(ledger, number)
        ledger.quarantine.dismiss(number)
    sys.stdout.write(f"entry {number} is no longer listed\n")
    return Exit.DONE


def list_aside(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Print the scans that are not worked on."""
    settings = load_settings(os.environ, given, config)
    with open_to_read(settings) as ledger:
        entries = ledger.aside.rows()
    if wants_json(as_json):
        for entry in entries:
            _print_json(
                {
                    "scan": entry.scan_no, "scan_id": entry.scan_id, "host": entry.host,
                    "source": printable(entry.source, 4096), "findings": entry.findings, "attempts": entry.attempt,
                    "reason": printable(entry.reason, 4096),
                }
            )  # fmt: skip
        return Exit.DONE
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("no.", "host", "from", "findings", "reason"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        table.add_row(
            str(entry.scan_no), printable(entry.host), printable(entry.source), f"{entry.findings:,}",
            printable(entry.reason),
        )  # fmt: skip
    terminal().print(table if entries else "No scan is set aside.")
    return Exit.DONE


def retry_aside(given: Mapping[str, Any], config: Path | None, number: int) -> Exit:
    """Have a scan worked on again."""
    settings = load_settings(os.environ, given, config)
    with _open_to_change(settings) as ledger:
        if number not in [entry.scan_no for entry in ledger.aside.rows()]:
            die(Exit.NOT_FOUND, f"no scan {number} is set aside; `ledger aside list` shows them")
        ledger.aside.retry(number)
    sys.stdout.write(f"scan {number} will be worked on by the daemon\n")
    return Exit.DONE


def _find(ledger: Ledger, number: int) -> Quarantined:
    entry = ledger.quarantine.find(number)
    if entry is None:
        die(Exit.NOT_FOUND, f"no entry {number} in quarantine; `ledger quarantine list` shows them")
    return entry


def _as_json(entry: Quarantined) -> dict[str, Any]:
    return {
        "id": entry.id, "state": entry.state, "reason": entry.reason, "detail": entry.detail,
        "source": printable(entry.source, 4096), "offset": entry.offset, "path": entry.path, "at": entry.at,
        "last_at": entry.last_at, "seen": entry.seen,
        "excerpt": printable(entry.excerpt.decode("utf-8", "backslashreplace"), 4096),
    }  # fmt: skip


def _show_table(entries: Sequence[Quarantined]) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("no.", "state", "reason", "from", "detail"):
        table.add_column(heading, no_wrap=heading == "reason", overflow="fold")  # of a path the end tells most
    for entry in entries:
        table.add_row(str(entry.id), entry.state, entry.reason, printable(entry.source), printable(entry.detail))
    terminal().print(table if entries else "Nothing is in quarantine.")


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(harmless(orjson.dumps(value)) + b"\n")
    sys.stdout.buffer.flush()
