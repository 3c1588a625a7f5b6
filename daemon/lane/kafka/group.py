"""The consumer of a lane's client: a member of a group, or nobody's."""

import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from daemon.sinks.kafka.client import access
from daemon.sinks.kafka.settings import KafkaSettings


def make_consumer(settings: KafkaSettings, fetch_bytes: int) -> AIOKafkaConsumer:
    """Make a consumer that never decides by itself where to read, and never commits."""
    options: dict[str, Any] = {
        **access(settings),
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "max_partition_fetch_bytes": fetch_bytes,
    }
    if not settings.partitions:
        options |= {
            "group_id": settings.group,
            "group_instance_id": settings.instance_id,
            "partition_assignment_strategy": (StickyPartitionAssignor,),
            "session_timeout_ms": round(settings.session_timeout_s * 1000),
            "heartbeat_interval_ms": round(settings.session_timeout_s * 1000 / 15),
        }
    return AIOKafkaConsumer(**options)


def watch_heartbeats(consumer: AIOKafkaConsumer, confirm: Callable[[float], None]) -> None:
    """Have `confirm` called with the time of each heartbeat that the group has answered as that of a member.

    With the time at which it was sent: the answer to one from before a process was frozen says nothing of now. The
    library says it nowhere, so its method is wrapped.
    """
    coordinator = consumer._coordinator
    ask = coordinator._do_heartbeat

    async def asked() -> bool:
        at = time.monotonic()
        answered: bool = await ask()
        # It says True, too, where the group is about to hand out partitions anew.
        if answered and not coordinator._rejoin_needed_fut.done():
            confirm(at)
        return answered

    coordinator._do_heartbeat = asked
