"""Sends records to a syslog receiver."""

from collections.abc import Callable, Sequence

from daemon.sinks.network.courier import Done, NetworkSink
from daemon.sinks.network.items import Item, in_batches, item_maker
from daemon.sinks.syslog.message import message
from daemon.sinks.syslog.settings import SyslogSettings
from daemon.sinks.syslog.transport import send
from pipeline.errors import SinkError

_BATCH_RECORDS = 500  # that go through one connection
_BATCH_BYTES = 4 << 20


def open_syslog(settings: SyslogSettings) -> NetworkSink:
    """Make the sink. Nothing is connected before the first record."""
    name = f"syslog:{settings.name}"
    return NetworkSink(name, item_maker(settings), _sender(settings, name))


def _sender(settings: SyslogSettings, name: str) -> Callable[[Sequence[Item], Done], None]:
    receiver = settings.receiver

    def sender(items: Sequence[Item], done: Done) -> None:
        for batch in in_batches(items, _BATCH_RECORDS, _BATCH_BYTES, lambda item: min(len(item.line), settings.most)):
            try:
                send(receiver, settings, [message(item, settings) for item in batch])
            except SinkError as error:
                raise SinkError(f"{name}: {error}", wait_s=error.wait_s) from error
            done(batch[-1].position)

    return sender
