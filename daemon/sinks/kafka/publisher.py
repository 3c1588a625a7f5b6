"""Sends reports to the input topic: an idempotent producer, without transactions and without an identity of its own."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from daemon.sinks.kafka.access import access, count_partitions, leave, told
from daemon.sinks.kafka.settings import KafkaSettings

_ROOM_BYTES = 64 << 10  # of a request beside the value


@dataclass(slots=True, frozen=True)
class Place:
    """Where a message is."""

    partition: int
    offset: int


class Publisher:
    """Sends messages to one topic. Those with one key stay in order, and none is there twice because it was sent again.

    Confirmed is what all replicas that are in sync have.
    """

    def __init__(self, settings: KafkaSettings, topic: str, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._topic = topic
        self._producer = producer

    @classmethod
    async def open(cls, settings: KafkaSettings, topic: str) -> "Publisher":
        """Connect.

        Raises:
            SinkError: when the brokers cannot be reached, or the topic is not there.
        """
        with told(settings, "cannot be reached", (topic,), again=False):
            producer = AIOKafkaProducer(
                **access(settings),
                enable_idempotence=True,
                max_batch_size=settings.max_record_bytes + _ROOM_BYTES,
                max_request_size=settings.max_record_bytes + _ROOM_BYTES,
            )
            try:
                async with asyncio.timeout(settings.timeout_s):
                    await producer.start()
                    await count_partitions(producer.client, settings, [topic])
            except BaseException:
                await leave(producer)
                raise
        return cls(settings, topic, producer)

    async def send(self, host: str, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> Awaitable[Place]:
        """Hand a message over; what is returned waits until it is confirmed.

        Raises:
            SinkError: when it cannot be handed over; the awaitable, when it is not known to be there.
        """
        with told(self._settings, "do not take reports", (self._topic,), again=False):
            async with asyncio.timeout(self._settings.timeout_s):
                sent = await self._producer.send(self._topic, value, key=host.encode(), headers=list(headers))
        return self._confirmed(sent)

    async def close(self) -> None:
        """Disconnect; what is not confirmed is not waited for long."""
        await leave(self._producer)

    async def _confirmed(self, sent: "asyncio.Future[object]") -> Place:
        with told(self._settings, "do not take reports", (self._topic,), again=False):
            async with asyncio.timeout(self._settings.timeout_s):
                found = await sent
        return Place(found.partition, found.offset)  # type: ignore[attr-defined]
