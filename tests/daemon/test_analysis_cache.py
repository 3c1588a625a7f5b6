"""The cache of `analyze`: the ledger where it is one's own, memory elsewhere, never a reason to stop."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon import analysis_cache
from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME

ROWS = {"a" * 32: b"one", "b" * 32: b"two"}


def clock() -> float:
    return 1_800_000_000.0


def test_answers_are_shared_with_a_daemon_that_is_running(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, clock=clock) as daemons:
        with analysis_cache.analysis_cache(tmp_path) as cache:
            cache.store_analyses(ROWS)
        assert daemons.analyses.cached_analyses(list(ROWS)) == ROWS


def test_a_ledger_of_which_nothing_is_wanted_is_not_opened(tmp_path: Path) -> None:
    with analysis_cache.analysis_cache(tmp_path / "state"):
        pass
    assert not (tmp_path / "state").exists()


def test_a_user_gets_a_ledger_of_his_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    state = tmp_path / "new"
    with analysis_cache.analysis_cache(state) as cache:
        cache.store_analyses(ROWS)
    monkeypatch.undo()
    with Ledger.open(state, clock=clock) as ledger:
        assert ledger.analyses.cached_analyses(list(ROWS)) == ROWS


def test_root_makes_no_ledger_that_the_service_could_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(analysis_cache, "SERVICE_STATE", tmp_path / "state")
    with analysis_cache.analysis_cache(tmp_path / "state") as cache:
        cache.store_analyses(ROWS)
        assert cache.cached_analyses(["a" * 32, "c" * 32]) == {"a" * 32: b"one"}
    assert not (tmp_path / "state").exists()
    with analysis_cache.analysis_cache(tmp_path / "elsewhere") as cache:
        cache.store_analyses(ROWS)
    assert (tmp_path / "elsewhere" / FILE_NAME).exists()


def test_the_ledger_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(tmp_path, clock=clock):
        pass
    before = sorted(path.name for path in tmp_path.iterdir())
    somebody = (tmp_path / FILE_NAME).stat().st_uid + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    with analysis_cache.analysis_cache(tmp_path) as cache:
        cache.store_analyses(ROWS)
        assert cache.cached_analyses(list(ROWS)) == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_ledger_that_cannot_be_used_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 100)
    with analysis_cache.analysis_cache(tmp_path) as cache:
        cache.store_analyses(ROWS)
        assert cache.cached_analyses(list(ROWS)) == ROWS


def test_a_ledger_that_fails_on_the_way_is_no_reason_to_stop(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, clock=clock):
        pass
    with analysis_cache.analysis_cache(tmp_path) as cache:
        cache.store_analyses({"a" * 32: b"one"})
        harm(tmp_path)
        cache.store_analyses({"b" * 32: b"two"})
        assert cache.cached_analyses(["b" * 32]) == {"b" * 32: b"two"}
    with analysis_cache.analysis_cache(tmp_path) as cache:
        assert cache.cached_analyses(list(ROWS)) == {}


def harm(state: Path) -> None:
    with closing(sqlite3.connect(state / FILE_NAME)) as connection, connection:
        connection.execute("DROP TABLE analyses")


def test_a_state_directory_below_one_that_is_closed_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **options: bool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with analysis_cache.analysis_cache(tmp_path / "closed" / "state") as cache:
        cache.store_analyses(ROWS)
        assert cache.cached_analyses(list(ROWS)) == ROWS


def test_a_ledger_of_another_schema_is_not_migrated(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, clock=clock):
        pass
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version - 1}")
    connection.close()
    with analysis_cache.analysis_cache(tmp_path) as cache:
        cache.store_analyses(ROWS)
        assert cache.cached_analyses(list(ROWS)) == ROWS
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone() == (version - 1,)
    connection.close()
