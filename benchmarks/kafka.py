"""What Kafka costs, beside the way through a directory, in the same run and on the same cores as the broker.

    KAFKA_LIBS=build/kafka/4.3.1 python -m benchmarks.kafka [throughput|pair|latency|start|takeover|memory|workers ...]

The broker is Apache Kafka itself (`make kafka` fetches it). The rules answer, so that what is measured is the way and
not the model. Without names, all of them are measured.
"""

import asyncio
import contextlib
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.common import DB02, ROOT, machine, processor_s, resident_mb
from benchmarks.kafka_bench import PATIENCE_S, Bench
from tests.crash.fleet import Host
from tests.kafka import places
from tests.kafka.broker import Cluster

HOSTS = 8
FINDINGS = 3176 * HOSTS
ROUNDS, SINGLES = 2, 200  # of the throughput; findings that are sent one by one
MANY_HOSTS = 1000
STARTS, START_PARTITIONS = 7, 12
PARTITIONS = 8
WORKERS = (1, 2, 4)
SCANS, SCAN_S = 12, 0.5  # of each partition, for the workers, and what each of them waits for


def main() -> None:
    """Print a line for each figure."""
    libs = os.environ.get("KAFKA_LIBS")
    if libs is None:
        sys.exit("set KAFKA_LIBS to the directory that `make kafka` fetched the jars into, such as build/kafka/4.3.1")
    wanted = sys.argv[1:] or list(FIGURES)
    if unknown := set(wanted) - FIGURES.keys():
        sys.exit(f"no such figure: {', '.join(sorted(unknown))}; there are: {', '.join(FIGURES)}")
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "broker").mkdir()
        with Cluster(Path(libs), base / "broker") as cluster:
            for one in wanted:
                place = base / one
                place.mkdir()
                FIGURES[one](Bench(cluster, place))


def throughput(bench: Bench) -> None:
    """From a directory into a file and into a topic, and from topic to topic, whole reports and lines."""
    reports = bench.base / "in"
    reports.mkdir()
    whole = _reports()
    for host, report in whole.items():
        (reports / f"{host}.json").write_text(report)
    lines = {host: _as_lines(json.loads(report)) for host, report in whole.items()}
    for round_ in range(ROUNDS):
        file = _once(bench.base / f"file-{round_}", "--watch", str(reports))
        name = bench.topics(4)
        into = _once(
            bench.base / f"into-{round_}", "--watch", str(reports), SYSSCAN_OUTPUT__ENABLED="false",
            SYSSCAN_KAFKA__BROKERS=",".join(bench.cluster.plain), SYSSCAN_KAFKA__TOPIC=f"{name}-findings",
            SYSSCAN_KAFKA__SCANS_TOPIC=f"{name}-scans",
        )  # fmt: skip
        _hold(bench, name)
        through = {}
        for kind, messages in (
            ("whole reports", [(host, report.encode()) for host, report in whole.items()]),
            ("lines", [(host, line) for host, rows in lines.items() for line in rows]),
        ):
            name = bench.topics(4)
            bench.send(f"{name}-reports", messages)
            through[kind] = _once(bench.base / f"{kind[:5]}-{round_}", **bench.lane(name))
            _hold(bench, name)
        print(
            f"{FINDINGS:,} findings: directory to file {FINDINGS / file:,.0f}/s; directory to topic "
            f"{FINDINGS / into:,.0f}/s ({file / into:.2f} of it); topic to topic "
            + ", ".join(f"{kind} {FINDINGS / took:,.0f}/s ({file / took:.2f})" for kind, took in through.items()),
            flush=True,
        )


def pair(bench: Bench) -> None:
    """From topic to topic by one worker of four partitions, and by two of two each: a worker analyses on one core."""
    kinds = {
        "whole reports": [[report.encode()] for report in _reports().values()],
        "lines": [_as_lines(json.loads(report)) for report in _reports().values()],
    }
    for kind, hosts in kinds.items():
        for round_ in range(ROUNDS):
            took: dict[int, float] = {}
            for count in (1, 2):
                name = bench.topics(4)
                for number, rows in enumerate(hosts):
                    messages = [(f"db-{number:02}", row) for row in rows]
                    bench.send(f"{name}-reports", messages, number % 4)
                shares = ["0,1,2,3"] if count == 1 else ["0,1", "2,3"]
                states = [bench.base / f"{kind[:5]}-{round_}-{count}-{number}" for number in range(count)]
                took[count] = _at_once(
                    [
                        (state, {**bench.lane(name), "SYSSCAN_KAFKA__PARTITIONS": share})
                        for state, share in zip(states, shares, strict=True)
                    ]
                )
                _hold(bench, name)
            print(
                f"{FINDINGS:,} findings, {kind}, topic to topic: one worker {FINDINGS / took[1]:,.0f}/s, "
                f"two {FINDINGS / took[2]:,.0f}/s ({took[1] / took[2]:.2f} times)",
                flush=True,
            )


