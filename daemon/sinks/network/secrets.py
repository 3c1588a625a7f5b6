"""Secrets, read from files each time they are needed, and kept out of everything that is shown."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from daemon.sinks.network.settings import CREDENTIAL
from pipeline.display import printable
from pipeline.engine.reading import read_regular
from pipeline.errors import SinkError

_SECRET_BYTES = 64 << 10
_SHOWN_CHARS = 200
_LEAST_CHARS = 4  # what is shorter would make holes into every message
_WAIT_S = 30.0  # a file does not change by itself


def secret_path(place: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Say where a secret is: a path, or ``credential:NAME`` below ``$CREDENTIALS_DIRECTORY``.

    Raises:
        SinkError: if it is a credential and systemd has handed over none.
    """
    if not place.startswith(CREDENTIAL):
        return Path(place)
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise SinkError(
            f"{place}: systemd has handed over no credentials; give the unit LoadCredential=, or name a file",
            wait_s=_WAIT_S,
        )
    return Path(directory) / place.removeprefix(CREDENTIAL)


def read_secret(setting: str, place: str) -> str:
    """Read the first line of a file.

    Args:
        setting: that names it, for people.

    Raises:
        SinkError: if there is none to be read; one line, which never holds what was read.
    """
    path = secret_path(place)
    try:
        lines = read_regular(path, _SECRET_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SinkError(f"{setting}: {path}: {reason}; its first line is the secret", wait_s=_WAIT_S) from error
    if not lines or not lines[0].strip():
        raise SinkError(f"{setting}: {path}: is empty; its first line is the secret", wait_s=_WAIT_S)
    secret = lines[0].strip()
    if not secret.isprintable():
        raise SinkError(f"{setting}: {path}: its first line has signs that no secret has", wait_s=_WAIT_S)
    return secret


def shown(text: str, secrets: Iterable[str] = ()) -> str:
    """Make what another side said one harmless line, without the secrets that it may have repeated."""
    text = " ".join(text.split())
    spelled = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    for secret in sorted(spelled, key=len, reverse=True):
        if len(secret) >= _LEAST_CHARS:
            text = text.replace(secret, "***")
    return printable(text, _SHOWN_CHARS)
