"""Measure what the ledger takes and gives, in records a second; prints a table.

    python benchmarks/ledger_rate.py [findings] [directory]

The directory decides which disk is measured; every call of the ledger is one transaction that waits for the disk.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from daemon.ledger import Ledger
from daemon.ports.inputs import FileIdentity
from daemon.ports.work import BaselineRow
from pipeline.finding import ParsedReport, RawFinding, ScanHeader
from pipeline.report.records import FindingLine, HeaderLine, MetaLine, StreamRecord

FINDING = RawFinding("systemd", "nginx.service", "medium", None, None, 50, extra={"n": 1})
DOCUMENT_FINDING = replace(FINDING, title="Service may gain privileges", metadata={"unit": "nginx.service", "v": "no"})
LINE = b"x" * 2500  # an enriched finding
BATCH = 256


def main(total: int, place: Path | None) -> None:
    """Run every measurement on `total` findings."""
    print(f"{total} findings; each row: one transaction for each chunk\n")
    print(f"{'step':<34}{'chunk':>7}{'s':>9}{'records/s':>12}")
    for chunk in (1, 16, 256, 5000):
        count = min(total, chunk * 2000)
        with tempfile.TemporaryDirectory(dir=place) as directory:
            admit_stream(Path(directory), count, chunk)
    with tempfile.TemporaryDirectory(dir=place) as directory:
        whole_way(Path(directory), total)
    print(f"\npeak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def admit_stream(directory: Path, total: int, chunk: int) -> None:
    """Admit one stream in chunks of lines."""
    with Ledger.open(directory, clock=time.time) as ledger:
        file = ledger.inputs.add_file("/a", FileIdentity(1, 1, None, 0, ""), "stream")
        records = _stream(total)

        def run() -> None:
            for start in range(0, len(records), chunk):
                part = records[start : start + chunk]
                ledger.inputs.admit_records(replace(file, offset=part[-1][0] + 1), part)

        _measure("admit_records", chunk, total, run)


def whole_way(directory: Path, total: int) -> None:
    """Take findings all the way from a document to a delivered and pruned outbox."""
    with Ledger.open(directory, clock=time.time) as ledger:
        ledger.outbox.register("file")
        file = ledger.inputs.add_file("/a", FileIdentity(1, 1, None, 0, ""), "document")
        header = ScanHeader("json", host="web01", started_at="2026-01-01T00:00:00Z")
        findings = tuple(replace(DOCUMENT_FINDING, id=str(number)) for number in range(total))
        report = ParsedReport(header, findings, (), "digest", True)
        began = time.perf_counter()
        _measure("admit_document", total, total, lambda: ledger.inputs.admit_document(file, [report], []))
        scan = ledger.work.next_scan()
        assert scan is not None
        _measure("findings", total, total, lambda: ledger.work.findings(scan.scan_no))
        batches = ledger.work.plan(scan.scan_no, BATCH)

        def commit() -> None:
            for batch in batches:
                rows = [(f"{batch.batch_id:016}{n:016}", "medium", True, LINE) for n in range(batch.last - batch.first)]
                ledger.work.commit_batch(batch, rows)

        _measure("commit_batch", BATCH, total, commit)
        baseline = [BaselineRow(f"{n:032}", "c", "open", f"{n:032}", "2026", scan.scan_no, 1) for n in range(total)]
        _measure("finish_scan", total, total, lambda: ledger.work.finish_scan(scan, b"{}", baseline, [], "profile"))
        _measure("baseline", total, total, lambda: ledger.baseline.rows("web01", "profile"))

        def deliver() -> None:
            while rows := ledger.outbox.pending("file", BATCH):
                ledger.outbox.delivered("file", rows[-1].position)

        _measure("pending, delivered", BATCH, total, deliver)
        full = ledger.status()["bytes"]

        def prune() -> None:
            while ledger.idle():
                pass

        _measure("idle (prune, vacuum)", 2_000, total, prune)
        seconds = time.perf_counter() - began
        print(f"{'the whole way':<34}{'':>7}{seconds:>9.3f}{total / seconds:>12,.0f}")
        _measure("fsck", total, total, ledger.fsck)
        kept = ledger.status()["bytes"]
        print(f"\nbytes a finding: {full / total:,.0f} before delivery, {kept / total:,.0f} after (baseline included)")


def _measure(step: str, chunk: int, total: int, run: Callable[[], object]) -> None:
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    print(f"{step:<34}{chunk:>7}{seconds:>9.3f}{total / seconds:>12,.0f}", flush=True)


def _stream(total: int) -> Sequence[tuple[int, StreamRecord]]:
    meta = MetaLine({"type": "meta", "hostname": "web01"}, b"{}")
    summary = HeaderLine("summary", {"finding_count_emitted": total}, b"{}")
    lines = [FindingLine(replace(FINDING, id=str(number)), b"") for number in range(total)]
    return list(enumerate([meta, summary, *lines]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
