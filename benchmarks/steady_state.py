"""Measure the daemon on one host's stream of scans: throughput, latency, memory, and bytes kept; prints tables.

    python benchmarks/steady_state.py [findings ...]       (default: 1000 100000; 1000000 takes about ten minutes)

Throughput and memory: the real process with `run --once` on real reports that differ in their time. Latency: the
real daemon on a stream to which a line is appended at a time; each line is a scan of one finding, so that its
enriched line can be waited for.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, agent, distinct_reports, machine

FINDINGS_A_SCAN = 2720
LATENCY_LINES = 200


def main(sizes: list[int]) -> None:
    """Run and print."""
    print(f"{machine()}\n")
    print(f"{'findings':>9}{'scans':>7}{'wall s':>8}{'findings/s':>12}{'peak MB':>9}", end="")
    print(f"{'ledger B/finding':>18}{'checkpoints KB':>16}{'output B/finding':>18}")
    for size in sizes:
        throughput(max(1, round(size / FINDINGS_A_SCAN)))
    print("\nfrom a line appended to its enriched line durable, ms")
    latency()


def throughput(scans: int) -> None:
    """Run one daemon over many scans."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        inbox = root / "in"
        inbox.mkdir()
        findings = distinct_reports(inbox, scans)
        output = root / "out" / "findings.ndjson"
        output.parent.mkdir()
        command = agent("run", "--once", "--watch", str(inbox), "--state-dir", f"{place}/state", "-o", str(output))
        started = time.perf_counter()
        environment = {**os.environ, "SYSSCAN_OUTPUT__KEEP_SEGMENTS": "2", "SYSSCAN_LOG__LEVEL": "error"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"exit code {process.returncode}")
        ledger = sum(path.stat().st_size for path in (root / "state").glob("ledger.db*"))
        checkpoints = sum(path.stat().st_size for path in (root / "state").glob("checkpoints.db*"))
        with output.open("rb") as file:
            lines = [len(line) for line in file]
        print(
            f"{findings:>9}{scans:>7}{wall:>8.1f}{findings / wall:>12.0f}{usage.ru_maxrss / 1024:>9.0f}"
            f"{ledger / findings:>18.0f}{checkpoints / 1024:>16.0f}{sum(lines) / len(lines):>18.0f}",
            flush=True,
        )


def latency() -> None:
    """Append one finding at a time and wait for its line."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        inbox = root / "in"
        inbox.mkdir()
        output = root / "out.ndjson"
        command = agent("--watch", str(inbox), "--state-dir", f"{place}/state", "-o", str(output))
        daemon = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if b"service.ready" in line:
                break
        os.set_blocking(daemon.stderr.fileno(), False)
        took: list[float] = []
        with (inbox / "stream.ndjson").open("ab", buffering=0) as stream:
            for number in range(LATENCY_LINES):
                time.sleep(0.02)
                meta = {"type": "meta", "tool_version": "6.0.0", "schema": "2", "hostname": f"host{number}",
                        "cmdline": "sys-scan --ndjson "}  # fmt: skip
                summary = {"type": "summary", "finding_count_emitted": 1, "finding_count_total": 1}
                finding = {"type": "finding", "scanner": "suid_sgid", "id": f"/usr/local/bin/tool{number}",
                           "severity": "high", "base_severity_score": 70}  # fmt: skip
                seen = output.stat().st_size if output.exists() else 0
                started = time.perf_counter()
                stream.write(b"".join(json.dumps(line).encode() + b"\n" for line in (meta, summary, finding)))
                while not output.exists() or output.stat().st_size == seen:
                    time.sleep(0.0002)
                took.append((time.perf_counter() - started) * 1000)
                daemon.stderr.read()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    took.sort()
    print(f"{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}   of {len(took)} findings")
    print("".join(f"{took[min(len(took) - 1, int(len(took) * q))]:>9.1f}" for q in (0.5, 0.9, 0.99, 1.0)))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [1_000, 100_000])
