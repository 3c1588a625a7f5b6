"""A record with a header whose name is not UTF-8 is read like any other, and stops nobody."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from daemon.sinks.kafka.lenient import LenientRecords
from tests.crash.process import ROOT
from tests.kafka import places
from tests.kafka.broker import Cluster
from tests.kafka.lanes import Topics, Worker, check, report


class Raw(str):
    """A name that is written as bytes which are no text."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xffx"


BAD = (Raw("bad"), b"4")


def batch(first: int, *headers: list[tuple[str, bytes]], codec: int = 0) -> bytes:
    builder: Any = _DefaultRecordBatchBuilderPy(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for at, found in enumerate(headers):
        assert builder.append(at, timestamp=1, key=b"k", value=b"%d" % (first + at), headers=found) is not None
    built = bytearray(builder.build())
    built[:8] = first.to_bytes(8)
    return bytes(built)


@pytest.mark.parametrize("codec", [0, 1, 4], ids=["plain", "gzip", "zstd"])
def test_what_comes_before_and_behind_it_is_read_once(codec: int) -> None:
    data = b"".join(
        [
            batch(0, [("a", b"1")], [], codec=codec),
            batch(2, [("b", b"2")], [("c", b"3"), BAD], [("d", b"5")], [BAD], codec=codec),
            batch(6, [("e", b"7")], codec=codec),
        ]
    )
    records = LenientRecords(data)
    assert records.size_in_bytes() == len(data)
    found = []
    while records.has_next():
        one = records.next_batch()
        assert one is not None and one.validate_crc()
        found += [(record.offset, record.value, record.headers) for record in one]
    assert [(offset, value) for offset, value, _ in found] == [(at, b"%d" % at) for at in range(7)]
    assert [headers for _, _, headers in found] == [
        [("a", b"1")], [], [("b", b"2")], [("c", b"3"), ("\\xffx", b"4")], [("d", b"5")], [("\\xffx", b"4")],
        [("e", b"7")],
    ]  # fmt: skip


def test_the_library_still_needs_it() -> None:
    """The control: without it, such a batch cannot be read. When this fails, it can go."""
    records: Any = MemoryRecords(batch(0, [BAD]))
    with pytest.raises(Exception, match="utf-8"):
        list(records.next_batch())


_SEND = """
import asyncio, sys
from aiokafka import AIOKafkaProducer
from tests.kafka.test_header_names import Raw
async def main(brokers, topic):
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    for value in sys.stdin.buffer.read().split(b"\\0"):
        await producer.send_and_wait(topic, value, key=b"h", headers=[(Raw("bad"), b"v"), ("good", b"w")])
    await producer.stop()
asyncio.run(main(*sys.argv[1:]))
"""


def test_a_worker_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=1).create()
    topics.send((b"h", report("h", 0), 0))
    subprocess.run(
        [sys.executable, "-c", _SEND, cluster.plain[0], topics.reports], input=report("h", 1) + b"\0rubbish", cwd=ROOT,
        env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1", "PYTHONPATH": str(ROOT)}, check=True, timeout=60,
    )  # fmt: skip
    topics.send((b"h", report("h", 2), 0))
    done = Worker(tmp_path, topics, partitions=[0]).once()
    assert done.returncode in (0, 1), done.stderr.decode()
    check(topics, {"h": [0, 1, 2]})
    (letter,) = places.records(cluster, topics.dlq)
    assert letter.value == b"rubbish" and ("good", b"w") in letter.headers
