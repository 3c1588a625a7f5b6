"""The same consumer on Faust, with its `exactly_once` or without; see `benchmarks.peers.plain`.

``python -m benchmarks.peers.faust_app BROKERS NAME WORKER DATADIR GUARANTEE``, with the extra ``fleet``.
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

import faust

from benchmarks.peers.plain import findings


def make(brokers: str, name: str, worker: str, datadir: str, guarantee: str) -> faust.App:
    """Make the application: each message in, a line for each of its findings out."""
    app = faust.App(
        name, broker=[f"kafka://{one}" for one in brokers.split(",")], store="memory://", datadir=datadir,
        processing_guarantee=guarantee, topic_disable_leader=True, web_enabled=False, broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5, consumer_auto_offset_reset="earliest", topic_partitions=4,
    )  # fmt: skip
    reports = app.topic(
        f"{name}-reports", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    out = app.topic(f"{name}-findings", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def enrich(stream: Any) -> AsyncIterator[None]:
        async for event in stream.events():
            for line in findings(event.value):
                await out.send(key=event.key, value=line, partition=event.message.partition)
            yield

    app.agent(reports)(enrich)
    return app


if __name__ == "__main__":
    brokers, name, worker, datadir, guarantee = sys.argv[1:6]
    app = make(brokers, name, worker, datadir, guarantee)
    sys.argv = [sys.argv[0], "worker", "--without-web", "--loglevel", "error"]
    app.main()
