"""Whether a ledger is in order, for `sysscan-agent doctor`."""

import time
from pathlib import Path

from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from pipeline.checks import Check
from pipeline.errors import LedgerError


def check_ledger(directory: Path, name: str = "ledger") -> Check:
    """Look at the ledger in a directory; `name`: of the check."""
    if not (directory / FILE_NAME).exists():
        return Check(name, "ok", f"none yet in {directory}; the daemon makes it")
    try:
        with Ledger.open(directory, clock=time.time, read_only=True, exclusive=False) as ledger:
            problems = ledger.fsck()
            waiting = max(ledger.outbox.backlog().values(), default=0)
            quarantined = len(ledger.quarantine.rows())
            aside = ledger.aside.rows()
    except LedgerError as error:
        return Check(name, "problem", str(error))
    at = "" if name == "ledger" else f" --state-dir {directory}"
    if problems:
        return Check(name, "problem", problems[0], f"see `sysscan-agent ledger fsck{at}`")
    detail = f"in order; {waiting:,} records wait for the output"
    if aside:
        advice = f"see `sysscan-agent ledger aside list{at}`; `ledger aside retry` has one worked on again"
        return Check(name, "warning", f"{detail}; {len(aside):,} scans set aside: {aside[0].reason}", advice)
    if quarantined:
        advice = f"see `sysscan-agent ledger quarantine list{at}`; `retry` or `dismiss` each"
        return Check(name, "warning", f"{detail}; {quarantined:,} entries in quarantine", advice)
    return Check(name, "ok", detail)
