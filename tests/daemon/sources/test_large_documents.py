"""Large documents: taken in beside everything else, in order, whatever becomes of the process or of the file."""

import asyncio
import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.parser import DocumentParser
from daemon.ports.source import Taken
from daemon.sources import documents
from daemon.sources.directory import documents as directory_documents
from daemon.sources.directory import reading
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.source import ReportDirectory
from daemon.sources.directory.sweep import Sweeper
from daemon.sources.directory.tracked import SweepResult
from pipeline.report.limits import Limits
from tests.daemon.sources.world import report, stream

SCANS = Path(__file__).parents[2] / "data" / "scans"
FAULTY = Path(__file__).parents[1] / "faulty_parser.py"
NAMES = [f"f{number}" for number in range(9)]
LARGE = 1_500  # bytes: a report of `NAMES`
Closed = list[tuple[str, list[str]]]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little count as much, so that a document of nine findings has many steps."""
    for module in (documents, directory_documents, reading):
        monkeypatch.setattr(module, "LARGE_BYTES", 1_000)
    monkeypatch.setattr(documents, "_STORED_ROWS", 2)
    monkeypatch.setattr("pipeline.report.pieces._ROWS", 2)


class Yard:
    """A directory that is swept into a real ledger, step by step, by a process that may end at any of them."""

    def __init__(self, base: Path, parser: DocumentParser | None = None, **settings: object) -> None:
        self.root = base / "in"
        self.root.mkdir(parents=True)
        self.state = base / "state"
        self.settings = WatchSettings.model_validate({"roots": (str(self.root),), **settings})
        self.parser = parser
        self.now = 1000.0
        self.written = 0
        self.blocked = False
        self.open()

    def open(self) -> None:
        self.ledger = Ledger.open(self.state, clock=lambda: 0.0)
        self.sweeper = Sweeper(
            self.ledger.inputs, self.ledger.files, Limits(), self.settings,
            clock=lambda: self.now, wall_ns=lambda: 0, blocked=lambda: self.blocked, parser=self.parser,
        )  # fmt: skip

    def crash(self) -> None:
        self.sweeper.close_files()
        self.ledger.close()
        self.open()

    def write(self, name: str, data: bytes) -> Path:
        """Write a file that is newer than those before."""
        path = self.root / name
        path.write_bytes(data)
        self.written += 1
        os.utime(path, ns=(self.written * 10**9, self.written * 10**9))
        return path

    def begin(self) -> SweepResult:
        """Sweep once, and leave the large document that it came to in hand."""
        result = SweepResult()
        for _ in self.sweeper.steps(None, result):
            if self.sweeper.holding:
                break  # all that is left to do is to wait
        return result

    def go_on(self, steps: int = 1 << 30) -> int:
        """Make steps of the document in hand; returns how many there were."""
        made = 0
        while made < steps and self.sweeper.go_on(SweepResult()):
            self.sweeper.documents.rest_here()
            made += 1
        return made

    def until_hosts_are_known(self) -> None:
        turns = self.sweeper._reader.turns
        while turns.in_hand is not None and turns.in_hand.hosts is None:
            self.go_on(1)

    def settle(self) -> None:
        for _ in range(3):
            self.sweeper.sweep()
            self.now += 70
        while self.ledger.work.settle():
            pass
        assert self.ledger.fsck() == []
        rows = self.ledger.database.connection.execute("SELECT count(*) FROM staging").fetchone()
        assert rows == (0,)

    def closed(self) -> Closed:
        """Give host and finding ids of every scan, in the order of closing."""
        rows = self.ledger.database.connection.execute(
            "SELECT scan_no, host FROM scans WHERE scan_no IS NOT NULL ORDER BY scan_no"
        ).fetchall()
        return [(host, [one.id for one in self.ledger.work.findings(number)]) for number, host in rows]

    def reasons(self) -> list[str]:
        return [row.reason for row in self.ledger.quarantine.rows()]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.ledger.close()


def faulty(directory: Path, mode: str, **limits: float) -> DocumentParser:
    directory.mkdir(exist_ok=True)
    command = [sys.executable, "-P", str(FAULTY), mode, str(directory)]
    return DocumentParser(Limits.model_validate(limits), command=command)


def host_report(host: str, *names: str, at: int = 0) -> bytes:
    made = json.loads(report(*names, host=host))
    made["summary"]["started_at"] = f"2026-11-02T02:10:{at:02d}Z"
    return json.dumps(made).encode()


def outcome(yard: Yard) -> dict[str, list[object]]:
    """Say all that came of a directory: of each host its scans, in order, and all that was refused."""
    rows = yard.ledger.database.connection.execute(
        "SELECT scan_no, host, scan_id, complete, findings, rejected, bytes, as_of, source FROM scans"
        " WHERE scan_no IS NOT NULL ORDER BY scan_no"
    ).fetchall()
    found: dict[str, list[object]] = {}
    for number, host, *said, source in rows:
        ids = [one.id for one in yard.ledger.work.findings(number)]
        found.setdefault(host, []).append((*said, Path(os.fsdecode(source)).name, ids))
    found["refused"] = [
        *sorted(
            (
                Path(row.source).name,
                row.reason,
                row.detail,
                str(row.offset),
                str(row.path),
                str(row.digest),
                row.excerpt,
            )
            for row in yard.ledger.quarantine.rows(limit=10_000)
        )
    ]
    return found


def corpus(yard: Yard) -> None:
    for path in sorted([*SCANS.iterdir(), *(SCANS / "malformed").iterdir()]):
        if path.is_file() and path.name != "index.json":
            yard.write(path.name, path.read_bytes())


def test_the_corpora_become_the_same_in_pieces_and_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_STORED_ROWS", 500)
    monkeypatch.setattr("pipeline.report.pieces._ROWS", 300)
    outcomes = []
    for way in ("in pieces", "at once"):
        if way == "at once":
            for module in (documents, directory_documents, reading):
                monkeypatch.setattr(module, "LARGE_BYTES", 1 << 30)
        yard = Yard(tmp_path / way)
        corpus(yard)
        yard.settle()
        outcomes.append(outcome(yard))
        yard.ledger.close()
    assert sum(map(len, outcomes[0].values())) > 100 and len(outcomes[0]["refused"]) > 20
    assert outcomes[0].keys() == outcomes[1].keys()
    for host, said in outcomes[0].items():
        assert said == outcomes[1][host], host


def test_every_malformed_file_goes_through_the_process_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_STORED_ROWS", 500)
    monkeypatch.setattr("pipeline.report.pieces._ROWS", 300)
    outcomes = []
    for parser in (None, DocumentParser(Limits())):
        yard = Yard(tmp_path / ("here" if parser is None else "there"), parser)
        for path in sorted((SCANS / "malformed").iterdir()):
            if path.name != "index.json" and path.stat().st_size < 100_000:
                yard.write(path.name, path.read_bytes())
        yard.settle()
        outcomes.append(outcome(yard))
        yard.ledger.close()
        if parser is not None:
            assert parser.deaths == 0
            parser.close()
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("form", ["json", "gzip", "several", "lines"])
def test_killed_after_any_step_it_comes_in_once(tmp_path: Path, form: str) -> None:
    first, second = host_report("web01", *NAMES), host_report("web01", "later", at=1)
    data = {
        "json": first,
        "gzip": gzip.compress(first + os.urandom(0), 0),
        "several": first + b"\n" + host_report("db02", *NAMES, at=2),
        "lines": b"\xff\xfe" + stream(*NAMES, *NAMES).decode().encode("utf-16-le"),
    }[form]
    undisturbed = Yard(tmp_path / "undisturbed")
    for name, content in (("a.json", data), ("b.json", second)):
        undisturbed.write(name, content)
    undisturbed.settle()
    expected = undisturbed.closed()
    assert len(expected) >= 2
    for steps in range(60):
        yard = Yard(tmp_path / str(steps))
        for name, content in (("a.json", data), ("b.json", second)):
            yard.write(name, content)
        yard.begin()
        made = yard.go_on(steps)
        yard.crash()
        yard.settle()
        assert yard.closed() == expected
        yard.ledger.close()
        if made < steps:
            break
    assert steps > 8


def test_what_is_behind_waits_if_it_may_be_of_the_same_host(yard: Yard) -> None:
    yard.write("a.json", host_report("web01", *NAMES))
    yard.write("b.json", host_report("web01", "b", at=1))
    yard.write("c.json", host_report("db02", "c"))
    yard.write("d.ndjson", stream("d").replace(b'"vm"', b'"db03"'))
    yard.write("e.ndjson", stream("e").replace(b'"vm"', b'"web01"'))
    yard.write("f.json", host_report("localhost", "f"))
    yard.begin()
    assert yard.closed() == []  # nobody knows yet whose the first one is
    yard.until_hosts_are_known()
    yard.begin()
    assert yard.closed() == [("db02", ["c"]), ("db03", ["d"])]
    assert yard.sweeper.holding
    yard.go_on()
    yard.settle()
    assert yard.closed()[2:] == [("web01", NAMES), ("web01", ["b"]), ("web01", ["e"]), ("localhost", ["f"])]


def test_what_is_bound_to_another_host_need_not_wait_for_a_moment(tmp_path: Path) -> None:
    for name in ("web01", "db02"):
        (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
    bind = {str(tmp_path / "in" / name): name for name in ("web01", "db02")}
    shutil.rmtree(tmp_path / "in")
    yard = Yard(tmp_path, bind=bind)
    for name in ("web01", "db02"):
        (yard.root / name).mkdir()
    yard.write("web01/a.json", host_report("liar", *NAMES))
    yard.write("db02/b.json", host_report("web01", "b"))
    yard.write("web01/c.json", host_report("web01", "c"))
    yard.begin()
    assert yard.closed() == [("db02", ["b"])]
    yard.settle()
    assert yard.closed()[1:] == [("web01", NAMES), ("web01", ["c"])]
    yard.ledger.close()


def test_a_stream_that_grows_goes_on_beside_it_and_ends_behind_it_where_it_has_to(yard: Yard) -> None:
    whole = stream(*NAMES).replace(b'"vm"', b'"db02"').splitlines(keepends=True)
    path = yard.write("s.ndjson", b"".join(whole[:4]))
    other = yard.write("t.ndjson", b"".join(whole[:4]).replace(b'"db02"', b'"web01"'))
    yard.sweeper.sweep()
    yard.write("a.json", host_report("web01", *NAMES))
    yard.begin()
    yard.until_hosts_are_known()
    for file in (path, other):
        with file.open("ab") as opened:
            opened.write(b"".join(whole[4:]))
    yard.begin()
    assert yard.closed() == [("db02", NAMES)]
    yard.sweeper.sweep()
    assert yard.closed() == [("db02", NAMES), ("web01", NAMES), ("web01", NAMES)]
    sources = [Path(closed.source).name for closed in [yard.ledger.work.next_scan()] if closed is not None]
    assert sources == ["s.ndjson"]


@pytest.mark.parametrize("what", ["deleted", "renamed", "moved away", "touched"])
@pytest.mark.parametrize("steps", [0, 1, 3, 6])
def test_a_file_that_goes_or_moves_in_the_middle_comes_in_once(yard: Yard, what: str, steps: int) -> None:
    path = yard.write("a.json", host_report("web01", *NAMES))
    yard.begin()
    yard.go_on(steps)
    if what == "deleted":
        path.unlink()
    elif what == "renamed":
        path.rename(path.with_name("z.json"))
    elif what == "moved away":
        path.rename(yard.root.parent / "elsewhere")
    else:
        os.utime(path)
    yard.begin()
    yard.settle()
    assert yard.closed() == [("web01", NAMES)]


@pytest.mark.parametrize("way", ["in place", "by rename"])
def test_a_file_that_is_written_anew_in_the_middle_is_never_read_in_part(tmp_path: Path, way: str) -> None:
    """Both, or the new one alone: the old one may have been whole when it was read."""
    old, new = host_report("web01", *NAMES), host_report("web01", *reversed(NAMES), at=1)
    assert len(old) == len(new)
    seen = set()
    for steps in range(14):
        yard = Yard(tmp_path / str(steps))
        path = yard.write("a.json", old)
        yard.begin()
        yard.go_on(steps)
        if way == "in place":
            path.write_bytes(new)
        else:
            path.with_name("part").write_bytes(new)
            path.with_name("part").rename(path)
        yard.settle()
        ids = [found for _, found in yard.closed()]
        assert ids in ([NAMES, NAMES[::-1]], [NAMES[::-1]])
        seen.add(len(ids))
        yard.ledger.close()
    assert 2 in seen and (way == "by rename" or 1 in seen)


def test_a_document_that_is_cut_waits_and_counts_in_the_end(yard: Yard) -> None:
    two = host_report("web01", *NAMES) + b"\n" + host_report("web01", *NAMES, at=1)
    path = yard.write("a.json", two[:-20])
    yard.begin()
    yard.go_on()
    assert yard.closed() == [] and yard.reasons() == []
    path.write_bytes(two)
    yard.settle()
    assert yard.closed() == [("web01", NAMES), ("web01", NAMES)]
    yard.write("b.json", two.replace(b"web01", b"db02")[:-20])
    yard.settle()
    assert yard.closed()[2:] == [("db02", NAMES)]
    assert yard.reasons() == ["truncated"]


def test_a_stop_leaves_nothing_and_the_next_start_reads_it(yard: Yard) -> None:
    yard.write("a.json", host_report("web01", *NAMES))
    yard.begin()
    yard.go_on(5)
    yard.sweeper.close()
    assert yard.closed() == []
    yard.crash()
    yard.settle()
    assert yard.closed() == [("web01", NAMES)]


def test_what_is_gone_is_read_to_its_end_before_a_stop(yard: Yard) -> None:
    path = yard.write("a.json", host_report("web01", *NAMES))
    yard.begin()
    yard.go_on(3)
    path.unlink()
    yard.sweeper.sweep([])
    yard.sweeper.close()
    assert yard.closed() == [("web01", NAMES)]


def test_a_ledger_that_takes_nothing_more_has_it_stand_still(yard: Yard) -> None:
    yard.write("a.json", host_report("web01", *NAMES))
    yard.begin()
    yard.go_on(4)
    yard.blocked = True
    assert yard.go_on() == 0
    yard.begin()
    assert yard.closed() == [] and yard.sweeper.taking
    yard.blocked = False
    yard.settle()
    assert yard.closed() == [("web01", NAMES)]


def test_read_again_on_request_it_is_a_redelivery(yard: Yard) -> None:
    damaged = host_report("web01", *NAMES).replace(b'"f3"', b"7.5")
    yard.write("a.json", damaged)
    yard.settle()
    (row,) = yard.ledger.quarantine.rows()
    yard.ledger.quarantine.retry(row.id)
    yard.settle()
    assert len(yard.closed()) == 1
    (row,) = yard.ledger.quarantine.rows()
    assert (row.seen, row.state) == (2, "open")


# The process


@pytest.mark.parametrize(
    "mode", ["once-die", "once-middle-crash", "once-hang", "once-middle-memory", "once-middle-rubbish"]
)
def test_a_process_that_fails_once_changes_nothing(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.parser._STILL_S", 3.0)
    yard = Yard(tmp_path / "yard", faulty(tmp_path / "starts", mode))
    yard.write("a.json", host_report("web01", *NAMES))
    yard.write("b.json", host_report("db02", *NAMES))
    yard.settle()
    assert yard.closed() == [("web01", NAMES), ("db02", NAMES)]
    assert yard.reasons() == []
    assert yard.parser is not None and yard.parser.deaths == 1
    yard.parser.close()
    yard.ledger.close()


@pytest.mark.parametrize(("mode", "reason"), [("middle-die", "parser_died"), ("middle-memory", "too_costly")])
def test_a_document_over_which_it_fails_twice_is_refused_and_the_next_goes_on(
    tmp_path: Path, mode: str, reason: str
) -> None:
    yard = Yard(tmp_path / "yard", faulty(tmp_path / "starts", mode))
    path = yard.write("a.json", host_report("web01", *NAMES))
    yard.write("b.ndjson", stream("b"))
    yard.settle()
    assert yard.closed() == [("vm", ["b"])]
    (row,) = yard.ledger.quarantine.rows()
    assert (row.reason, row.source, row.excerpt[:8]) == (reason, str(path), b'{"meta":')
    starts = len((tmp_path / "starts" / "starts").read_text().split())
    assert starts == 2
    yard.crash()
    yard.settle()  # it is known, so no process is tried on it again
    assert len((tmp_path / "starts" / "starts").read_text().split()) == starts
    assert yard.parser is not None
    yard.parser.close()
    yard.parser = DocumentParser(Limits())
    yard.crash()
    yard.ledger.quarantine.retry(row.id)
    yard.settle()
    assert yard.closed() == [("vm", ["b"]), ("web01", NAMES)]
    yard.parser.close()
    yard.ledger.close()


def test_a_process_that_reads_something_else_is_not_believed(tmp_path: Path) -> None:
    yard = Yard(tmp_path / "yard", faulty(tmp_path / "starts", "once-other"))
    yard.write("a.json", host_report("web01", *NAMES))
    result = yard.begin()
    yard.go_on()
    assert yard.closed() == [] and not result.unparsed
    assert yard.parser is not None
    yard.parser.close()
    yard.now += 5
    yard.settle()
    assert yard.closed() == [("web01", NAMES)]
    yard.parser.close()
    yard.ledger.close()


def test_without_a_process_what_is_safe_is_read_here_and_the_rest_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    yard = Yard(tmp_path / "yard", DocumentParser(Limits()))
    yard.write("a.json", host_report("web01", *NAMES))
    yard.write("b.json", host_report("db02", *NAMES * 9))
    yard.write("c.json", host_report("db03", "c"))
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        patched.setattr(documents, "SAFE_BYTES", 3_000)
        for _ in range(4):
            yard.begin()
            last = SweepResult()
            while yard.sweeper.go_on(last):
                pass
            yard.now += 1
        assert [host for host, _ in yard.closed()] == ["web01", "db03"]
        yard.now += 10
        yard.begin()
        last = SweepResult()
        while yard.sweeper.go_on(last):
            pass
        assert [Path(path).name for path, _ in last.unparsed] == ["b.json"] and "Cannot allocate" in last.unparsed[0][1]
    yard.now += 10
    yard.settle()
    assert [host for host, _ in yard.closed()] == ["web01", "db03", "db02"]
    assert yard.parser is not None
    yard.parser.close()
    yard.ledger.close()


def test_the_loop_goes_on_while_the_source_takes_a_large_document_in(tmp_path: Path) -> None:
    """The real source on a loop, with the real process stopped in the middle: others have their turn."""
    with Ledger.open(tmp_path / "state", clock=lambda: 0.0) as ledger:
        root = tmp_path / "in"
        root.mkdir()
        parser = DocumentParser(Limits())
        settings = WatchSettings(roots=(str(root),), watch="poll", poll_s=0.05, bind={str(root / "b"): "bound"})
        source = ReportDirectory(ledger.inputs, ledger.files, Limits(), settings, parser=parser)
        (root / "b").mkdir()
        (root / "a.json").write_bytes(host_report("web01", *NAMES))

        async def script() -> None:
            stop = asyncio.Event()
            taken: list[Taken] = []
            running = asyncio.ensure_future(source.run(stop, taken.append))
            deadline = time.monotonic() + 60

            def closed() -> list[str]:
                rows = ledger.database.connection.execute("SELECT host FROM scans WHERE scan_no > 0 ORDER BY scan_no")
                return [host for (host,) in rows.fetchall()]

            while parser.pid is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.001)
            os.kill(parser.pid, 19)
            (root / "c.json").write_bytes(host_report("db02", "c"))
            for _ in range(40):
                await asyncio.sleep(0.01)
            assert closed() in ([], ["web01"])  # it may have been quicker than the signal
            os.kill(parser.pid, 18)
            while len(closed()) < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert sorted(closed()) == ["db02", "web01"]  # which are two hosts
            stop.set()
            await running
            assert sum(one.admitted.scans for one in taken) == 2

        asyncio.run(script())
        parser.close()
