"""The consumer of a lane's client: a member of a group, or nobody's."""

import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaConnectionError

from daemon.sinks.kafka.access import access
from daemon.sinks.kafka.settings import KafkaSettings

_REPLACED_CODES = (25, 82)  # UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, which the library does not know


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


def watch_membership(
    consumer: AIOKafkaConsumer, confirm: Callable[[float], None], unknown: Callable[[str], bool]
) -> None:
    """Have two functions called with what the group answers; the library says it nowhere, so its methods are wrapped.

    Args:
        confirm: with the time of each heartbeat that the group has answered as that of a member: the time at which it
            was sent, because the answer to one from before a process was frozen says nothing of now.
        unknown: with the id of a member that the group does not know, or knows under another process; says whether to
            join again.
    """
    gone = False
    coordinator = consumer._coordinator
    ask, send = coordinator._do_heartbeat, coordinator._send_req

    async def asked() -> bool:
        at = time.monotonic()
        answered: bool = await ask()
        # It says True, too, where the group is about to hand out partitions anew.
        if answered and not coordinator._rejoin_needed_fut.done():
            confirm(at)
        return answered

    async def sent(request: Any) -> Any:
        nonlocal gone
        if gone:  # or it would throw the other one out once more on its way to the end
            raise KafkaConnectionError("not a member any more")
        member = coordinator.member_id
        response = await send(request)
        if member and getattr(response, "error_code", 0) in _REPLACED_CODES:
            gone = not unknown(member)
        return response

    coordinator._do_heartbeat = asked
    coordinator._send_req = sent
