"""Scan records a second through the view over a fleet, its memory, and how long it takes to be restored.

    KAFKA_LIBS=build/kafka/4.3.1 python -m benchmarks.fleet [mixed|small|full ...]

The broker is Apache Kafka itself, on the same cores; KAFKA_LIBS says where its jars are (`make kafka` fetches them).
The records are those of real scans, under other host names; all are in the topic before the view is started.
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.common import processor_s
from daemon.fleet.fleet import Fleet
from daemon.fleet.keeper import Keeper
from daemon.fleet.run import spans
from daemon.fleet.scan import Place
from daemon.settings import FleetSettings
from tests.daemon.fleet.made import real
from tests.kafka.broker import Cluster
from tests.kafka.fleet_program import FleetProgram

HOSTS = 1000
SCANS = 8  # of each host
PARTITIONS = 4
REPORTS = {
    "mixed": (
        "web01-ioc.json", "web01-base-default.json", "db02-default.json", "db02-full.json.gz", "micro-default.json"
    ),
    "small": ("web01-base-default.json", "db02-default.json", "micro-default.json"),
    "full": ("db02-full.json.gz",),
}  # fmt: skip


def main() -> None:
    """Print one line for each thing that is measured."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers are asked before they are there
    libs = os.environ.get("KAFKA_LIBS")
    if libs is None:
        sys.exit("set KAFKA_LIBS to the directory that `make kafka` fetched the jars into, such as build/kafka/4.3.1")
    wanted = sys.argv[1:] or list(REPORTS)
    if unknown := set(wanted) - REPORTS.keys():
        sys.exit(f"no such scans: {', '.join(sorted(unknown))}; there are: {', '.join(REPORTS)}")
    with tempfile.TemporaryDirectory() as name, Cluster(Path(libs), Path(name)) as cluster:
        for kind in wanted:
            measure(cluster, Path(name), kind)


def measure(cluster: Cluster, base: Path, kind: str) -> None:
    """Have the view read the scans of one kind, and the same without Faust."""
    fleet = FleetProgram(cluster, kind, base)
    asyncio.run(cluster.create(kind, partitions=PARTITIONS))
    fleet.topics()
    size = asyncio.run(fill(cluster, kind))
    total = HOSTS * SCANS
    try:
        began = time.perf_counter()
        fleet.start()
        print(f"{kind}: memory without hosts: {resident(fleet):.0f} MB")
        before = processor_s(fleet.pid)
        ready, at_ready = time.perf_counter(), int(fleet.metric("records_read_total"))
        while (read := int(fleet.metric("records_read_total"))) < total:
            time.sleep(0.5)
        took = time.perf_counter() - ready
        used = (processor_s(fleet.pid) - before) / (total - at_ready) * 1e6
        print(
            f"{total:,} scan records of {HOSTS:,} hosts, {size / total / 1000:.0f} kB each: "
            f"{(read - at_ready) / took:,.0f}/s, {used:,.0f} us of "
            f"processor each; from start to the last one {time.perf_counter() - began:.1f} s"
        )
        fleet.until(lambda: len(fleet.postures()) == HOSTS, "all postures")
        print(f"memory with {HOSTS:,} hosts: {resident(fleet):.0f} MB; one page {page(fleet) * 1000:.0f} ms")
        fleet.stop()
        began = time.perf_counter()
        fleet.start()
        print(f"started again: ready after {time.perf_counter() - began:.1f} s, {resident(fleet):.0f} MB")
    finally:
        fleet.kill()
    asyncio.run(plainly(cluster, kind, total))


async def plainly(cluster: Cluster, topic: str, total: int) -> None:
    """Read the same into the same tables without Faust, publishing nothing: what the rest costs, in the same run."""
    settings = FleetSettings()
    keeper = Keeper(Fleet(spans(settings)), 0)
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=cluster.plain, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    try:
        began, used = time.perf_counter(), [0.0, 0.0]
        at = time.process_time()
        while keeper.read < total:
            found = await consumer.getmany(timeout_ms=1000, max_records=50)
            used[0] += time.process_time() - at
            at = time.process_time()
            for place, records in found.items():
                for one in records:
                    keeper.take(one.key, one.value, Place(place.partition, one.offset, one.timestamp))
            used[1] += time.process_time() - at
            at = time.process_time()
        took = time.perf_counter() - began
    finally:
        await consumer.stop()
    reading, taking = (one / total * 1e6 for one in used)
    print(
        f"without Faust, nothing published: {total / took:,.0f}/s, {reading:,.0f} us of processor each to read, "
        f"{taking:,.0f} us for the tables"
    )


async def fill(cluster: Cluster, kind: str) -> int:
    """Send every scan of every host to the topic of its kind; returns how many bytes that was."""
    records = [json.loads(real(name)[0]) for name in REPORTS[kind]]
    producer = AIOKafkaProducer(
        bootstrap_servers=cluster.plain, compression_type="zstd", max_batch_size=1 << 20, linger_ms=20
    )
    await producer.start()
    size = 0
    try:
        for number in range(SCANS):
            at = datetime.now(UTC) - timedelta(hours=SCANS - number)
            sent = []
            for host in range(HOSTS):
                record = records[host % len(records)] | {
                    "host": f"host-{host:04}.example.org", "scan_id": f"{host}-{number}",
                    "as_of": at.isoformat(timespec="seconds"),
                }  # fmt: skip
                value = orjson.dumps(record)
                size += len(value)
                sent.append(await producer.send(kind, value, key=record["host"].encode()))
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return size


def resident(fleet: FleetProgram) -> float:
    """Give the peak of the memory of the process, in MB."""
    status = Path(f"/proc/{fleet.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def page(fleet: FleetProgram) -> float:
    """Fetch the page once it has to be made anew; returns seconds."""
    time.sleep(2.5)
    began = time.perf_counter()
    fleet.get()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
