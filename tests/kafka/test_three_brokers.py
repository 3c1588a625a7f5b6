"""One of three brokers dies, whichever it is: what goes on is exactly once, and nobody has to do anything."""

import asyncio
import itertools
import time
import uuid
from pathlib import Path

import pytest

from daemon.sinks.delivery import Delivery
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.kafka import places
from tests.kafka.broker import Broker, Cluster
from tests.kafka.test_commands import REPORT, Place

ROWS = 400


@pytest.mark.slow
@pytest.mark.parametrize("role", ["leader", "transactions", "group"])
def test_the_death_of_a_broker_in_the_middle_costs_time_and_nothing_else(role: str, three: Cluster) -> None:
    topic = f"t-{uuid.uuid4().hex[:12]}"
    asyncio.run(three.create(topic))
    outbox = MemoryOutbox()
    sink = places.sink(places.settings(three, topic, timeout_s=10.0))
    delivery = Delivery(outbox, sink, lambda: time.monotonic() * 5)
    positions = itertools.count(1)

    def more(rows: int) -> None:
        outbox.add(*(row(next(positions)) for _ in range(rows)))

    more(ROWS)
    places.drive(delivery, lambda: outbox.marks.get(delivery.name) == ROWS, "the first are delivered")
    victim = asyncio.run(_who(three, role, topic))
    more(ROWS)
    delivery.step()  # they are on their way
    victim.kill()
    try:
        more(ROWS)
        places.drive(
            delivery, lambda: outbox.marks.get(delivery.name) == 3 * ROWS, "all are delivered by the other two"
        )
        assert [one.value for one in places.records(three, topic)] == [one.line for one in outbox.rows]
    finally:
        delivery.close()
        victim.start()
        three.wait()


@pytest.mark.slow
def test_topics_and_status_of_three_brokers_and_of_the_two_that_are_left(three: Cluster, tmp_path: Path) -> None:
    place = Place(three, tmp_path)
    created = place("kafka", "topics", "--create", "--partitions", "2")
    assert created.returncode == 0, created.stdout.decode()
    shapes = {one["check"]: one["detail"] for one in place.asked("kafka", "topics")}
    assert set(shapes) == set(place.names.values())
    assert all("3 replicas" in detail and "at least 2 in sync" in detail for detail in shapes.values()), shapes
    assert place("publish", str(REPORT)).returncode == 0
    assert [row["lag"] for row in place.asked("kafka", "status")] in ([0, 1], [1, 0])
    victim = asyncio.run(three.leader(place.name("reports")))
    victim.kill()
    try:
        deadline = time.monotonic() + places.PATIENCE_S
        while True:
            said = place.asked("kafka", "topics")
            behind = [one for one in said if "not in sync" in one["detail"]]
            if len({one["check"] for one in behind}) == len(place.names):
                break
            assert time.monotonic() < deadline, said
        assert {one["verdict"] for one in said} == {"warning"}
        assert place("kafka", "topics").returncode == 0
        assert sum(row["lag"] for row in place.asked("kafka", "status")) == 1
    finally:
        victim.start()
        three.wait()


async def _who(three: Cluster, role: str, topic: str) -> Broker:
    name = f"sysscan-agent.0123.{topic}"
    if role == "leader":
        return await three.leader(topic)
    return await three.coordinator(name, 1 if role == "transactions" else 0)
