"""Full and failing disks, power cuts, and a process that dies between any two transactions."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ledger.database import RESERVE_BYTES, Database
from daemon.ports.inputs import Admitted
from daemon.ports.work import Reviewable
from pipeline.errors import LedgerError
from tests.daemon.ledger.reports import SINK, Stream, admit, drain, finding, open_ledger, report, scan, work_off

FRAME = 24 + 4096  # of a WAL, after its header of 32 bytes


def test_a_full_disk_is_one_line_nothing_is_stored_and_the_caller_may_try_again(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        connection = ledger.database.connection
        stream = Stream(ledger, "/w/a")
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        before = list(connection.iterdump())
        with pytest.raises(LedgerError, match="disk is full; free some space") as caught:
            stream.append(*scan(*map(str, range(1000))))
        assert "\n" not in str(caught.value)
        assert list(connection.iterdump()) == before and ledger.fsck() == []
        connection.execute(f"PRAGMA max_page_count = {pages + 10000}")
        assert stream.read_from(0) == Admitted(scans=1, findings=1000)


@pytest.mark.parametrize("operation", ["commit_batch", "finish_scan", "delivered", "idle"])
def test_no_transaction_leaves_anything_behind_when_it_fails(
    tmp_path: Path, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last statement fails, as COMMIT does on a failing disk."""
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        admit(ledger, report("a", "b"))
        closed = ledger.work.next_scan()
        assert closed is not None
        one, two = ledger.work.plan(closed.scan_no, 1)
        ledger.work.commit_batch(one, [("k1", "low", True, b"1")])
        rows = [("k2", "low", True, b"2")]
        if operation == "finish_scan":
            ledger.work.commit_batch(two, rows)
        calls: dict[str, Callable[[], object]] = {
            "commit_batch": lambda: ledger.work.commit_batch(two, rows),
            "finish_scan": lambda: ledger.work.finish_scan(closed, b"r", [], [], "p"),
            "delivered": lambda: ledger.outbox.delivered(SINK, 1),
            "idle": ledger.idle,
        }
        real = ledger.database.connection
        before = list(real.iterdump())
        monkeypatch.setattr(ledger.database, "connection", FailingCommit(real))
        with pytest.raises(LedgerError, match="the disk is failing"):
            calls[operation]()
        monkeypatch.setattr(ledger.database, "connection", real)
        assert not real.in_transaction
        assert list(real.iterdump()) == before and ledger.fsck() == []
        calls[operation]()
        work_off(ledger)
        assert drain(ledger)[-2 + (operation == "delivered") :] in ([b"1", b"b"], [b"1", b"2"], [b"b"])


class FailingCommit:
    """A connection whose disk fails at the moment of commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error
        return self._connection.execute(statement, *values)  # type: ignore[arg-type]


def test_a_directory_that_became_read_only_is_a_ledger_error(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.database.connection.execute("PRAGMA query_only = ON")
        with pytest.raises(LedgerError, match="not writable"):
            ledger.analyses.store_analyses({"k": b"v"})


def history(ledger: Ledger) -> list[Callable[[], object]]:
    """Give a life of many transactions."""
    stream = Stream(ledger, "/w/a")
    other = Stream(ledger, "/w/b")

    def retry() -> None:
        ledger.quarantine.retry(ledger.quarantine.rows()[0].id)

    return [
        lambda: ledger.outbox.register(SINK),
        lambda: stream.append(*scan("a", "b", emitted=4), b"nonsense"),
        lambda: admit(ledger, report("x", "y", "z")),
        lambda: stream.append(finding("c"), finding("d"), *scan("e", emitted=2)),
        lambda: other.append(*scan("a", "b", "c", "d")),
        lambda: work_off(ledger, 2),
        lambda: drain(ledger),
        stream.close,
        retry,
        stream.read_anew,
        lambda: ledger.analyses.store_analyses({"k": b"v" * 5000}),
        lambda: work_off(ledger, 1),
        lambda: ledger.inputs.drop(other.state.input_id),
        lambda: ledger.outbox.prune(),
    ]


def test_a_power_cut_leaves_a_whole_number_of_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much of the WAL the disk had, what is found is a state that there once was; more WAL, no older state."""
    alive = tmp_path / "alive"
    with open_ledger(alive) as ledger:
        connection = ledger.database.connection
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        main = (alive / "ledger.db").read_bytes()
        states = [tuple(connection.iterdump())]
        write = Database.write

        @contextmanager
        def recorded(database: Database, more: int = 0) -> Iterator[sqlite3.Connection]:
            with write(database, more) as lent:
                yield lent
            states.append(tuple(lent.iterdump()))

        monkeypatch.setattr(Database, "write", recorded)
        for act in history(ledger):
            act()
        monkeypatch.undo()
        wal = (alive / "ledger.db-wal").read_bytes()
    known = {state: index for index, state in reversed(list(enumerate(states)))}
    assert len(known) > 25
    reached: set[int] = set()
    latest = 0
    cuts = sorted({*range(0, len(wal), 2 * FRAME + 1111), *range(32, len(wal) + 1, FRAME)})
    for number, cut in enumerate(cuts):
        for tail in (b"", b"\0" * 3000, b"\xa5" * 9000)[: 1 if number % 6 else 3]:
            state = state_after_power_cut(tmp_path / "dead", main, wal[:cut] + tail)
            assert state in known
            assert tail or known[state] >= latest
            latest = max(latest, known[state])
            reached.add(known[state])
    assert reached == set(known.values())


