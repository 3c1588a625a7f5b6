"""The model's process before the first question: begun where every question will be for it, and never left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.ahead import opened_ahead
from daemon.inference import ModelProcess
from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.settings import LEDGER_NAME, ModelSettings, Settings
from pipeline.models.embedded import EMBEDDED_MODEL
from tests.pipeline.engine.model_server import serving

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests" / "data" / "scans" / "micro-hardening.json"
LIMIT_S = 60.0


def settings(tmp_path: Path, **model: Any) -> Settings:
    return Settings(state_dir=tmp_path / "state", model=ModelSettings(**model))


def begins(process: ModelProcess | None) -> bool:
    assert process is not None
    return process.pid is not None


def keep(state: Path, answers: dict[str, bytes]) -> None:
    with Ledger.open(state, clock=lambda: 1_800_000_000.0) as ledger:
        ledger.analyses.store_analyses(answers)


def test_the_process_is_begun_where_no_answer_is_shipped_or_kept_and_ends_with_the_run(tmp_path: Path) -> None:
    with opened_ahead(settings(tmp_path, shipped=False)) as process:
        assert begins(process) and process is not None
        pid = process.pid
    assert not Path(f"/proc/{pid}").exists()
    keep(tmp_path / "state", {})
    with opened_ahead(settings(tmp_path, shipped=False)) as process:
        assert begins(process), "a ledger without answers"
    with opened_ahead(Settings(model=ModelSettings(shipped=False, path=EMBEDDED_MODEL))) as process:
        assert begins(process), "no place for a ledger"


def test_it_is_not_begun_where_answers_are_shipped_or_kept(tmp_path: Path) -> None:
    with opened_ahead(settings(tmp_path)) as process:
        assert not begins(process)
    keep(tmp_path / "state", {"a" * 32: b"one"})
    with opened_ahead(settings(tmp_path, shipped=False)) as process:
        assert not begins(process)


def test_looking_for_kept_answers_changes_nothing_and_leaves_another_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    keep(state, {"a" * 32: b"one"})
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    with opened_ahead(settings(tmp_path, shipped=False)):
        pass
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with opened_ahead(settings(tmp_path, shipped=False)) as process:
        assert begins(process), "his answers are not for us, and ours are kept in memory"
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


def test_an_answer_that_a_running_daemon_has_just_kept_is_seen(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "state", clock=lambda: 1_800_000_000.0) as ledger:
        ledger.analyses.store_analyses({"a" * 32: b"one"})
        with opened_ahead(settings(tmp_path, shipped=False)) as process:
            assert not begins(process)


def test_a_ledger_that_cannot_be_read_is_no_reason_to_begin(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE_NAME).write_bytes(b"no database" * 100)
    with opened_ahead(settings(tmp_path, shipped=False)) as process:
        assert not begins(process)


def test_there_is_nothing_to_begin_without_a_model_that_can_be_used_and_for_a_server(tmp_path: Path) -> None:
    for model in ({"enabled": False}, {"path": tmp_path / "none"}):
        with opened_ahead(settings(tmp_path, **model)) as process:
            assert process is None
    with serving() as server, opened_ahead(settings(tmp_path, endpoint=server.address)) as process:
        assert not begins(process)


def test_the_name_of_the_ledger_is_that_of_the_ledger() -> None:
    assert LEDGER_NAME == FILE_NAME


# `analyze`


def servers(session: int) -> list[int]:
    """List the processes of a model in a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            of = int((path / "stat").read_text().rpartition(")")[2].split()[3])
            if of == session and b"pipeline.engine.serve" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def analyze(tmp_path: Path, *arguments: str, shipped: bool = False) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `analyze` in a session of its own."""
    environment = {**os.environ, "SYSSCAN_MODEL__SHIPPED": str(shipped).lower()}
    with subprocess.Popen(
        [sys.executable, "-c", "from daemon.cli.app import main; main()", "analyze", *arguments,
         "--state-dir", str(tmp_path / "state")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_analyze_before_a_question_ends_the_process_too(number: int, tmp_path: Path) -> None:
    with analyze(tmp_path, "-") as process:  # which waits for its report
        until(lambda: servers(process.pid))
        os.kill(process.pid, number)
        process.wait(LIMIT_S)
        until(lambda: not servers(process.pid))


def test_a_run_that_finds_its_answers_with_the_model_begins_no_process(tmp_path: Path) -> None:
    with analyze(tmp_path, "-", shipped=True) as process:
        until(lambda: b"libsqlite3" in Path(f"/proc/{process.pid}/maps").read_bytes())  # imported after the model
        assert servers(process.pid) == []
        output, _ = process.communicate(REPORT.read_bytes(), LIMIT_S)
    assert process.returncode == 0 and b'"origin":"model"' in output


def test_a_run_that_fails_over_its_options_or_its_input_leaves_no_process(tmp_path: Path) -> None:
    for arguments, code in ((["-", "--json", "--format", "csv"], 2), ([str(tmp_path / "none.json")], 1)):
        with analyze(tmp_path, *arguments) as process:
            process.communicate(timeout=LIMIT_S)
            assert (process.returncode, servers(process.pid)) == (code, [])


def test_the_bytes_are_those_of_a_process_that_the_first_question_starts(tmp_path: Path) -> None:
    said = []
    for name in ("ahead", "later"):
        place = tmp_path / name
        if name == "later":
            keep(place / "state", {"a" * 32: b"{}"})
        with analyze(place, str(REPORT)) as process:
            output, errors = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, errors) == (0, b"")
        said.append(output)
    assert said[0] == said[1] and b'"origin":"model"' in said[0]
