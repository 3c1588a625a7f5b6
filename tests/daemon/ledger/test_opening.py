"""Opening: the lock, the mode, damage and versions."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.ledger import Ledger, schema
from daemon.ledger.lock import StateLock
from pipeline.errors import LedgerError, LedgerLocked, UnknownSchema
from tests.daemon.ledger.reports import Stream, admit, open_ledger, reject, report, scan

HOLDER = """
import sys, time
from pathlib import Path
from daemon.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]), clock=time.time)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with pytest.raises(LedgerLocked, match=f"process {first.pid} owns"):
            open_ledger(tmp_path)
        first.kill()
    open_ledger(tmp_path).close()  # the lock of the dead is free


def test_looking_and_the_cache_work_beside_a_daemon(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as daemon:
        stream = Stream(daemon, "/w/a")
        stream.append(*scan("x"), b"nonsense")
        with open_ledger(tmp_path, read_only=True) as looking:
            assert looking.status()["scans_waiting"] == 1
            assert len(looking.quarantine.rows()) == 1
            assert looking.fsck() == []
        with open_ledger(tmp_path, exclusive=False) as analyze:
            analyze.analyses.store_analyses({"k": b"v"})
        assert daemon.analyses.cached_analyses(["k"]) == {"k": b"v"}


def test_a_command_beside_the_daemon_may_ask_for_a_retry(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as daemon:
        admit(daemon, rejects=(reject(),))
        with open_ledger(tmp_path, exclusive=False) as command:
            command.quarantine.retry(1)
        assert [known.source.name for known in daemon.files.rereads()] == ["/w/a.json"]


def test_upkeep_does_not_wait_for_a_reader(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as daemon, open_ledger(tmp_path, read_only=True) as looking:
        admit(daemon, report("x"))
        connection = looking.database.connection
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM scans").fetchone()
        daemon.idle()
        admit(daemon, report("x", digest="e"))
        connection.execute("ROLLBACK")
        assert daemon.fsck() == []


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_no_file_is_readable_for_others_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        ledger = open_ledger(tmp_path)
    finally:
        os.umask(before)
    admit(ledger, report("x"))
    names = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.mark", "lock"} == set(names)
    assert {mode & 0o177 for mode in names.values()} == {0}
    assert names["ledger.db"] == names["ledger.db-wal"] == 0o600
    ledger.close()


def test_the_promised_settings_hold(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        connection = ledger.database.connection

        def pragma(name: str) -> object:
            return connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert (pragma("journal_mode"), pragma("synchronous"), pragma("foreign_keys")) == ("wal", 2, 1)
        assert pragma("auto_vacuum") == 2
        strict = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall()
        assert [name for name, is_strict in strict if not is_strict and not name.startswith("sqlite_")] == []


def test_looking_where_there_is_no_ledger_says_so_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger here yet"):
        open_ledger(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_where_there_never_was_a_ledger_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    with open_ledger(tmp_path) as ledger:
        assert ledger.files.known() == []


@pytest.mark.parametrize("lost", ["emptied", "removed"])
def test_a_lost_ledger_is_not_begun_anew_in_silence(tmp_path: Path, lost: str) -> None:
    open_ledger(tmp_path).close()
    (tmp_path / "ledger.db").unlink()
    if lost == "emptied":
        (tmp_path / "ledger.db").touch()
    with pytest.raises(LedgerError, match=r"has had a ledger.*remove ledger\.mark"):
        open_ledger(tmp_path)
    (tmp_path / "ledger.mark").unlink()
    open_ledger(tmp_path).close()


@pytest.mark.parametrize("wal", [b"", b"garbage" * 1000])
def test_an_empty_or_senseless_wal_is_passed_over(tmp_path: Path, wal: bytes) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report("x"))
    (tmp_path / "ledger.db-wal").write_bytes(wal)
    with open_ledger(tmp_path) as ledger:
        assert ledger.fsck() == [] and ledger.work.next_scan() is not None


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"hello" * 2000)
    for options in ({}, {"read_only": True}):
        with pytest.raises(
            LedgerError, match=r"ledger\.db: damaged.*move ledger\.db\* and ledger\.mark away"
        ) as caught:
            open_ledger(tmp_path, **options)
        assert "\n" not in str(caught.value)


def test_a_damaged_page_is_noticed_when_the_daemon_starts(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report(*map(str, range(3000))))
        ledger.idle()
    path = tmp_path / "ledger.db"
    content = bytearray(path.read_bytes())
    for start in range(len(content) // 2 // 4096 * 4096, len(content), 4096):
        content[start : start + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="damaged") as caught:
        open_ledger(tmp_path)
    assert "\n" not in str(caught.value)
    with open_ledger(tmp_path, read_only=True) as looking:
        assert looking.fsck() != []


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(LedgerError, match="not a ledger"):
        open_ledger(tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(UnknownSchema, match="newer version"):
        open_ledger(tmp_path)
    with pytest.raises(UnknownSchema):
        open_ledger(tmp_path, read_only=True)
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
    open_ledger(tmp_path).close()  # nothing was changed, and the lock was given back


def test_an_older_schema_is_migrated_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report("x"))
    first = schema.SCHEMA_VERSION
    monkeypatch.setattr(schema, "SCHEMA_VERSION", first + 2)
    steps = {
        first: lambda connection: connection.execute("CREATE TABLE one (x INTEGER) STRICT"),
        first + 1: lambda connection: connection.execute("CREATE TABLE two (x INTEGER) STRICT"),
    }
    with pytest.raises(UnknownSchema, match="too old"):
        open_ledger(tmp_path, migrations={first: steps[first]})
    with open_ledger(tmp_path, migrations=steps) as ledger:
        assert ledger.status()["schema_version"] == first + 2
        assert ledger.work.next_scan() is not None
        assert ledger.database.connection.execute("SELECT count(*) FROM two").fetchone() == (0,)


def test_a_state_directory_that_cannot_be_made_is_a_ledger_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for exclusive in (True, False):
        with pytest.raises(LedgerError):
            Ledger.open(tmp_path / "file" / "state", clock=lambda: 0.0, exclusive=exclusive)


@pytest.mark.parametrize("tidied", ["removed", "replaced", "moved away", "emptied"])
def test_the_lock_does_not_hang_on_its_file(tmp_path: Path, tidied: str) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        lock = tmp_path / "lock"
        if tidied == "moved away":
            lock.rename(tmp_path / "lock.old")
        elif tidied == "emptied":
            os.truncate(lock, 0)
        else:
            lock.unlink()
        if tidied == "replaced":
            lock.touch()
        for _ in range(2):  # what a refused start leaves behind does not help the next one
            with pytest.raises(LedgerLocked, match="another process owns"):
                open_ledger(tmp_path)
        first.kill()
    open_ledger(tmp_path).close()


def test_a_daemon_of_an_older_version_that_locks_the_file_alone_is_seen(tmp_path: Path) -> None:
    open_ledger(tmp_path).close()
    with (tmp_path / "lock").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LedgerLocked):
            open_ledger(tmp_path)
    open_ledger(tmp_path).close()


def test_analyze_sets_up_a_ledger_while_a_daemon_has_the_state_directory(tmp_path: Path) -> None:
    lock = StateLock.acquire(tmp_path)  # it is about to make its ledger
    with open_ledger(tmp_path, exclusive=False) as analyze:
        analyze.analyses.store_analyses({"k": b"v"})
    lock.release()


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db-shm"])
@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_a_file_that_is_taken_away_is_noticed_before_anything_is_stored_in_it(
    tmp_path: Path, name: str, how: str
) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report("x"))
        ledger.check_in_place()  # the control: all is well
        path = tmp_path / name
        if how == "replaced":
            shutil.copy(path, tmp_path / "restored")
            (tmp_path / "restored").rename(path)
        elif how == "removed":
            path.unlink()
        else:
            path.rename(tmp_path / "elsewhere")
        said = "was replaced" if how == "replaced" else "was removed"
        calls = (ledger.check_in_place, ledger.idle, lambda: admit(ledger, report("y", digest="e")))
        for call in calls:
            with pytest.raises(LedgerError, match=f"{name}: {said}") as caught:
                call()
            assert not caught.value.transient and "\n" not in str(caught.value)


def test_a_state_directory_that_is_moved_is_noticed(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "state") as ledger:
        admit(ledger, report("x"))
        (tmp_path / "state").rename(tmp_path / "other")
        with pytest.raises(LedgerError, match="was removed"):
            ledger.check_in_place()
