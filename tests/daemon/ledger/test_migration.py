"""A ledger that version 0.1 has made becomes one of today: nothing is lost, nothing comes twice."""

import gzip
import json
import shutil
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from daemon.ledger import Ledger, migrations, reviewing, schema, settling
from daemon.ports.files import KIND
from daemon.sources.directory.identity import birth_ns
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.state import Samples, file_state
from daemon.sources.directory.sweep import Sweeper
from pipeline.errors import LedgerError
from pipeline.report.limits import Limits
from tests.daemon.cli.invoke import in_a_process
from tests.daemon.ledger.reports import drain, open_ledger, work_off
from tests.daemon.sources.world import META, lines, report

OLD = Path(__file__).parents[2] / "data" / "ledgers" / "schema-1.db"
TABLES = ("inputs", "files", "scans", "claims", "places", "quarantine", "inbox", "batches", "outbox", "baseline")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory as an older version left it."""
    directory = tmp_path / "state"
    directory.mkdir()
    shutil.copy(OLD, directory / "ledger.db")
    (directory / "ledger.mark").touch()
    return directory


def rows(directory: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(directory / "ledger.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_everything_is_still_known(state: Path) -> None:
    before = {
        table: rows(state, f"SELECT * FROM {table}")
        for table in ("inbox", "batches", "keys", "outbox", "sinks", "baseline", "analyses", "counters")
    }
    scans = rows(state, "SELECT scan, scan_no, state, file_id, source, scan_id, n, findings FROM scans")
    pieces = rows(state, "SELECT id, key, file_id, state, seen FROM quarantine")
    claims = rows(state, "SELECT file_id, scan FROM claims ORDER BY 1, 2")
    files = rows(state, "SELECT file_id, CAST(path AS BLOB), kind, offset FROM files WHERE path <> x'2d'")
    with open_ledger(state) as ledger:
        assert ledger.fsck() == []
        execute = ledger.database.connection.execute
        for table, content in before.items():
            assert execute(f"SELECT * FROM {table}").fetchall() == content
        columns = "SELECT scan, scan_no, state, input_id, source, scan_id, n, findings FROM scans"
        assert execute(columns).fetchall() == scans
        assert execute("SELECT id, key, input_id, state, seen FROM quarantine").fetchall() == pieces
        assert execute("SELECT input_id, scan FROM claims ORDER BY 1, 2").fetchall() == claims
        known = [file_state(known) for known in ledger.files.known()]
        assert [(file.input_id, file.kind, 0 if file.anew else file.offset) for file in known] == [
            (number, kind, 0 if kind == "document" or known[at].anew else offset)
            for at, (number, _, kind, offset) in enumerate(files)
        ]
        assert [source.name for source in ledger.inputs.known("stdin")] == ["-"]
        assert len(ledger.files.rereads()) == 1


def test_the_tables_are_those_of_a_new_ledger(state: Path, tmp_path: Path) -> None:
    with open_ledger(state) as old, open_ledger(tmp_path / "new") as new:
        for table in TABLES:
            for pragma in ("table_info", "foreign_key_list", "index_list"):
                found, expected = (
                    sorted(
                        tuple(value for at, value in enumerate(row) if at or pragma == "foreign_key_list")
                        for row in ledger.database.connection.execute(f"PRAGMA {pragma}({table})").fetchall()
                    )
                    for ledger in (old, new)
                )
                assert found == expected, (table, pragma)


def test_what_waits_comes_out_once(state: Path) -> None:
    waiting = rows(state, "SELECT coalesce(sum(findings), 0) FROM scans WHERE state = 'closed'")[0][0]
    done = rows(state, "SELECT coalesce(sum(last - first), 0) FROM batches WHERE done")[0][0]
    sink, delivered = rows(state, "SELECT name, delivered FROM sinks")[0]
    pending = rows(state, f"SELECT count(*) FROM outbox WHERE kind = 'finding' AND position > {delivered}")[0][0]
    assert isinstance(waiting, int) and isinstance(done, int) and isinstance(pending, int) and waiting > done
    with open_ledger(state) as ledger:
        work_off(ledger)
        assert len(drain(ledger, str(sink))) == pending + waiting - done
        assert ledger.fsck() == []


class _Breaking:
    """A connection that fails before its statement number `at`."""

    def __init__(self, connection: sqlite3.Connection, at: int, crash: object) -> None:
        self._connection = connection
        self._left = at
        self._crash = crash

    def execute(self, *arguments: object) -> sqlite3.Cursor:
        if self._left == 0:
            self._crash()  # type: ignore[operator]
            raise sqlite3.OperationalError("disk I/O error")
        self._left -= 1
        return self._connection.execute(*arguments)  # type: ignore[arg-type]


def test_a_crash_at_any_statement_leaves_the_old_one_and_the_next_start_migrates(state: Path, tmp_path: Path) -> None:
    """Both a statement that fails, and a process that ends just before it."""
    clean = tmp_path / "clean"
    shutil.copytree(state, clean)
    with open_ledger(clean) as ledger:
        expected = list(ledger.database.connection.iterdump())
    before = dump(state)
    for at in range(200):
        dead = tmp_path / f"dead{at}"

        def crash(dead: Path = dead) -> None:
            shutil.copytree(state, dead)

        def step(connection: sqlite3.Connection, at: int = at, crash: object = crash) -> None:
            migrations.to_3(_Breaking(connection, at, crash))  # type: ignore[arg-type]

        try:
            rest = {3: migrations.to_4, 4: reviewing.migrate}
            with open_ledger(state, migrations={1: settling.make_tables, 2: step, **rest}):
                break
        except LedgerError:
            pass
        for directory in (state, dead):
            copy = tmp_path / f"copy{at}{directory.name}"
            shutil.copytree(directory, copy)
            assert dump(copy) == before
            with open_ledger(copy) as ledger:
                assert list(ledger.database.connection.iterdump()) == expected
    assert at > 40


def dump(directory: Path) -> list[str]:
    connection = sqlite3.connect(directory / "ledger.db")
    try:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        return list(connection.iterdump())
    finally:
        connection.close()


def test_an_older_version_is_told_that_the_ledger_is_newer(state: Path) -> None:
    open_ledger(state).close()
    assert rows(state, "PRAGMA user_version") == [(schema.SCHEMA_VERSION,)]


# Reading on


class Watched:
    """A directory whose files version 0.1 knows; `connection` is to its ledger before it is migrated."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root = root
        root.mkdir()
        self.state = state
        self.connection = sqlite3.connect(state / "ledger.db")

    def knows(self, input_id: int, name: str, content: bytes, consumed: int, *, head: bool = True) -> Path:
        path = self.root / name
        path.write_bytes(content)
        with path.open("rb") as file:
            born = birth_ns(file.fileno())
        status = path.stat()
        length = min(1024, consumed) if head else 0
        self.connection.execute(
            "UPDATE files SET path = ?, device = ?, inode = ?, birth_ns = ?, offset = ?, head_length = ?,"
            " head_digest = ?, tail_digest = ? WHERE file_id = ?",
            (
                str(path).encode(),
                status.st_dev,
                status.st_ino,
                born,
                consumed,
                length,
                sha256(content[:length]).hexdigest(),
                sha256(content[:consumed][-256:]).hexdigest(),
                input_id,
            ),
        )
        return path

    def sweep(self, ledger: Ledger) -> None:
        now = [1000.0]
        settings = WatchSettings(roots=(str(self.root),))
        sweeper = Sweeper(ledger.inputs, ledger.files, Limits(), settings, clock=lambda: now[0], wall_ns=lambda: 0)
        for _ in range(4):
            sweeper.sweep()
            now[0] += 100
        sweeper.close_files()


