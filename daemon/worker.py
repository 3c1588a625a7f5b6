"""Takes closed scans through the graph, batch by batch, and commits what comes out."""

import sqlite3
from pathlib import Path
from typing import Any

import structlog
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from daemon.baseline_rows import baseline_rows
from daemon.ports import Batch, ClosedScan, WorkQueue
from pipeline.batches import run_batch
from pipeline.errors import LedgerError
from pipeline.graph import build_graph
from pipeline.keys import canonical
from pipeline.scan import ScanContext, profile_of
from pipeline.workbench import Desk, Workbench

logger = structlog.get_logger(__name__)

_IDLE_PAGES = 1000


class Checkpoints:
    """The graph's checkpoints, in a database of their own; a hint, never the truth."""

    def __init__(self, path: Path) -> None:
        """Open or create.

        A damaged file is replaced: the ledger knows what is to be done, and the work since the last commit is
        done again.
        """
        try:
            self._connection = self._open(path)
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            logger.warning("checkpoints.replaced", path=str(path))
            self._connection = self._open(path)
        # Plain values only, whatever the environment says: a forged row must not be able to call anything.
        self.saver = SqliteSaver(self._connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        self.saver.setup()

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(path, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{path}: cannot be opened: {error}") from error
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts before the first table only
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA quick_check(1)").fetchall()
        path.chmod(0o600)
        return connection

    def threads(self) -> list[str]:
        """List the threads that are kept."""
        rows = self._connection.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id").fetchall()
        return [thread for (thread,) in rows]

    def delete(self, thread: str) -> None:
        """Forget a thread."""
        self.saver.delete_thread(thread)

    def shrink(self) -> None:
        """Give free pages back to the file system."""
        # A script, because the pragma frees one page a step and `execute` steps once.
        self._connection.executescript(f"PRAGMA incremental_vacuum({_IDLE_PAGES})")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


class Worker:
    """Works on one scan at a time, in ingest order; a step is one batch, or the end of a scan."""

    def __init__(self, queue: WorkQueue, desk: Desk, checkpoints: Checkpoints, batch_size: int) -> None:
        self._queue = queue
        self._desk = desk
        self._checkpoints = checkpoints
        self._batch_size = batch_size
        self._benches: dict[int, Workbench] = {}
        self._graph = build_graph(self._benches, checkpoints.saver)
        self._scan: ClosedScan | None = None
        self._batches: list[Batch] = []
        self._swept = False
        self.analysed: dict[str, int] = {"model": 0, "rules": 0, "review": 0}
        self.finished = 0

    def step(self) -> bool:
        """Do the next piece of work; returns False when there is none."""
        if self._scan is None:
            scan = self._queue.next_scan()
            if scan is None:
                self._sweep_threads(())
                return False
            self._open(scan)
        elif self._batches:
            self._run(self._scan, self._batches.pop(0))
        else:
            self._finish(self._scan)
        return True

    def _open(self, scan: ClosedScan) -> None:
        context = ScanContext(
            scan_no=scan.scan_no,
            scan_id=scan.scan_id,
            host=scan.host,
            host_source=scan.host_source,
            header=scan.header,
            complete=scan.complete,
            rejected=scan.rejected,
            as_of=scan.as_of,
        )
        profile = profile_of(scan.header)
        keeps = profile is not None and scan.host_source != "unknown"
        prior = self._queue.baseline(scan.host, profile) if keeps and profile is not None else None
        self._benches[scan.scan_no] = Workbench(context, self._queue.findings(scan.scan_no), self._desk, prior)
        self._scan = scan
        self._batches = self._queue.plan(scan.scan_no, self._batch_size)
        self._sweep_threads([self._thread(scan, batch) for batch in self._batches])

    def _run(self, scan: ClosedScan, batch: Batch) -> None:
        bench = self._benches[scan.scan_no]
        thread = self._thread(scan, batch)
        state = run_batch(self._graph, scan.scan_no, batch.first, batch.last, thread=thread)
        decided: dict[str, Any] = state["decided"]
        lines = bench.take_lines(batch.first, batch.last, decided)
        self._queue.commit_batch(batch, [(line.key, line.level, line.changed, line.line) for line in lines])
        self._checkpoints.delete(thread)
        for line in lines:
            self.analysed[line.origin] += 1

    def _finish(self, scan: ClosedScan) -> None:
        bench = self._benches.pop(scan.scan_no)
        profile = profile_of(scan.header) or ""
        comparison = bench.comparison
        record = bench.record()
        self._queue.finish_scan(
            scan,
            canonical(record),
            baseline_rows(comparison, scan.scan_no) if comparison is not None else (),
            comparison.forget if comparison is not None else (),
            profile,

        )
        self._scan = None
        self.finished += 1
        logger.info(
            "scan.finished",
            scan_id=scan.scan_id,
            host=scan.host,
            source=scan.source,
            findings=scan.findings,
            issues=record["counts"]["issues"],
            levels=record["counts"]["level"],
            complete=scan.complete,
        )

    def _thread(self, scan: ClosedScan, batch: Batch) -> str:
        # A thread that other knowledge, policy, model or code began is never gone on with.
        return f"{self._desk.digest}:{scan.scan_id}:{batch.first}-{batch.last}"

    def _sweep_threads(self, wanted: "list[str] | tuple[()]") -> None:
        """Discard, once after start, the threads that nothing waits for."""
        if self._swept:
            return
        self._swept = True
        for thread in set(self._checkpoints.threads()).difference(wanted):
            self._checkpoints.delete(thread)

