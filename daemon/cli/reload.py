"""`sysscan-agent reload`."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die
from daemon.ledger.lock import holder
from daemon.reloading import last_reload
from daemon.settings import load_settings

_PATIENCE_S = 30.0


def reload_files(given: Mapping[str, Any], config: Path | None) -> Exit:
    """Have the daemon read knowledge, policy and indicators again, and say what became of that."""
    settings = load_settings(os.environ, given, config)
    state_dir = settings.state_dir
    pid = holder(state_dir)
    if pid is None:
        die(Exit.NOT_FOUND, f"{state_dir}: no daemon runs on it; check --state-dir")
    before = last_reload(state_dir)
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        die(Exit.USAGE, f"process {pid}, which runs on {state_dir}: {error.strerror}; run this as its user, or root")
    deadline = time.monotonic() + _PATIENCE_S
    while (now := last_reload(state_dir)) == before or now is None:
        if time.monotonic() > deadline:
            die(Exit.REJECTED, f"process {pid} was told, and has not answered in {_PATIENCE_S:.0f} s; see its log")
        time.sleep(0.05)
    if now.error is not None:
        die(Exit.USAGE, f"{now.error}; nothing has changed")
    sys.stdout.write(f"in use from the next scan on: knowledge {now.knowledge}, policy {now.policy}\n")
    return Exit.DONE