@pytest.fixture
def watched(tmp_path: Path, state: Path) -> Iterator[Watched]:
    directory = Watched(tmp_path / "in", state)
    yield directory
    directory.connection.close()


OPEN_INPUT, OPEN_SCAN, DONE_DOCUMENT = 9, 7, 1


@pytest.mark.parametrize("way", ["in place", "compressed", "without a head"])
def test_a_stream_is_read_on_where_version_0_1_stopped(watched: Watched, way: str) -> None:
    consumed = META + lines("one", "two")
    content = consumed + lines("three", "four")
    path = watched.knows(OPEN_INPUT, "a.ndjson", content, len(consumed), head=way != "without a head")
    watched.connection.commit()
    if way == "compressed":
        (watched.root / "a.ndjson.1.gz").write_bytes(gzip.compress(content))
        path.unlink()
    with open_ledger(watched.state) as ledger:
        before = ledger.database.connection.execute("SELECT count(*) FROM inbox").fetchone()[0]
        scans = ledger.database.connection.execute("SELECT count(*) FROM scans").fetchone()[0]
        watched.sweep(ledger)
        after = ledger.database.connection.execute("SELECT count(*) FROM inbox").fetchone()[0]
        assert after == before + 2
        assert ledger.database.connection.execute("SELECT count(*) FROM scans").fetchone()[0] - scans <= 1
        (file,) = [file_state(known) for known in ledger.files.known() if known.source.input_id == OPEN_INPUT]
        assert (file.samples, file.offset) == (None, len(content))
        assert ledger.fsck() == []


