"""Findings a second from a directory into a Kafka topic, beside the same into a file, in the same run.

The broker is Apache Kafka itself, on the same cores; KAFKA_LIBS says where its jars are (`make kafka` fetches them).
The rules answer, so that what is measured is the way and not the model.
"""

import asyncio
import gzip
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kafka import places
from tests.kafka.broker import Cluster

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "tests" / "data" / "scans" / "db02-full.json.gz"
HOSTS = 8
FINDINGS = 3176 * HOSTS
ROUNDS = 2


def main() -> None:
    """Print one line for each kind of sink."""
    libs = os.environ.get("KAFKA_LIBS")
    if libs is None:
        sys.exit("set KAFKA_LIBS to the directory that `make kafka` fetched the jars into, such as build/kafka/4.3.1")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        reports = base / "in"
        reports.mkdir()
        text = gzip.decompress(REPORT.read_bytes()).decode()
        assert '"db02"' in text
        for number in range(HOSTS):
            (reports / f"{number}.json").write_text(text.replace('"db02"', f'"db-{number:02}"'))
        (base / "broker").mkdir()
        with Cluster(Path(libs), base / "broker") as cluster:
            for round_ in range(ROUNDS):
                file = run(base / f"file-{round_}", reports)
                topic = f"bench-{round_}"
                asyncio.run(cluster.create(topic, f"{topic}-scans", partitions=4))
                kafka = run(
                    base / f"kafka-{round_}", reports, SYSSCAN_OUTPUT__ENABLED="false",
                    SYSSCAN_KAFKA__BROKERS=",".join(cluster.plain), SYSSCAN_KAFKA__TOPIC=topic,
                    SYSSCAN_KAFKA__SCANS_TOPIC=f"{topic}-scans",
                )  # fmt: skip
                seen = len(places.records(cluster, topic))
                assert seen == FINDINGS, seen
                print(
                    f"{FINDINGS:,} findings: file {FINDINGS / file:,.0f}/s, Kafka {FINDINGS / kafka:,.0f}/s, "
                    f"ratio {file / kafka:.2f}"
                )


def run(state: Path, reports: Path, **environment: str) -> float:
    """Run the agent on what is there; returns seconds, its start included."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "daemon.cli", "run", "--once", "--watch", str(reports), "--state-dir", str(state)],
        cwd=ROOT, env={**os.environ, "SYSSCAN_MODEL__ENABLED": "false", **environment}, check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