def state_after_power_cut(directory: Path, main: bytes, wal: bytes) -> tuple[str, ...]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "ledger.mark").touch()
    (directory / "ledger.db").write_bytes(main)
    (directory / "ledger.db-wal").write_bytes(wal)
    with open_ledger(directory) as found:
        assert found.fsck() == []
        return tuple(found.database.connection.iterdump())


class Disk:
    """What `os.statvfs` says of a disk of a thousand MiB."""

    f_frsize = 4096
    f_blocks = 256_000

    def __init__(self, free: int) -> None:
        self.f_bavail = free // self.f_frsize


def test_a_disk_that_fills_up_keeps_room_to_deliver_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that cannot be folded into the file for want of room cannot be shortened either."""
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        stream = Stream(ledger, "/w/a")
        stream.append(*scan("a", "b"))
        work_off(ledger)
        stream.append(*scan("c", "d", emitted=3))
        monkeypatch.setattr("os.statvfs", lambda path: Disk(RESERVE_BYTES))
        before = list(ledger.database.connection.iterdump())
        grows: tuple[Callable[[], object], ...] = (
            lambda: admit(ledger, report("x")),
            lambda: stream.append(finding("e")),
        )
        for more in grows:
            with pytest.raises(LedgerError, match="full but for what is needed to deliver") as caught:
                more()
            assert caught.value.transient
        assert list(ledger.database.connection.iterdump())[-3:] == before[-3:]
        assert drain(ledger) == [b"a", b"b"]  # this is what the room is for
        assert ledger.outbox.prune() == 3
        ledger.make_room()
        monkeypatch.setattr("os.statvfs", lambda path: Disk(2 * RESERVE_BYTES))
        stream.read_from(0)


def reviewable(number: int) -> Reviewable:
    return Reviewable(
        fingerprint=f"{number:032x}", situation=f"{number % 7:032x}", said=b"{}", class_id="suid.other",
        scanner="suid_sgid", status="confirmed", level="low", score=30, profile="p", keys=(f"{number:032x}",),
        line=b"x" * 1500,
    )  # fmt: skip


def keep_for_reviews(ledger: Ledger, count: int) -> None:
    admit(ledger, report("a", digest="0"))
    closed = ledger.work.next_scan()
    assert closed is not None
    (batch,) = ledger.work.plan(closed.scan_no, 1)
    ledger.work.commit_batch(batch, [("k", "low", True, b"a")], [reviewable(number) for number in range(count)])
    ledger.work.finish_scan(closed, b"r", [], [], "p")


def test_what_is_kept_for_reviews_gives_way_to_what_is_to_be_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        keep_for_reviews(ledger, 4_000)
        drain(ledger)
        while ledger.idle():
            pass
        size = ledger.database.path.stat().st_size
        # What the file gives back is free, as on a disk.
        monkeypatch.setattr(
            "os.statvfs",
            lambda path: Disk(RESERVE_BYTES + (64 << 10) + size - ledger.database.path.stat().st_size),
        )
        assert ledger.make_room() == 0  # nothing was refused yet
        stream = Stream(ledger, "/w/a")
        with pytest.raises(LedgerError, match="full but for what is needed to deliver"):
            stream.append(*scan(*("y" * 1000 + str(number) for number in range(1000))))
        assert 100 <= ledger.make_room() < 4_000  # the oldest, no more than needed
        assert stream.read_from(0) == Admitted(scans=1, findings=1000)
        assert ledger.make_room() == 0
        assert ledger.fsck() == []


def test_what_is_kept_for_reviews_stays_where_something_else_than_room_is_missing(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        keep_for_reviews(ledger, 200)
        real = ledger.database.connection
        ledger.database.connection = FailingCommit(real)  # type: ignore[assignment]
        with pytest.raises(LedgerError, match="the disk is failing"):
            admit(ledger, report("x", digest="1"))
        ledger.database.connection = real
        assert ledger.make_room() == 0


def test_what_the_log_still_holds_counts_as_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.make_room()
        monkeypatch.setattr("os.statvfs", lambda path: Disk(RESERVE_BYTES + 700_000))
        admit(ledger, report(*("x" * 1000 + str(number) for number in range(100))))
        with pytest.raises(LedgerError, match="full but for"):
            admit(ledger, report("y", digest="e"), path="/w/b.json")
        ledger.make_room()  # folds it in
        admit(ledger, report("y", digest="e"), path="/w/c.json")


def test_a_ledger_is_opened_and_looked_at_without_writing_anything(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.keep_only(["one"])
        admit(ledger, report("x"))
        connection = ledger.database.connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with open_ledger(tmp_path, exclusive=False) as again:  # as a start does
            again.outbox.keep_only(["one"])
            again.outbox.register("one")
        assert (tmp_path / "ledger.db-wal").stat().st_size == 0
