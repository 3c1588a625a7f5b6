"""What the tests of lanes share: topics, workers as processes, reports to send, and the oracle over what readers see.

The oracle knows nothing of ledgers, marks or offsets. It counts what was produced: each report is a copy of a real one
with a host and a number of its own, and its findings must be there once, scan by scan, in the order in which the host's
reports were sent.
"""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from daemon.sources.kafka.messages import PART_HEADER, REPORT_HEADER
from tests.crash.process import ROOT
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.forks import bare

PATIENCE_S = 180.0  # only a hang takes this long, whatever else the machine does
SCANS = ROOT / "tests" / "data" / "scans"
MICRO = (SCANS / "micro-default.ndjson").read_bytes()
DOCUMENT = (SCANS / "micro-default.json").read_bytes()
MICRO_FINDINGS = MICRO.count(b'"type":"finding"')


Headers = list[tuple[str, bytes]]
Sent = tuple[bytes | None, bytes | None, int] | tuple[bytes | None, bytes | None, int, Headers]


@dataclass
class Topics:
    """Names of the topics of one test."""

    cluster: Cluster
    partitions: int = 1
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __getattr__(self, name: str) -> str:
        if name in ("reports", "findings", "scans", "state", "dlq", "verdicts", "group"):
            return f"{name}-{self.run}"
        raise AttributeError(name)

    def create(self, **config: str) -> "Topics":
        plain = [self.findings, self.scans, self.dlq]
        asyncio.run(self.cluster.create(self.reports, partitions=self.partitions, **config))
        asyncio.run(self.cluster.create(*plain, partitions=self.partitions))
        asyncio.run(self.cluster.create(self.state, partitions=self.partitions, cleanup_policy="compact"))
        asyncio.run(self.cluster.create(self.verdicts, partitions=1, retention_ms="-1"))
        return self

    def settings(self, **others: Any) -> str:
        """Write the section of the configuration."""
        values = {
            "brokers": list(self.cluster.plain), "input_topic": self.reports, "topic": self.findings,
            "scans_topic": self.scans, "state_topic": self.state, "dlq_topic": self.dlq, "group": self.group,
            "verdicts_topic": self.verdicts,
            "session_timeout_s": 6, "transaction_timeout_s": 5, "timeout_s": 15, **others,
        }  # fmt: skip
        return "[kafka]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())

    def send(self, *records: Sent, **options: Any) -> None:
        """Send records: key, value, partition, and headers where there are any."""
        asyncio.run(self._send(records, options))

    async def _send(self, records: Iterable[Sent], options: Any) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.cluster.plain, enable_idempotence=True, max_request_size=8 << 20
        )
        await producer.start()
        try:
            sent = [
                await producer.send(
                    self.reports,
                    value,
                    key=key,
                    partition=partition,
                    **({"headers": more[0]} if more else {}),
                    **options,
                )
                for key, value, partition, *more in records
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()


def report(host: str, number: int) -> bytes:
    """Give a small NDJSON report of a host; two with other numbers say different things."""
    assert b'"hostname":"vm"' in MICRO
    text = MICRO.replace(b'"hostname":"vm"', b'"hostname":"%s"' % host.encode())
    return text.replace(b"3024", b"%d" % (310_000 + number))


def _headers(more: Sequence[Headers]) -> dict[str, Headers]:
    return {"headers": more[0]} if more else {}


def document(host: str, number: int) -> bytes:
    """Give a small JSON report of a host, of a time of its own."""
    text = DOCUMENT.replace(b'"hostname":"vm"', b'"hostname":"%s"' % host.encode())
    at = f"2026-11-{1 + number // 1440 % 28:02}T{number // 60 % 24:02}:{number % 60:02}:02Z"
    return text.replace(b"2026-11-23T15:27:02Z", at.encode())


def in_parts(value: bytes, count: int) -> list[tuple[bytes, Headers]]:
    """Cut a value into parts, each with the headers that say so."""
    size = -(-len(value) // count)
    whole = hashlib.sha256(value).hexdigest().encode()
    return [
        (value[at * size : (at + 1) * size],
         [(REPORT_HEADER, whole), (PART_HEADER, b"%d/%d" % (at + 1, count))])
        for at in range(count)
    ]  # fmt: skip


class Worker:
    """An agent as a process."""

    def __init__(
        self, base: Path, topics: Topics, name: str = "a", output: bool = False, batch_size: int = 16,
        top: str = "", model: str = "enabled = false", **kafka: Any,
    ) -> None:  # fmt: skip
        """Args: `top`: lines of the configuration before its sections; `model`: those of that section."""
        self.base = base / name
        self.base.mkdir(exist_ok=True)
        self.state = self.base / "state"
        self.log = self.base / "log"
        self.config = self.base / "config.toml"
        self.metrics = self.base / "metrics.prom"
        output_lines = f"[output]\nenabled = {'true' if output else 'false'}\n"
        self.config.write_text(
            f'state_dir = "{self.state}"\n{top}{output_lines}[model]\n{model}\n'
            f"[analysis]\nbatch_size = {batch_size}\n"
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

    def command(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """Run a command beside it, with its settings."""
        return subprocess.run(
            [sys.executable, "-m", "daemon.cli", *words, "--config", str(self.config)],
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


class Load:
    """Sends reports all the time, from a thread of its own, until it is told to stop.

    Attributes:
        sent: numbers of the reports of each host, in order.
    """

    def __init__(self, topics: Topics, hosts: int = 6, every_s: float = 0.1) -> None:
        self.sent: dict[str, list[int]] = {}
        self._topics = topics
        self._hosts = hosts
        self._every_s = every_s
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:
            self._failed = error

    async def _send(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._topics.cluster.plain, enable_idempotence=True)
        await producer.start()
        try:
            number = 0
            while not self._stop.is_set():
                host = f"h{number % self._hosts}"
                partition = number % self._hosts % self._topics.partitions
                text = report(host, number)
                # Every other one line by line, so that a scan is open for a while.
                pieces = text.splitlines(keepends=True) if number % 2 else [text]
                for piece in pieces:
                    await producer.send_and_wait(self._topics.reports, piece, key=host.encode(), partition=partition)
                    await asyncio.sleep(self._every_s / len(pieces))
                self.sent.setdefault(host, []).append(number)
                number += 1
        finally:
            await producer.stop()