def _reports() -> dict[str, str]:
    """Give a full scan for each host."""
    text = gzip.decompress(DB02.read_bytes()).decode()
    return {f"db-{number:02}": text.replace('"db02"', f'"db-{number:02}"') for number in range(HOSTS)}


def _as_lines(report: dict[str, Any]) -> list[bytes]:
    """Write a report as the scanner's NDJSON, one line a message."""
    findings = [
        {"type": "finding", "scanner": section["scanner"], **one}
        for section in report["results"]
        for one in section["findings"]
    ]
    header = [
        {"type": "meta", **report["meta"]},
        {"type": "summary", **report["summary"]},
        {"type": "summary_extension", **report["summary_extension"], "finding_count_emitted": len(findings)},
    ]
    return [json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in (*header, *findings)]


def _hold(bench: Bench, name: str) -> None:
    seen = len(places.records(bench.cluster, f"{name}-findings"))
    assert seen == FINDINGS, seen


def _once(state: Path, *arguments: str, **environment: str) -> float:
    """Run the agent on what is there; returns seconds, its start included."""
    return _at_once([(state, environment)], *arguments)


def _at_once(agents: Sequence[tuple[Path, dict[str, str]]], *arguments: str) -> float:
    """Run agents beside each other, each with its state and environment, on what is there; returns seconds."""
    began = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "daemon.cli", "run", "--once", "--state-dir", str(state), *arguments],
            cwd=ROOT, env={**os.environ, "SYSSCAN_MODEL__ENABLED": "false", **environment}, stderr=subprocess.DEVNULL,
        )
        for state, environment in agents
    ]  # fmt: skip
    codes = [process.wait() for process in running]
    assert not any(codes), codes
    return time.perf_counter() - began


def latency(bench: Bench) -> None:
    """From a report with one finding, produced, to its enriched line, readable."""
    name = bench.topics(4)
    with bench.worker(bench.base / "state", bench.lane(name)) as process:
        bench.send(f"{name}-reports", [("warm", Host("warm", 1, alike=False).report(0, None))])
        bench.wait(f"{name}-findings", 1, process)
        took = sorted(asyncio.run(_one_by_one(bench, name)))
    print(
        f"{SINGLES} findings one by one, produced to readable: p50 {1000 * statistics.median(took):.0f} ms, "
        f"p99 {1000 * took[int(0.99 * len(took))]:.0f} ms, most {1000 * took[-1]:.0f} ms",
        flush=True,
    )


async def _one_by_one(bench: Bench, name: str) -> list[float]:
    producer = AIOKafkaProducer(bootstrap_servers=bench.cluster.plain, enable_idempotence=True, acks="all")
    consumer = AIOKafkaConsumer(
        f"{name}-findings", bootstrap_servers=bench.cluster.plain, isolation_level="read_committed",
        auto_offset_reset="latest", enable_auto_commit=False, fetch_max_wait_ms=10,
    )  # fmt: skip
    await producer.start()
    await consumer.start()
    for place in consumer.assignment():
        await consumer.position(place)
    took = []
    try:
        for number in range(SINGLES):
            host = Host(f"h{number % 20:02}", 1, alike=False)
            began = time.perf_counter()
            await producer.send_and_wait(f"{name}-reports", host.report(number, None), key=host.name.encode())
            async with asyncio.timeout(PATIENCE_S):
                await consumer.getone()
            took.append(time.perf_counter() - began)
    finally:
        await consumer.stop()
        await producer.stop()
    return took


def start(bench: Bench) -> None:
    """From the start of a worker that has its ledgers to the first record of what waits for it, in each partition."""
    for kind, partitions, settings in (
        ("named partitions", 1, {"SYSSCAN_KAFKA__PARTITIONS": "0"}),
        ("a group", 1, {}),
        ("a static member of a group", 1, {"SYSSCAN_KAFKA__INSTANCE_ID": "w1"}),
        (f"a group, in each of {START_PARTITIONS} partitions", START_PARTITIONS, {}),
    ):
        name = bench.topics(partitions)
        state, environment = bench.base / f"state-{name}", bench.lane(name) | settings
        took, used = [], []
        for number in range(STARTS + 1):
            for partition in range(partitions):
                host = Host(f"h{partition:02}", 20, alike=False)
                bench.send(f"{name}-reports", [(host.name, host.report(number, None))], partition=partition)
            began = time.monotonic()
            with bench.worker(state, environment) as process:
                took.append(bench.wait(f"{name}-findings", 20 * partitions * (number + 1), process) - began)
                used.append(processor_s(process.pid))
        print(
            f"start with its own ledger to the first delivery, {kind}: median {statistics.median(took[1:]):.2f} s, "
            f"at most {max(took[1:]):.2f} s; {statistics.median(used[1:]):.2f} s of processor",
            flush=True,
        )


