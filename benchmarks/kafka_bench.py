"""A broker to measure against, with what the figures need of it: topics, messages, workers, and waiting for records."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.common import ROOT
from tests.kafka.broker import Cluster

PATIENCE_S = 300.0


class Bench:
    """A broker, a place for state, and a name for each run's topics."""

    def __init__(self, cluster: Cluster, base: Path) -> None:
        self.cluster = cluster
        self.base = base
        self._runs = 0

    def topics(self, partitions: int) -> str:
        """Make the topics of a run; returns what their names begin with."""
        self._runs += 1
        name = f"{self.base.name}-{self._runs}"
        asyncio.run(
            self.cluster.create(
                *(f"{name}-{kind}" for kind in ("reports", "findings", "scans", "dlq")), partitions=partitions
            )
        )
        asyncio.run(self.cluster.create(f"{name}-state", partitions=partitions, cleanup_policy="compact"))
        return name

    def lane(self, name: str) -> dict[str, str]:
        """Give the settings of a worker from topic to topic."""
        kinds = {
            "TOPIC": "findings",
            "SCANS_TOPIC": "scans",
            "INPUT_TOPIC": "reports",
            "STATE_TOPIC": "state",
            "DLQ_TOPIC": "dlq",
        }
        return {
            "SYSSCAN_OUTPUT__ENABLED": "false", "SYSSCAN_KAFKA__CONSUME": "true", "SYSSCAN_KAFKA__GROUP": name,
            "SYSSCAN_KAFKA__BROKERS": ",".join(self.cluster.plain),
            **{f"SYSSCAN_KAFKA__{setting}": f"{name}-{kind}" for setting, kind in kinds.items()},
        }  # fmt: skip

    def send(self, topic: str, messages: Sequence[tuple[str, bytes]], partition: int | None = None) -> None:
        """Send messages with their keys."""

        async def act() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.cluster.plain, enable_idempotence=True, acks="all", compression_type="gzip",
                max_request_size=8 << 20,
            )  # fmt: skip
            await producer.start()
            try:
                sent = [
                    await producer.send(topic, value, key=key.encode(), partition=partition) for key, value in messages
                ]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

        asyncio.run(act())

    @contextlib.contextmanager
    def worker(
        self, state: Path, environment: dict[str, str], *arguments: str, program: Sequence[str] = ("daemon.cli",)
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run the daemon until the end of the block; `program`: a module that is one, and its first arguments."""
        with (state.with_suffix(".log")).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *program, "run", "--state-dir", str(state), *arguments], cwd=ROOT,
                env={**os.environ, "SYSSCAN_MODEL__ENABLED": "false", **environment}, stderr=log, stdout=log,
            )  # fmt: skip
            try:
                yield process
            finally:
                process.terminate()
                process.wait(60)

    def wait(self, topic: str, records: int, process: "subprocess.Popen[bytes]") -> float:
        """Wait until so many records can be read; returns when (monotonic)."""
        return asyncio.run(_wait(self.cluster, topic, records, process))


async def _wait(cluster: Cluster, topic: str, records: int, process: "subprocess.Popen[bytes]") -> float:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=cluster.plain, isolation_level="read_committed", auto_offset_reset="earliest",
        enable_auto_commit=False, fetch_max_wait_ms=20,
    )  # fmt: skip
    await consumer.start()
    seen, deadline = 0, time.monotonic() + PATIENCE_S
    try:
        while seen < records:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{topic}: {seen} of {records} records, and no more come (exit code {process.poll()})")
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                seen += len(batch)
        return time.monotonic()
    finally:
        await consumer.stop()
