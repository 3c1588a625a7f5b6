"""Lines under a key that go on with the report of another host are not the key's."""

import asyncio
import json
import time
from pathlib import Path

from daemon.lane.counts import Counts
from daemon.lane.mailbox import Mailbox
from daemon.lane.source import TopicPartition
from daemon.ledger import Ledger, codec
from daemon.ledger.lane import LaneStore
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sources.kafka.messages import Message
from pipeline.report.limits import Limits


def meta(host: str) -> bytes:
    return json.dumps({"type": "meta", "hostname": host, "tool_version": "6.0.0"}).encode() + b"\n"


def finding(name: str) -> bytes:
    return json.dumps({"type": "finding", "scanner": "suid_sgid", "id": name, "severity": "low"}).encode() + b"\n"


class Topic:
    """A partition whose messages all have one key."""

    def __init__(self, base: Path, key: bytes = b"web") -> None:
        self._base = base
        self._key = key
        self._offset = 0
        self._open()

    def _open(self) -> None:
        self.ledger = Ledger.open(self._base, clock=lambda: 1_790_000_000.0)
        self._store = LaneStore(self.ledger, "in", 0)
        self._mailbox = Mailbox()
        self._mailbox.open(self._offset)

    def take(self, *values: bytes) -> None:
        records = [Message("in", 0, self._offset + at, self._key, value) for at, value in enumerate(values)]
        self._offset += len(values)
        self._mailbox.put(records, self._offset, self._offset)
        source = TopicPartition(
            "in", 0, self._mailbox, self.ledger, self._store, KafkaSettings(), Limits(), Counts(), end=self._offset,
            blocked=lambda: False, clock=time.monotonic,
        )  # fmt: skip
        asyncio.run(source.run(asyncio.Event(), lambda taken: None, dry=True))

    def start_again(self) -> None:
        self.ledger.close()
        self._open()

    def findings(self) -> list[str]:
        rows = self.ledger.database.connection.execute("SELECT finding FROM inbox ORDER BY scan, seq")
        return [codec.decode_finding(row[0]).id for row in rows]

    def refused(self) -> list[str]:
        return [row.reason for row in self.ledger.quarantine.rows()]


def test_after_a_refused_beginning_nothing_is_the_hosts_before_its_own_begins(tmp_path: Path) -> None:
    topic = Topic(tmp_path)
    topic.take(meta("web"), finding("ours 1"), meta("db"), finding("theirs 1"), finding("theirs 2"))
    assert topic.findings() == ["ours 1"]
    assert topic.refused() == ["foreign_host"] * 3
    topic.start_again()
    topic.take(finding("theirs 3"), finding("theirs 4") + meta("web") + finding("ours 2"), finding("ours 3"))
    assert topic.findings() == ["ours 1", "ours 2", "ours 3"]
    assert topic.refused() == ["foreign_host"] * 4
    hosts = topic.ledger.database.connection.execute("SELECT DISTINCT host FROM scans").fetchall()
    assert hosts == [("web",)]


def test_a_refused_document_of_another_host_bars_no_lines(tmp_path: Path) -> None:
    document = {"meta": {"hostname": "db"}, "summary": {}, "results": [{"scanner": "suid_sgid", "findings": []}]}
    topic = Topic(tmp_path)
    topic.take(meta("web"), finding("ours 1"), json.dumps(document).encode(), finding("ours 2"))
    assert topic.findings() == ["ours 1", "ours 2"]
    assert topic.refused() == ["foreign_host"]