def takeover(bench: Bench) -> None:
    """From the start of a worker without a ledger, on a partition with many hosts, to the first delivery."""
    name = bench.topics(1)
    environment = bench.lane(name)
    hosts = [Host(f"h{number:04}", 3, alike=False) for number in range(MANY_HOSTS)]
    bench.send(f"{name}-reports", [(host.name, host.report(0, None)) for host in hosts])
    with bench.worker(bench.base / "first", environment) as process:
        bench.wait(f"{name}-findings", 3 * MANY_HOSTS, process)
    bench.send(f"{name}-reports", [(hosts[0].name, hosts[0].report(1, None))])
    began = time.monotonic()
    with bench.worker(bench.base / "second", environment) as process:
        took = bench.wait(f"{name}-findings", 3 * MANY_HOSTS + 3, process) - began
    print(f"takeover of a partition with {MANY_HOSTS:,} hosts, start to first delivery: {took:.2f} s", flush=True)


def memory(bench: Bench) -> None:
    """Resident memory with a directory, with one partition, and with several, after the same work."""
    text = gzip.decompress(DB02.read_bytes()).decode()
    reports = bench.base / "in"
    reports.mkdir()
    (reports / "db.json").write_text(text)
    with bench.worker(bench.base / "file", {}, "--watch", str(reports)) as process:
        _wait_for_lines(bench.base / "file" / "findings.ndjson", 3177, process)
        file = _settled_mb(process)
    held = {}
    for partitions in (1, PARTITIONS):
        name = bench.topics(partitions)
        for partition in range(partitions):
            report = text.replace('"db02"', f'"db-{partition:02}"').encode()
            bench.send(f"{name}-reports", [(f"db-{partition:02}", report)], partition=partition)
        with bench.worker(bench.base / f"lanes-{partitions}", bench.lane(name)) as process:
            bench.wait(f"{name}-findings", 3176 * partitions, process)
            held[partitions] = _settled_mb(process)
    print(
        f"resident: directory {file:.0f} MB; one partition {held[1] - file:+.0f} MB; each further one "
        f"{(held[PARTITIONS] - held[1]) / (PARTITIONS - 1):+.1f} MB",
        flush=True,
    )


def workers(bench: Bench) -> None:
    """How the rate grows with the workers, where each is bound by a model of its own and not by these cores.

    The model is a fixed wait for each scan (`benchmarks.waiting_worker`), so what keeps the rate from growing is what
    workers have to do with each other: the group, the brokers, the transactions.
    """
    rates: dict[int, float] = {}
    for count in WORKERS:
        name = bench.topics(PARTITIONS)
        states = [bench.base / f"{count}-{number}" for number in range(count)]
        metrics = [state.with_suffix(".prom") for state in states]
        with contextlib.ExitStack() as stack:
            running = [
                stack.enter_context(
                    bench.worker(
                        state,
                        {**bench.lane(name), "SYSSCAN_METRICS__PATH": str(path), "SYSSCAN_METRICS__EVERY_S": "1"},
                        program=("benchmarks.waiting_worker", str(SCAN_S)),
                    )
                )
                for state, path in zip(states, metrics, strict=True)
            ]
            _send_scans(bench, name, [0])  # where nothing was ever sent no lag is told, and so no share
            _wait_for_share(PARTITIONS // count, metrics)
            bench.wait(f"{name}-findings", PARTITIONS, running[0])
            began = time.monotonic()
            _send_scans(bench, name, range(1, SCANS + 1))
            took = bench.wait(f"{name}-findings", PARTITIONS * (SCANS + 1), running[0]) - began
        rates[count] = PARTITIONS * SCANS / took
    print(
        f"{SCAN_S:g} s of waiting for each scan: "
        + "; ".join(
            f"{count} worker(s) {rate:.2f} scans/s (efficiency {rate / rates[WORKERS[0]] / count:.2f})"
            for count, rate in rates.items()
        ),
        flush=True,
    )


def _send_scans(bench: Bench, name: str, numbers: Iterable[int]) -> None:
    """Send scans of one host for each partition."""
    for partition in range(PARTITIONS):
        host = Host(f"h{partition:02}", 1, alike=False)
        messages = [(host.name, host.report(number, None)) for number in numbers]
        bench.send(f"{name}-reports", messages, partition=partition)


def _wait_for_share(share: int, metrics: Sequence[Path]) -> None:
    """Wait until each worker has so many partitions and no more."""
    deadline = time.monotonic() + PATIENCE_S
    while any(not one.exists() or one.read_text().count('by="position"') != share for one in metrics):
        if time.monotonic() > deadline:
            raise SystemExit("the partitions were never shared")
        time.sleep(0.2)


def _wait_for_lines(path: Path, lines: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{path}: {lines} lines never came")
        time.sleep(0.1)


def _settled_mb(process: "subprocess.Popen[bytes]") -> float:
    time.sleep(3.0)
    return resident_mb(process.pid)[0]


FIGURES: dict[str, Callable[[Bench], None]] = {
    "throughput": throughput, "pair": pair, "latency": latency, "start": start, "takeover": takeover, "memory": memory,
    "workers": workers,
}  # fmt: skip

if __name__ == "__main__":
    main()