def test_what_only_ended_alike_is_not_taken_for_it(watched: Watched) -> None:
    """Version 0.1 could store a position before the head that vouches for it."""
    consumed = META + lines(*map(str, range(30)))
    path = watched.knows(OPEN_INPUT, "a.ndjson", consumed, len(consumed), head=False)
    watched.connection.commit()
    path.unlink()
    other = consumed.replace(b'"hostname":"vm"', b'"hostname":"vn"')
    (watched.root / "b.ndjson").write_bytes(other)
    with open_ledger(watched.state) as ledger:
        watched.sweep(ledger)
        hosts = ledger.database.connection.execute("SELECT findings FROM scans WHERE host = 'vn'").fetchall()
        assert hosts == [(30,)]


def test_a_document_that_was_read_is_not_read_again(watched: Watched) -> None:
    content = report("1")
    watched.knows(DONE_DOCUMENT, "done.json", content, 0)
    digest = sha256(content).hexdigest()
    watched.connection.execute("UPDATE files SET digest = ? WHERE file_id = ?", (digest, DONE_DOCUMENT))
    watched.connection.commit()
    with open_ledger(watched.state) as ledger:
        scans = ledger.database.connection.execute("SELECT count(*) FROM scans").fetchone()
        watched.sweep(ledger)
        assert ledger.database.connection.execute("SELECT count(*) FROM scans").fetchone() == scans
        assert DONE_DOCUMENT in [known.source.input_id for known in ledger.files.known()]


def test_the_whole_daemon_goes_on_with_it(watched: Watched, tmp_path: Path) -> None:
    consumed = META + lines("one", "two")
    watched.knows(OPEN_INPUT, "a.ndjson", consumed + lines("three", "four"), len(consumed))
    waiting = watched.connection.execute(
        "SELECT (SELECT coalesce(sum(findings), 0) FROM scans WHERE state <> 'done' AND source <> x'2d')"
        " - (SELECT coalesce(sum(last - first), 0) FROM batches WHERE done)"
        " + (SELECT count(*) FROM outbox WHERE kind = 'finding' AND position > (SELECT min(delivered) FROM sinks))"
    ).fetchone()[0]
    output = tmp_path / "out.ndjson"
    watched.connection.execute("DELETE FROM sinks WHERE delivered > (SELECT min(delivered) FROM sinks)")
    watched.connection.execute("UPDATE sinks SET name = ?", (f"file:{output}",))
    watched.connection.execute("UPDATE scans SET source = CAST('/w/a.ndjson' AS BLOB)")
    watched.connection.execute("UPDATE outbox SET line = CAST('{\"schema\":\"' || kind || '\"}' AS BLOB)")
    watched.connection.commit()
    for _ in range(2):
        ended = in_a_process(
            "run", "--once", "--watch", str(watched.root), "--state-dir", str(watched.state), "--output", str(output),
            SYSSCAN_MODEL__ENABLED="false",
        )  # fmt: skip
        assert ended.code in (0, 1), ended.err
        assert "Traceback" not in ended.err, ended.err[-1500:]
    said = [json.loads(line)["schema"] for line in output.read_bytes().splitlines()]
    assert said.count("sysscan.enriched/1") + said.count("finding") == waiting + 2
    ids = [json.loads(line)["finding"]["id"] for line in output.read_bytes().splitlines() if b'"finding":{' in line]
    assert [ids.count(name) for name in ("one", "two", "three", "four")] == [0, 0, 1, 1]
    with open_ledger(watched.state) as ledger:
        assert ledger.fsck() == []
        assert ledger.work.next_scan() is None


def test_a_position_of_version_0_1_is_kept_until_the_file_is_read(state: Path) -> None:
    with open_ledger(state) as ledger:
        (file,) = [file_state(known) for known in ledger.files.known() if known.source.input_id == OPEN_INPUT]
        assert file.samples == Samples(281, 0, "", file.samples.tail_digest if file.samples else "")
        assert file_state(next(known for known in ledger.files.known() if known.source.input_id == OPEN_INPUT)) == file
        source = file.as_input()
        ledger.inputs.admit_records(source, [])
        (again,) = [file_state(known) for known in ledger.files.known() if known.source.input_id == OPEN_INPUT]
        assert again == file
        assert source.kind == KIND
