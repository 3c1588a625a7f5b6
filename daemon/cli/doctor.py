"""`sysscan-agent doctor`."""

import asyncio
import contextlib
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pipeline.graph.library  # noqa: F401 - imports LangGraph as the daemon does
from daemon.cli.checks import show_checks
from daemon.cli.doctor_worker import check_inputs, check_ledgers, check_verdicts
from daemon.cli.exits import Exit
from daemon.cli.ledger_check import check_ledger
from daemon.cli.sinks_check import check_sinks
from daemon.compose import kafka_client
from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.models import model_process, open_model
from daemon.resources import open_resources
from daemon.review.audit import open_log, verify
from daemon.settings import KNOWLEDGE_DIR, Settings, load_settings
from daemon.sources.bindings import Bindings
from daemon.version import VERSION
from pipeline.airgap.importing import real_because
from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.checks import Check
from pipeline.engine.cpu import instruction_sets
from pipeline.engine.errors import EngineError
from pipeline.engine.model import Model
from pipeline.errors import AgentError, ConfigError, LedgerError, RegistryError, SinkError
from pipeline.review.log import FILE_NAME as VERDICTS

_LOW_DISK_BYTES = 1 << 30  # three months of a host's hourly changes, or four days of all lines


def examine(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Run all checks; a problem ends with `Exit.USAGE`."""
    checks = [
        Check("agent", "ok", f"sysscan-agent {VERSION}, Python {platform.python_version()}"),
        _machine(),
        _langgraph(),
    ]
    try:
        settings = load_settings(os.environ, given, config)
    except AgentError as error:
        checks.append(Check("settings", "problem", str(error)))
    else:
        keeps_state = settings.given_state_dir is not None
        if not keeps_state:
            advice = "give --state-dir or set SYSSCAN_STATE_DIR; `analyze` needs none"
            checks.append(Check("settings", "warning", "no home directory to keep state in: no daemon starts", advice))
        else:
            checks.append(Check("settings", "ok", f"state in {settings.state_dir}, output to {settings.output_path}"))
        checks += _knowledge(settings)
        checks += [_model(settings), *(_state(settings) if keeps_state else ())]
        checks += check_inputs(settings) if settings.kafka.consumes else [check(settings) for check in _roots(settings)]
        checks += check_sinks(settings)
        checks += _disks(settings) if keeps_state else []
        checks += _bindings(settings)
    return show_checks(checks, as_json=as_json)


def _machine() -> Check:
    cores = len(os.sched_getaffinity(0))
    architecture, *sets = instruction_sets()
    kernels = ", ".join(sets) or "no instruction sets that matter"
    return Check("machine", "ok", f"{architecture}, {cores} cores, {kernels}; SQLite {sqlite3.sqlite_version}")


def _langgraph() -> Check:
    """Say whether LangGraph was imported with anything that could send."""
    reason = real_because()
    if reason is None:
        return Check("langgraph", "ok", "without langsmith and what else could send; tracing is impossible")
    return Check(
        "langgraph", "warning", f"langsmith is loaded, with tracing switched off: {reason}",
        "nothing is sent; with the versions of constraints.txt it is not loaded, which starts faster",
    )  # fmt: skip


def _knowledge(settings: Settings) -> list[Check]:
    try:
        resources = open_resources(settings)
    except AgentError as error:
        return [Check("knowledge", "problem", str(error), "correct it; the daemon does not start like this")]
    known, policy, intel = resources.knowledge, resources.policy, resources.intel
    detail = (
        f"{len(known.classes)} classes, {len(known.topics)} compliance topics, {len(known.correlations)} correlations, "
        f"{len(known.artefacts)} scanner artefacts; profile {policy.profile}, {len(policy.allow)} allow-list entries, "
        f"{intel.num_indicators} indicators"
    )
    today = datetime.now(UTC).date().isoformat()
    checks = [Check("knowledge", "ok", detail), *_without_effect(settings)]
    if (failure := resources.retriever.check()) is not None:
        checks.append(Check("vocabulary", "problem", failure, "until then unknown findings are told without a guess"))
    checks += [
        Check("policy", "warning", f"an entry of {entry.owner} for {entry.class_ or entry.fingerprint} ended", advice)
        for entry in policy.expired(today)
        if (advice := f"renew or remove it: it has had no effect since {entry.expires.isoformat()}")
    ]
    advice = "the rest is used; mend or remove these"
    checks += [Check("intel", "warning", warning, advice) for warning in intel.warnings]
    checks += [
        Check(
            "intel",
            "problem",
            f"{file}: nothing of it can be used",
            "it is no feed, or a damaged one: remove or mend it",
        )
        for file in intel.unusable
    ]
    return checks


def _bindings(settings: Settings) -> list[Check]:
    try:
        found = list(Bindings(settings.watch.bind).without_effect(settings.watch.roots))
    except ConfigError as error:
        return [Check("bind", "problem", str(error), "name each directory once")]
    advice = "its reports speak for the host that they name themselves: correct the key, or wait for the host"
    return [Check("bind", "warning", f"watch.bind: {key} {reason}", advice) for key, reason in found]


def _without_effect(settings: Settings) -> Iterator[Check]:
    """Name places that are set and hold nothing."""
    for name, paths, kinds in (
        ("knowledge_dirs", settings.knowledge_dirs, (".yaml", ".yml")),
        ("policy_files", settings.policy_files, (".yaml", ".yml")),
        ("intel_files", settings.intel_files, None),
    ):
        for path in paths:
            if path.is_dir() and path != KNOWLEDGE_DIR and not _holds(path, kinds):
                what = "a file" if kinds is None else f"a {' or '.join(kinds)} file"
                yield Check(name, "warning", f"{path} holds nothing that is read", f"put {what} there, or unset {name}")


def _holds(directory: Path, suffixes: tuple[str, ...] | None) -> bool:
    return any(one.is_file() and (suffixes is None or one.suffix in suffixes) for one in directory.rglob("*"))


def _model(settings: Settings) -> Check:
    """Load the model as the daemon does, and measure it."""
    if not settings.model.enabled:
        return Check("model", "warning", "switched off (model.enabled); the rules answer")
    advice = "the rules answer until this is mended"
    try:
        model = open_model(settings)
        with contextlib.closing(model_process(model)) as process:
            loaded_s, speed = process.load(), process.measure()
    except (EngineError, RegistryError) as error:  # what a library says may have many lines
        return Check("model", "problem", " ".join(str(error).split()), advice)
    if not isinstance(model, Model):
        return Check("model", "ok", f"{model.name} at {model.address.text}; it holds an answer to a schema")
    manifest = model.manifest
    detail = (
        f"{model.name} ({manifest.kind}), {settings.model.runtime} on {model.device}, "
        f"{settings.model.threads} threads; loaded in {loaded_s:.1f} s, {speed.prefill:,.0f} tokens/s of a prompt, "
        f"{speed.decode:,.0f} tokens/s of an answer; {model.num_shipped:,} answers come with it"
    )
    if manifest.prompt_version != PROMPT_VERSION:
        return Check(
            "model", "warning", detail,
            f"it was trained on {manifest.prompt_version}, this version asks in {PROMPT_VERSION}: train it again",
        )  # fmt: skip
    return Check("model", "ok", detail)


def _state(settings: Settings) -> Iterator[Check]:
    """Look at what the daemon keeps, and at where records go."""
    if settings.kafka.consumes:
        yield from check_ledgers(settings)
        yield check_verdicts(settings)
    else:
        yield check_ledger(settings.state_dir)
        yield _verdicts(settings)
    if settings.output.enabled:
        yield _output(settings)
    yield _kafka(settings)


def _verdicts(settings: Settings) -> Check:
    """Look whether the log of verdicts is what was written."""
    try:
        log = open_log(settings.state_dir / VERDICTS)
        if not (settings.state_dir / FILE_NAME).exists():
            return Check("verdicts", "ok", "none yet")
        with Ledger.open(settings.state_dir, clock=time.time, read_only=True, exclusive=False) as ledger:
            checked = verify(log, ledger)
        if log is not None:
            log.close()
    except LedgerError as error:
        return Check("verdicts", "problem", str(error))
    if checked.problems:
        advice = "see `sysscan-agent audit verify`; restore a backup: until then no verdict lowers anything"
        return Check("verdicts", "problem", checked.problems[0], advice)
    return Check("verdicts", "ok", f"{checked.head.seq:,}, all as they were written")


def _disks(settings: Settings) -> list[Check]:
    """Look at the file systems of state and output, once where they share one."""
    places: dict[int, Path] = {}
    for wanted in (settings.state_dir, settings.output_path.parent):
        place = next(path for path in (wanted, *wanted.parents) if path.exists())
        places.setdefault(place.stat().st_dev, place)
    return [_disk(place) for place in places.values()]


def _disk(place: Path) -> Check:
    free = shutil.disk_usage(place).free
    detail = f"{free / (1 << 30):.1f} GiB free at {place}"
    if free < _LOW_DISK_BYTES:
        return Check("disk", "warning", detail, "make room: the daemon stops taking reports in when the disk is full")
    return Check("disk", "ok", detail)


def _output(settings: Settings) -> Check:
    directory = settings.output_path.parent
    if directory.exists() and not os.access(directory, os.W_OK | os.X_OK):
        return Check("output", "problem", f"{directory} cannot be written", "change its owner, or choose --output")
    return Check("output", "ok", str(settings.output_path))


def _kafka(settings: Settings) -> Check:
    """Ask the brokers as the daemon would; writes nothing."""
    if not settings.kafka.brokers:
        return Check("kafka", "ok", "not used: kafka.brokers is not set")
    try:
        detail = asyncio.run(kafka_client().probe(settings.kafka))
    except ConfigError as error:
        return Check("kafka", "problem", str(error))
    except SinkError as error:
        return Check(
            "kafka", "problem", str(error), "the daemon runs, and records wait in its ledger until it is mended"
        )
    return Check("kafka", "ok", detail)


def _roots(settings: Settings) -> list[Callable[[Settings], Check]]:
    def look(root: str) -> Callable[[Settings], Check]:
        def check(_: Settings) -> Check:
            path = Path(root)
            if not path.exists():
                return Check("watch", "warning", f"{root} does not exist", "it is watched as soon as it appears")
            if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
                advice = "run as a user who may read it, or give a group to the scanner's output"
                return Check("watch", "problem", f"{root} cannot be read", advice)
            return Check("watch", "ok", root)

        return check

    def nothing(_: Settings) -> Check:
        return Check("watch", "warning", "nothing is watched", "set watch.roots, or start the daemon with --watch")

    return [look(root) for root in settings.watch.roots] or [nothing]
