"""Workers take changed files and another model without a restart, each partition between two of its scans."""

import json
import signal
from pathlib import Path
from typing import Any

from daemon.reloading import last_reload
from tests.daemon.test_swapping import renamed
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.lanes import SCANS, Topics, Worker, delivered, kill_all, until

POLICY = "overrides:\n  - {class: ioc.deleted_executable, severity: %s, reason: ours}\n"
REPORT = (SCANS / "web01-ioc.json").read_bytes()


class Site:
    """A worker with two partitions, and reports for a host in each of them."""

    def __init__(self, cluster: Cluster, base: Path, top: str = "", model: str = "enabled = false") -> None:
        self.topics = Topics(cluster, partitions=2).create()
        self.worker = Worker(base, self.topics, top=top, model=model, partitions=[0, 1])
        self.scans = 0

    def send(self) -> None:
        self.scans += 1
        for partition in range(2):
            report = json.loads(REPORT)
            report["meta"]["hostname"] = f"web{partition}"
            report["summary"]["finished_at"] = f"2026-11-30T00:{self.scans // 60:02d}:{self.scans % 60:02d}Z"
            self.topics.send((f"web{partition}".encode(), json.dumps(report).encode(), partition))

    def scan(self) -> list[list[dict[str, Any]]]:
        """Have a scan of each host analysed; gives the lines of each."""
        self.send()
        until(delivered(self.topics), "both are delivered", self.worker)
        return [self.lines(f"web{partition}")[-1] for partition in range(2)]

    def lines(self, host: str) -> list[list[dict[str, Any]]]:
        """Give the lines of a host, scan by scan."""
        found: dict[str, list[dict[str, Any]]] = {}
        for one in places.records(self.topics.cluster, self.topics.findings):
            line = json.loads(one.value)
            if line["host"] == host:
                found.setdefault(line["scan_id"], []).append(line)
        return list(found.values())

    def severities(self) -> set[str]:
        scanned = [line for lines in self.scan() for line in lines if line["class"] == "ioc.deleted_executable"]
        assert {line["host"] for line in scanned} == {"web0", "web1"}
        return {line["severity"] for line in scanned}


def models(lines: list[dict[str, Any]]) -> set[str]:
    return {line["analysis"]["model"].partition("@")[0] for line in lines if line["analysis"]["model"] is not None}


def test_every_partition_takes_a_changed_policy_and_none_takes_a_bad_one(cluster: Cluster, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY % "low")
    site = Site(cluster, tmp_path, f'policy_files = ["{policy}"]\n')
    worker = site.worker.start()
    try:
        assert site.severities() == {"low"}
        policy.write_text(POLICY % "critical")
        ended = worker.command("reload")
        assert ended.returncode == 0 and b"in use from the next scan on" in ended.stdout, ended.stderr
        assert site.severities() == {"critical"}
        policy.write_text(POLICY % "dreadful")
        ended = worker.command("reload")
        assert ended.returncode == 2 and f"{policy}:2".encode() in ended.stderr
        assert site.severities() == {"critical"}
        before = last_reload(worker.state)
        policy.write_text(POLICY % "medium")
        assert worker.process is not None
        worker.process.send_signal(signal.SIGHUP)
        until(lambda: last_reload(worker.state) != before, "it is taken", worker)
        assert site.severities() == {"medium"}
        assert worker.stop() == 0
    finally:
        kill_all(worker)


def test_a_promoted_model_answers_on_every_partition_and_no_scan_is_answered_by_two(
    cluster: Cluster, tmp_path: Path
) -> None:
    site = Site(cluster, tmp_path, model="shipped = false")
    worker = site.worker.start()
    try:
        assert [models(lines) for lines in site.scan()] == [{"sysscan-small"}, {"sysscan-small"}]
        added = worker.command("model", "add", str(renamed(tmp_path / "other", "tuned")), "--json")
        digest = json.loads(added.stdout.splitlines()[0])["digest"]
        for _ in range(2):
            site.send()
        assert worker.command("model", "promote", digest).returncode == 0
        for _ in range(2):
            site.send()
        until(lambda: bool(worker.events("reload.taken")), "it is taken", worker)
        assert [models(lines) for lines in site.scan()] == [{"tuned"}, {"tuned"}]
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    for host in ("web0", "web1"):
        scans = site.lines(host)
        assert len(scans) == site.scans and all(len(models(lines)) == 1 for lines in scans)
        keys = [line["dedupe_key"] for lines in scans for line in lines]
        assert len(set(keys)) == len(keys)
