"""`sysscan-agent model …`."""

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import terminal, wants_json
from daemon.inference import ModelProcess
from daemon.models import open_directory
from daemon.settings import Settings, load_settings
from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.display import printable
from pipeline.engine.errors import EngineError
from pipeline.errors import RegistryError
from pipeline.models.registry import EMBEDDED, Change, Entry, Registry

_SHORT = 12  # characters of a digest for people


def list_models(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Print the models and which of them answers."""
    settings, registry = _open(given, config)
    entries, incumbent = registry.entries(), registry.incumbent()
    rows = [_as_json(one, incumbent) for one in entries]
    if wants_json(as_json):
        for row in rows:
            _print_json(row)
    else:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in ("", "model", "digest", "made from", "MB", ""):
            table.add_column(heading)
        for entry, row in zip(entries, rows, strict=True):
            table.add_row(
                "answers" if row["incumbent"] else "", printable(entry.name), entry.digest[:_SHORT],
                printable(str(row["base"] or "")), f"{row['bytes'] / 1e6:.0f}", printable(entry.fault or "", 200),
            )  # fmt: skip
        terminal().print(table)
    _warn_if_without_effect(settings)
    return Exit.DONE


def show_model(given: Mapping[str, Any], config: Path | None, wanted: str | None, *, as_json: bool) -> Exit:
    """Print what is known of one model, and when it answered."""
    _, registry = _open(given, config)
    with _explained():
        entry = registry.find(wanted) if wanted is not None else registry.incumbent()
        body = _as_json(entry, registry.incumbent())
        history = [_change(change) for change in registry.history() if change.digest == entry.digest]
    record = entry.manifest.record if entry.manifest is not None else {}
    body |= {"directory": str(entry.directory), "changes": history, "scorecards": record.get("scorecards")}
    if wants_json(as_json):
        _print_json(body)
        return Exit.DONE
    for name in ("name", "digest", "incumbent", "base", "prompt_version", "bytes", "directory", "fault"):
        if body[name] is not None:
            sys.stdout.write(f"{name.replace('_', ' '):>14}  {printable(str(body[name]), 2000)}\n")
    for change in history:
        sys.stdout.write(
            f"{change['kind']:>14}  {change['at']} by {_plain(change['by'])}: {_plain(change['reason'])}\n"
        )
    card = entry.directory / "README.md"
    if card.is_file():
        sys.stdout.write(f"{'card':>14}  {printable(str(card), 2000)}\n")
    return Exit.DONE


def verify_models(given: Mapping[str, Any], config: Path | None, wanted: str | None, *, as_json: bool) -> Exit:
    """Hold the files of one model, or of all, against their manifests."""
    _, registry = _open(given, config)
    with _explained():
        entries = [registry.find(wanted)] if wanted is not None else registry.entries()
    found: dict[str, str | None] = {}
    for entry in entries:
        try:
            registry.verify(entry)
            found[entry.digest] = None
        except RegistryError as error:
            found[entry.digest] = str(error)
    damaged = any(fault is not None for fault in found.values())
    for digest, fault in found.items():
        if wants_json(as_json):
            _print_json({"digest": digest, "fault": fault})
        else:
            sys.stdout.write(f"{digest[:_SHORT]}  {printable(fault, 2000) if fault else 'as it was made'}\n")
    return Exit.REJECTED if damaged else Exit.DONE


def add_model(given: Mapping[str, Any], config: Path | None, source: Path, *, as_json: bool) -> Exit:
    """Copy a model directory into the registry; it does not answer yet."""
    _, registry = _open(given, config)
    entry = registry.add(source)
    if wants_json(as_json):
        _print_json(_as_json(entry, registry.incumbent()))
    else:
        sys.stdout.write(
            f"{printable(entry.name)} is in the registry as {entry.digest[:_SHORT]}; "
            f"`sysscan-agent model promote {entry.digest[:_SHORT]}` has it answer\n"
        )
    return Exit.DONE


def promote_model(
    given: Mapping[str, Any], config: Path | None, wanted: str, *, reason: str, author: str | None, as_json: bool
) -> Exit:
    """Have a model answer, after it was tried here."""
    settings, registry = _open(given, config)
    with _explained():
        entry = registry.find(wanted)
        _try(settings, entry)
        change = registry.promote(
            entry.digest, at=_now(), by=author or _author(), reason=reason, keep=settings.model.keep
        )
    return _tell(settings, change, as_json=as_json)


def roll_back(given: Mapping[str, Any], config: Path | None, *, reason: str, author: str | None, as_json: bool) -> Exit:
    """Have the model before the incumbent answer again."""
    settings, registry = _open(given, config)
    with _explained():
        change = registry.rollback(at=_now(), by=author or _author(), reason=reason, keep=settings.model.keep)
    return _tell(settings, change, as_json=as_json)


def _open(given: Mapping[str, Any], config: Path | None) -> tuple[Settings, Registry]:
    settings = load_settings(os.environ, given, config)
    return settings, Registry(settings.models_dir)


def _try(settings: Settings, entry: Entry) -> None:
    """Verify and load a model as the daemon would, and have it work: one that cannot run here is not to answer."""
    try:
        model = open_directory(entry.directory, settings.model)
        if model.manifest.prompt_version != PROMPT_VERSION:
            raise RegistryError(
                f"model {entry.digest[:_SHORT]}: was trained on {model.manifest.prompt_version}, and this version asks "
                f"in {PROMPT_VERSION}: train it again"
            )
        with contextlib.closing(ModelProcess(model)) as process:
            process.measure()
    except EngineError as error:
        raise RegistryError(f"model {entry.digest[:_SHORT]}: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """End with the right exit code where something is not there."""
    try:
        yield
    except RegistryError as error:
        die(Exit.NOT_FOUND if error.missing else Exit.USAGE, str(error))


def _tell(settings: Settings, change: Change, *, as_json: bool) -> Exit:
    if wants_json(as_json):
        _print_json(_change(change))
    else:
        when = "answers already; nothing has changed" if change.kind == "unchanged" else "answers from the next scan on"
        whence = "which came with the program" if change.digest == EMBEDDED else change.digest[:_SHORT]
        sys.stdout.write(f"{printable(change.name)} {when} ({whence})\n")
    _warn_if_without_effect(settings)
    return Exit.DONE


def _warn_if_without_effect(settings: Settings) -> None:
    """Name a setting because of which the registry has no effect."""
    if not settings.model.enabled:
        sys.stderr.write("sysscan-agent: model.enabled is off, so no model answers\n")
        return
    for name, place in (("path", settings.model.path), ("endpoint", settings.model.endpoint)):
        if place is not None:
            sys.stderr.write(
                f"sysscan-agent: model.{name} is set, so {printable(str(place), 500)} answers, whatever is promoted; "
                "unset it for the registry to count\n"
            )


def _as_json(entry: Entry, incumbent: Entry) -> dict[str, Any]:
    manifest = entry.manifest
    return {
        "digest": entry.digest,
        "name": entry.name,
        "incumbent": entry.digest == incumbent.digest,
        "base": manifest.base if manifest is not None else None,
        "prompt_version": manifest.prompt_version if manifest is not None else None,
        "bytes": sum(file.size for file in manifest.files.values()) if manifest is not None else 0,
        "fault": entry.fault,
    }


def _change(change: Change) -> dict[str, str]:
    return {name: getattr(change, name) for name in ("kind", "digest", "name", "at", "by", "reason")}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user number without an entry in /etc/passwd, as in containers
        return f"uid {os.getuid()}"


def _plain(text: str) -> str:
    return printable(text, 500)


def _print_json(body: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(body, option=orjson.OPT_SORT_KEYS) + b"\n")
