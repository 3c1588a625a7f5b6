"""What the tests of lanes share: topics, workers as processes, reports to send, and the oracle over what readers see.

The oracle knows nothing of ledgers, marks or offsets. It counts what was produced: each report is a copy of a real one
with a host and a number of its own, and its findings must be there once, scan by scan, in the order in which the host's
reports were sent.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.crash.process import ROOT, environment
from tests.kafka import places
from tests.kafka.broker import Cluster

PATIENCE_S = 60.0
SCANS = ROOT / "tests" / "data" / "scans"
MICRO = (SCANS / "micro-default.ndjson").read_bytes()
MICRO_FINDINGS = MICRO.count(b'"type":"finding"')


def bare() -> dict[str, str]:
    """Give the environment without settings."""
    return {name: value for name, value in environment().items() if not name.startswith("SYSSCAN_")}


@dataclass
class Topics:
    """Names of the topics of one test."""

    cluster: Cluster
    partitions: int = 1
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __getattr__(self, name: str) -> str:
        if name in ("reports", "findings", "scans", "state", "dlq", "group"):
            return f"{name}-{self.run}"
        raise AttributeError(name)

    def create(self, **config: str) -> "Topics":
        plain = [self.findings, self.scans, self.dlq]
        asyncio.run(self.cluster.create(self.reports, partitions=self.partitions, **config))
        asyncio.run(self.cluster.create(*plain, partitions=self.partitions))
        asyncio.run(self.cluster.create(self.state, partitions=self.partitions, cleanup_policy="compact"))
        return self

    def settings(self, **others: Any) -> str:
        """Write the section of the configuration."""
        values = {
            "brokers": list(self.cluster.plain), "input_topic": self.reports, "topic": self.findings,
            "scans_topic": self.scans, "state_topic": self.state, "dlq_topic": self.dlq, "group": self.group,
            "session_timeout_s": 6, "transaction_timeout_s": 5, "timeout_s": 15, **others,
        }  # fmt: skip
        return "[kafka]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())

    def send(self, *records: tuple[bytes | None, bytes | None, int], **options: Any) -> None:
        """Send records: key, value, partition."""
        asyncio.run(self._send(records, options))

    async def _send(self, records: Iterable[tuple[bytes | None, bytes | None, int]], options: Any) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.cluster.plain, enable_idempotence=True, max_request_size=8 << 20
        )
        await producer.start()
        try:
            sent = [
                await producer.send(self.reports, value, key=key, partition=partition, **options)
                for key, value, partition in records
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()


def report(host: str, number: int) -> bytes:
    """Give a small NDJSON report of a host; two with other numbers say different things."""
    assert b'"hostname":"vm"' in MICRO
    text = MICRO.replace(b'"hostname":"vm"', b'"hostname":"%s"' % host.encode())
    return text.replace(b"3024", b"%d" % (310_000 + number))


class Worker:
    """An agent as a process."""

    def __init__(self, base: Path, topics: Topics, name: str = "a", output: bool = False, **kafka: Any) -> None:
        self.base = base / name
        self.base.mkdir(exist_ok=True)
        self.state = self.base / "state"
        self.log = self.base / "log"
        self.config = self.base / "config.toml"
        self.metrics = self.base / "metrics.prom"
        output_lines = f"[output]\nenabled = {'true' if output else 'false'}\n"
        self.config.write_text(
            f'state_dir = "{self.state}"\n{output_lines}[model]\nenabled = false\n[analysis]\nbatch_size = 16\n'
            f'[metrics]\npath = "{self.metrics}"\nevery_s = 0.2\n[log]\nformat = "json"\n'
            + topics.settings(**({"consume": True} | kafka))
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def arguments(self) -> list[str]:
        return ["run", "--config", str(self.config)]

    def start(self) -> "Worker":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon.cli", *self.arguments], cwd=ROOT, env=bare(), stdout=log, stderr=log
            )
        return self

    def once(self) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [sys.executable, "-m", "daemon.cli", *self.arguments, "--once"],
            cwd=ROOT, env=bare(), capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else ()
        said = [json.loads(line) for line in lines if line.startswith("{")]
        return [one for one in said if one.get("event") == name]

    def tail(self) -> str:
        return self.log.read_text()[-3000:] if self.log.exists() else ""


def until(condition: Callable[[], bool], what: str, *workers: Worker, patience_s: float = PATIENCE_S) -> None:
    """Wait for something; only a hang makes it fail."""
    deadline = time.monotonic() + patience_s
    while not condition():
        for worker in workers:
            assert worker.process is None or worker.process.poll() is None, f"has ended: {worker.tail()}"
        assert time.monotonic() < deadline, f"never: {what}; " + "; ".join(worker.tail() for worker in workers)
        time.sleep(0.05)


def committed(topics: Topics, partition: int = 0) -> int:
    """Give the committed offset of a partition, -1 where there is none."""
    offsets = asyncio.run(topics.cluster.committed(topics.group))
    return next((one.offset for place, one in offsets.items() if place.partition == partition), -1)


def delivered(topics: Topics) -> Callable[[], bool]:
    """Say whether everything that was sent is delivered."""

    def done() -> bool:
        ends = places.ends(topics.cluster, topics.reports)
        return all(committed(topics, partition) >= end for partition, end in ends.items() if end)

    return done


def check(topics: Topics, sent: Mapping[str, Sequence[int]], per_report: int = MICRO_FINDINGS) -> list[Any]:
    """Hold what readers see against what was sent: every finding once, scan by scan, in the order of the host."""
    seen = places.records(topics.cluster, topics.findings)
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in seen:
        line = json.loads(record.value)
        assert record.key.decode() == line["host"]
        lines[line["host"]].append(line)
    records: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in places.records(topics.cluster, topics.scans):
        said = json.loads(record.value)
        records[said["host"]].append(said)
    assert {host: len(found) for host, found in lines.items()} == {
        host: per_report * len(numbers) for host, numbers in sent.items() if numbers
    }
    for host, numbers in sent.items():
        keys = [line["dedupe_key"] for line in lines[host]]
        assert len(set(keys)) == len(keys), f"{host}: a finding came twice"
        scans = [said["scan_id"] for said in records[host]]
        assert len(set(scans)) == len(scans) == len(numbers), f"{host}: {len(scans)} scans of {len(numbers)}"
        order = [line["scan_id"] for line in lines[host]]
        assert order == [scan for scan in scans for _ in range(per_report)], f"{host}: torn or out of order"
    return seen


def kill_all(*workers: Worker) -> None:
    """Leave nobody behind."""
    for worker in workers:
        if worker.process is not None and worker.process.poll() is None:
            os.kill(worker.process.pid, signal.SIGCONT)
            worker.kill()
