"""The view over a fleet as a process, and what its tests say to the brokers."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.kafka import places
from tests.kafka.broker import Cluster

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0


@dataclass
class FleetProgram:
    """One run of it after the other, with the same settings."""

    cluster: Cluster
    scans: str
    base: Path
    others: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def posture(self) -> str:
        return f"{self.scans}-posture"

    @property
    def alerts(self) -> str:
        return f"{self.scans}-alerts"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    @property
    def _log(self) -> Path:
        return self.base / f"{self.scans}.log"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")}
        return {
            **kept, "SYSSCAN_KAFKA__BROKERS": ",".join(self.cluster.plain), "SYSSCAN_KAFKA__SCANS_TOPIC": self.scans,
            "SYSSCAN_FLEET__POSTURE_TOPIC": self.posture, "SYSSCAN_FLEET__ALERTS_TOPIC": self.alerts,
            "SYSSCAN_FLEET__GROUP": f"{self.scans}-fleet", "SYSSCAN_FLEET__LISTEN": "127.0.0.1:0",
            "SYSSCAN_KAFKA__TIMEOUT_S": "10", "SYSSCAN_LOG__FORMAT": "json", **self.others,
        }  # fmt: skip

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "daemon.fleet.cli", *arguments], cwd=ROOT, env=self.environment(), check=False,
            capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip

    def topics(self) -> None:
        done = self.command("topics")
        assert done.returncode == 0, done.stderr

    def start(self, *arguments: str, ready: bool = True) -> "FleetProgram":
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daemon.fleet.cli", "run", *arguments], cwd=ROOT, env=self.environment(),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.until(lambda: self._find_port() > 0, "a page")
        if ready:
            self.until(lambda: self.get("/healthz")[0] == 200, "ready")
        return self

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def get(self, path: str = "/", **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        inner = ",".join(f'{label}="{value}"' for label, value in labels.items())
        wanted = f"sysscan_fleet_{name}{{{inner}}} " if inner else f"sysscan_fleet_{name} "
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(wanted):
                return float(line.removeprefix(wanted))
        raise AssertionError(f"no metric {wanted}")

    def caught_up(self, records: int) -> None:
        """Wait until so many have been read since it was started."""
        self.until(lambda: self.metric("records_read_total") >= records, f"{records} records")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process is None or self.process.poll() is None, f"it ended: {self.log}"
            if condition():
                return
            assert time.monotonic() < deadline, f"never: {what}; {self.log}"
            time.sleep(0.1)

    def postures(self) -> dict[str, dict[str, Any]]:
        """What the topic says of each host once it is compacted."""
        found: dict[str, dict[str, Any]] = {}
        for one in places.records(self.cluster, self.posture):
            host = one.key.decode()
            if one.value is None:
                found.pop(host, None)
            else:
                with contextlib.suppress(ValueError):  # what a test has put there
                    found[host] = json.loads(one.value)
        return found

    def sent_alerts(self) -> list[dict[str, Any]]:
        return [json.loads(one.value) for one in places.records(self.cluster, self.alerts)]

    def _find_port(self) -> int:
        for line in self.log.splitlines():
            if '"event":"fleet.started"' in line:
                self.port = json.loads(line)["port"]
                return self.port
        return 0


Sent = tuple[str | None, bytes | None]


def send(
    cluster: Cluster, topic: str, records: Iterable[Sent], *, commit: bool = True, partition: int | None = None
) -> None:
    """Send records with their hosts as keys, in one transaction, which is committed or aborted."""
    asyncio.run(_send(cluster, topic, list(records), commit, partition))


async def _send(cluster: Cluster, topic: str, records: list[Sent], commit: bool, partition: int | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=cluster.plain, transactional_id=f"sender-{topic}")
    await producer.start()
    try:
        await producer.begin_transaction()
        for host, value in records:
            await producer.send(topic, value, key=host.encode() if host is not None else None, partition=partition)
        await producer.flush()
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()
