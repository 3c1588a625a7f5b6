"""Settings of commands that read what the daemon keeps: they find the service's state without being told."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.settings import LEDGER_NAME, SERVICE_STATE, Settings, default_state_dir, load_settings


def settings_to_read(given: Mapping[str, Any], config: Path | None) -> Settings:
    """Load settings; where nobody named a state directory and this user has no ledger, that of the service counts.

    Raises:
        ConfigError: as `load_settings`.
    """
    settings = load_settings(os.environ, given, config)
    if settings.given_state_dir != default_state_dir(os.environ) or _has_ledger(settings.given_state_dir):
        return settings
    if not _has_ledger(SERVICE_STATE):
        return settings
    return load_settings(os.environ, {**given, "state_dir": SERVICE_STATE}, config)


def _has_ledger(directory: Path | None) -> bool:
    """Say whether there is a ledger that this user may read."""
    return directory is not None and os.access(directory / LEDGER_NAME, os.R_OK)
