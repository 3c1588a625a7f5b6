"""A plain consumer: reads messages, writes a line for each finding, commits its offsets when the lines are confirmed.

At least once, as the handbooks of most clients show it: what was written and not yet committed comes again.
``python -m benchmarks.peers.plain BROKERS NAME WORKER``
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError


def findings(value: bytes) -> Iterator[bytes]:
    """Give a line for each finding of a whole report, or of lines of one."""
    if value.lstrip()[:1] == b"{" and b"\n" not in value.strip():
        documents: list[Any] = [json.loads(value)]
    else:
        documents = [json.loads(line) for line in value.splitlines() if line.strip()]
    for document in documents:
        for result in document.get("results", ()):
            for one in result["findings"]:
                yield json.dumps({"host": document["meta"]["hostname"], "id": one["id"]}).encode()
        if document.get("type") == "finding":
            yield json.dumps({"host": document["id"].split("/")[2], "id": document["id"]}).encode()


async def run(brokers: str, name: str, worker: str) -> None:
    """Consume until killed; whatever fails is begun anew."""
    while True:
        try:
            await _consume(brokers, name, worker)
        except (KafkaError, OSError, TimeoutError) as error:
            sys.stderr.write(f"{worker}: {error!r}\n")
            await asyncio.sleep(0.5)


async def _consume(brokers: str, name: str, worker: str) -> None:
    consumer = AIOKafkaConsumer(
        f"{name}-reports", bootstrap_servers=brokers, group_id=name, client_id=worker, enable_auto_commit=False,
        auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=1500,
        isolation_level="read_committed",
    )  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True, acks="all", linger_ms=5)
    await consumer.start()
    try:
        await producer.start()
        while True:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                sent = [
                    await producer.send(f"{name}-findings", line, key=record.key, partition=place.partition)
                    for record in records
                    for line in findings(record.value)
                ]
                await asyncio.gather(*sent)
                await consumer.commit({place: records[-1].offset + 1})
    finally:
        await producer.stop()
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:4]))
