"""One of three brokers dies, whichever it is: what goes on is exactly once, and nobody has to do anything."""

import asyncio
import itertools
import time
import uuid

import pytest

from daemon.sinks.delivery import Delivery
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.kafka import places
from tests.kafka.broker import Broker, Cluster

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
        assert [one.value for one in places.settled(three, topic)] == [one.line for one in outbox.rows]
    finally:
        delivery.close()
        victim.start()
        three.wait()


async def _who(three: Cluster, role: str, topic: str) -> Broker:
    name = f"sysscan-agent.0123.{topic}"
    if role == "leader":
        return await three.leader(topic)
    return await three.coordinator(name, 1 if role == "transactions" else 0)
