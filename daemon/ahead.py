"""Begins the process of a model before anything is asked of it, where a run will have to ask it everything.

Loading a model takes about as long as importing what an analysis needs, and both can go on side by side. So only what
is needed to find the model is imported here.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from daemon.inference import ModelProcess
from daemon.models import model_process, open_model
from daemon.settings import LEDGER_NAME, Settings
from pipeline.engine.errors import EngineError
from pipeline.engine.model import Model
from pipeline.errors import AgentError


@contextmanager
def opened_ahead(settings: Settings) -> Iterator[ModelProcess | None]:
    """Open the model that is to answer, and begin to load it where no answer can be known yet; closed at the end.

    Gives None where there is none that can be used: whoever needs it opens it again, and says why.
    """
    if not settings.model.enabled:
        yield None
        return
    try:
        model = open_model(settings)
    except (AgentError, EngineError, OSError):
        yield None
        return
    with closing(model_process(model)) as process:
        # A server that runs a model has it loaded already.
        if isinstance(model, Model) and not model.num_shipped and not _has_answers(settings.given_state_dir):
            with suppress(OSError):  # no descriptor is left; the first question comes to that, too
                process.begin()
        yield process


def _has_answers(state_dir: Path | None) -> bool:
    """Say whether answers of earlier runs are kept for this user, or may be."""
    if state_dir is None or not hasattr(os, "geteuid"):  # then they are kept in memory
        return False
    path = state_dir / LEDGER_NAME
    try:
        if path.stat().st_uid != os.geteuid():  # another user's is left alone
            return False
    except OSError:
        return False
    try:
        # Where nothing was written beside it, SQLite is to make nothing there either.
        immutable = "" if path.with_name(f"{LEDGER_NAME}-wal").exists() else "&immutable=1"
        uri = f"{path.absolute().as_uri()}?mode=ro{immutable}"
        with closing(sqlite3.connect(uri, uri=True, timeout=0.1)) as ledger:
            return ledger.execute("SELECT 1 FROM analyses LIMIT 1").fetchone() is not None
    except (sqlite3.Error, OSError):
        return True
