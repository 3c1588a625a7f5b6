"""Findings a second from a directory into a file, into a topic, and from topic to topic, in the same run.

Whole reports and NDJSON lines; then how long one new finding takes from being produced to being readable.

The broker is Apache Kafka itself, on the same cores; KAFKA_LIBS says where its jars are (`make kafka` fetches them).
The rules answer, so that what is measured is the way and not the model.
"""

import asyncio
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.lanes import Topics, Worker

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "tests" / "data" / "scans" / "db02-full.json.gz"
HOSTS = int(os.environ.get("HOSTS", "8"))
_SPENT = [0.0]
FINDINGS = 3176 * HOSTS
ROUNDS = int(os.environ.get("ROUNDS", "2"))


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
                lanes = {}
                for kind in ("reports", "lines"):
                    lanes[kind] = topic_to_topic(base / f"{kind}-{round_}", cluster, reports, kind)
                print(
                    "topic to topic: " + ", ".join(f"{kind} {FINDINGS / took:,.0f}/s" for kind, took in lanes.items())
                )
                print(
                    f"{FINDINGS:,} findings: file {FINDINGS / file:,.0f}/s, Kafka {FINDINGS / kafka:,.0f}/s, "
                    f"ratio {file / kafka:.2f}"
                )


def topic_to_topic(base: Path, cluster: Cluster, reports: Path, kind: str) -> float:
    """Let a worker read what is there already; returns seconds, its start included."""
    base.mkdir()
    topics = Topics(cluster, partitions=4).create()
    asyncio.run(_produce(topics, reports, kind))
    worker = Worker(base, topics, batch_size=256, partitions=[0, 1, 2, 3])
    began = time.perf_counter()
    done = worker.once()
    took = time.perf_counter() - began
    print(f"  {kind}: {spent():.1f} s of CPU", flush=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    seen = len(places.records(cluster, topics.findings))
    assert seen == FINDINGS, seen
    return took


async def _produce(topics: Topics, reports: Path, kind: str) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=topics.cluster.plain, enable_idempotence=True, max_request_size=16 << 20
    )
    await producer.start()
    try:
        sent = []
        for number, path in enumerate(sorted(reports.iterdir())):
            host = f"db-{number:02}"
            key, partition = host.encode(), number % topics.partitions
            if kind == "reports":
                value = gzip.compress(path.read_bytes())
                sent.append(await producer.send(topics.reports, value, key=key, partition=partition))
                continue
            lines = as_lines(path.read_bytes())
            sent += [await producer.send(topics.reports, line, key=key, partition=partition) for line in lines]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def as_lines(report: bytes) -> list[bytes]:
    """Write a report as the scanner writes it with --ndjson."""
    said = json.loads(report)
    findings = [
        {"type": "finding", "scanner": section["scanner"], **one}
        for section in said["results"]
        for one in section["findings"]
    ]
    header = [
        {"type": "meta", **said["meta"]},
        {"type": "summary", **said["summary"]},
        {"type": "summary_extension", **said["summary_extension"], "finding_count_emitted": len(findings)},
    ]
    return [json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in (*header, *findings)]


def run(state: Path, reports: Path, **environment: str) -> float:
    """Run the agent on what is there; returns seconds, its start included."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "daemon.cli", "run", "--once", "--watch", str(reports), "--state-dir", str(state)],
        cwd=ROOT, env={**os.environ, "SYSSCAN_MODEL__ENABLED": "false", **environment}, check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    took = time.perf_counter() - began
    print(f"  {state.name}: {spent():.1f} s of CPU", flush=True)
    return took


def spent() -> float:
    """Give the processor time of the children that ended since the last call; others may use the machine, too."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = usage.ru_utime + usage.ru_stime
    before, _SPENT[0] = _SPENT[0], total
    return total - before


if __name__ == "__main__":
    main()
