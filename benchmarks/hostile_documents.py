"""Measure what documents at the limit cost that are hostile, beside a real one; prints a table.

    python benchmarks/hostile_documents.py [MiB]           (default: 31, just below the usual limit)

The directory source takes each in with the real process and the real ledger, nothing else runs. Of the daemon's own
process the longest step counts, and what it held at most meanwhile; of the process that reads documents what that held.
"""

import asyncio
import contextlib
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import DB02, machine, resident_mb

from daemon.ledger import Ledger
from daemon.log import configure
from daemon.parser import DocumentParser
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.source import ReportDirectory
from pipeline.report.limits import MIB, Limits


def main(size: int) -> None:
    """Run and print."""
    configure("error", "json")
    print(f"{machine()}; {size / MIB:.0f} MiB each\n")
    print(f"{'document':<34}{'s':>7}{'longest ms':>12}{'daemon MB':>11}{'process MB':>12}  outcome")
    with tempfile.TemporaryDirectory() as place:
        for name, make in DOCUMENTS.items():
            directory = Path(place) / name.replace(" ", "-")
            directory.mkdir()
            measure(directory, name, make, size)


def measure(place: Path, name: str, make: Callable[[int], bytes], size: int) -> None:
    """Take one document in."""
    inbox = place / "in"
    inbox.mkdir()
    (inbox / "a.json").write_bytes(make(size))
    parser = DocumentParser(Limits())
    with Ledger.open(place / "state", clock=time.time) as ledger:
        settings = WatchSettings(roots=(str(inbox),), watch="poll", settle_s=0.01)
        source = ReportDirectory(ledger.inputs, ledger.files, Limits(), settings, parser=parser)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before = resident_mb(os.getpid())[0]
        began = time.perf_counter()
        longest, process_mb = asyncio.run(_run(source, ledger, parser))
        seconds = time.perf_counter() - began
        grown = resident_mb(os.getpid())[1] - before
        parser.close()
        rows = ledger.quarantine.rows(limit=1)
        findings = ledger.waiting().findings
        outcome = f"{findings:,} findings" + (f", {rows[0].reason}" if rows else "")
    figures = f"{seconds:>7.1f}{longest * 1e3:>12.0f}{f'+{grown:.0f}':>11}{process_mb:>12.0f}"
    print(f"{name:<34}{figures}  {outcome}", flush=True)


async def _run(source: ReportDirectory, ledger: Ledger, parser: DocumentParser) -> tuple[float, float]:
    stop = asyncio.Event()
    longest = process_mb = 0.0
    handle_run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        nonlocal longest
        begin = time.thread_time()
        handle_run(handle)
        longest = max(longest, time.thread_time() - begin)

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]
    try:
        running = asyncio.create_task(source.run(stop, lambda taken: None))
        while not (ledger.quarantine.rows(limit=1) or ledger.waiting().closed):
            await asyncio.sleep(0.02)
            with contextlib.suppress(TypeError):
                process_mb = max(process_mb, resident_mb(parser.pid or 0)[1])
        stop.set()
        await running
    finally:
        asyncio.Handle._run = handle_run  # type: ignore[method-assign]
    return longest, process_mb


def _around(metadata: bytes) -> bytes:
    return (
        b'{"meta":{"hostname":"h"},"results":[{"scanner":"s","findings":[{"id":"a","severity":"low","metadata":'
        + metadata + b"}]}]}"
    )  # fmt: skip


def _real(size: int) -> bytes:
    report = json.loads(gzip.decompress(DB02.read_bytes()))
    copies = size // len(json.dumps(report, separators=(",", ":")))
    for section in report["results"]:
        section["findings"] *= copies
    report["summary"]["finding_count_emitted"] *= copies
    return json.dumps(report, separators=(",", ":")).encode()


DOCUMENTS: dict[str, Callable[[int], bytes]] = {
    "a real report, repeated": _real,
    "one huge string": lambda size: _around(b'{"a":"%b"}' % (b"x" * size)),
    "a million keys": lambda size: _around(b"{%b}" % b",".join(b'"%07x":1' % n for n in range(size // 12))),
    "the same key again and again": lambda size: _around(b"{%b}" % b",".join([b'"a":1,"a":2'] * (size // 12))),
    "deep nesting": lambda size: _around(b"[" * (size // 2) + b"]" * (size // 2)),
    "empty lists": lambda size: _around(b"[" + b"[]," * (size // 3) + b"1]"),
    "a header of a million keys": lambda size: (
        b'{"results":[],"meta":{%b}}' % b",".join(b'"%07x":1' % n for n in range(size // 12))
    ),
    "sections without findings": lambda size: (
        b'{"results":[%b]}' % b",".join([b'{"scanner":"s","findings":[]}'] * (size // 30))
    ),
    "findings that are numbers": lambda size: b'{"results":[{"scanner":"s","findings":[%b1]}]}' % (b"1," * (size // 2)),
    "small reports one after the other": lambda size: b'{"results":[]}\n' * (size // 15),
    "a brace in every line": lambda size: b"{\n" * (size // 2),
    "gzip, 1 to 1000": lambda size: gzip.compress(b'{"results":[' + b" " * (4 * size)),
}


if __name__ == "__main__":
    main(int(float(sys.argv[1]) * MIB) if sys.argv[1:] else 31 * MIB)
