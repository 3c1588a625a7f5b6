"""Sees whether a syslog receiver is there, without sending a message."""

from daemon.sinks.syslog.settings import SyslogSettings
from daemon.sinks.syslog.transport import send
from pipeline.errors import SinkError


def probe_syslog(settings: SyslogSettings) -> str:
    """Connect; returns a line for people.

    Raises:
        SinkError: if there is no receiver, as far as the transport can tell.
    """
    receiver = settings.receiver
    try:
        send(receiver, settings, ())
    except SinkError as error:
        raise SinkError(f"syslog:{settings.name}: {error}") from error
    if receiver.transport == "udp":
        return f"{receiver.place}: by UDP nobody can tell whether it is there, and what is lost is lost"
    return f"{receiver.place} is there"
