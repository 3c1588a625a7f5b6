"""How messages get to a receiver, and when it counts as having them."""

import contextlib
import errno
import fcntl
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from daemon.sinks.network.settings import NetworkSettings
from daemon.sinks.network.tls import client_context, refused
from daemon.sinks.syslog.settings import Receiver
from pipeline.errors import SinkError

_GOODBYE_S = 5.0  # for a receiver to end the connection from its side, once it has read everything
_POLL_S = 0.02


def send(receiver: Receiver, settings: NetworkSettings, messages: Sequence[bytes]) -> None:
    """Send messages; returns when as much is known of their arrival as the transport can tell.

    Raises:
        SinkError: when they did not arrive, or that is not known; they may be sent again.
    """
    try:
        if receiver.transport in ("tcp", "tls"):
            with _connected(receiver, settings) as channel:
                channel.sendall(b"".join(framed(one) for one in messages))
                _take_leave(channel)
        else:
            with _datagrams(receiver, settings.timeout_s) as channel:
                for one in messages:
                    channel.send(one)
    except TimeoutError as error:
        raise _late(receiver, settings.timeout_s) from error
    except ssl.SSLError as error:
        raise refused(receiver.place, error) from error
    except OSError as error:
        raise SinkError(f"{receiver.place}: {error.strerror or error}; {_advice(receiver, error)}") from error


def framed(message: bytes) -> bytes:
    """Put the number of bytes in front, so that a line end within a message ends nothing (RFC 6587, 5425)."""
    return b"%d %s" % (len(message), message)


@contextlib.contextmanager
def _connected(receiver: Receiver, settings: NetworkSettings) -> Iterator[socket.socket]:
    """Connect by TCP, secured where wanted, and be interrupted when all of it takes too long."""
    context = client_context(settings) if receiver.transport == "tls" else None
    channel = socket.create_connection((receiver.host, receiver.port), settings.timeout_s)
    if context is not None:
        channel = context.wrap_socket(channel, server_hostname=receiver.host, do_handshake_on_connect=False)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(channel, socket.SHUT_RDWR)

    timer = threading.Timer(settings.timeout_s + 3 * _GOODBYE_S, give_up)
    timer.daemon = True
    timer.start()
    try:
        if isinstance(channel, ssl.SSLSocket):
            channel.do_handshake()
        yield channel
    except OSError as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        channel.close()
    if late.is_set():
        raise TimeoutError


def _take_leave(channel: socket.socket) -> None:
    """End the connection from this side, and wait until the receiver ends it from its own.

    Syslog has no confirmation. But a receiver that has read everything sees the end and closes, and one that dies with
    something unread resets the connection. Where it does neither, it counts that its system has confirmed every byte.

    Raises:
        OSError: when the connection was reset, or not everything was confirmed.
    """
    channel.settimeout(_GOODBYE_S)
    if isinstance(channel, ssl.SSLSocket):
        _say_goodbye(channel)
    # Below TLS, where there is one: it is over, and only how the connection ends matters.
    socket.socket.shutdown(channel, socket.SHUT_WR)
    until = time.monotonic() + _GOODBYE_S
    with contextlib.suppress(TimeoutError):
        while socket.socket.recv(channel, 4096):  # whatever it says, it is nothing that syslog knows
            if time.monotonic() > until:
                break
        else:
            return
    while _unconfirmed(channel):
        if time.monotonic() > until + _GOODBYE_S:
            raise TimeoutError
        time.sleep(_POLL_S)


def _say_goodbye(channel: ssl.SSLSocket) -> None:
    """End TLS; the receiver may answer with its own goodbye, with the end of the connection, or not at all."""
    try:
        channel.unwrap()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError):
        return
    except ssl.SSLError as error:  # such as a refusal of our certificate, which comes only now
        if error.reason != "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
            raise


def _unconfirmed(channel: socket.socket) -> int:
    """Count the bytes that the other side's system has not confirmed (`SIOCOUTQ`)."""
    (count,) = struct.unpack("i", fcntl.ioctl(channel, termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(count)


@contextlib.contextmanager
def _datagrams(receiver: Receiver, timeout_s: float) -> Iterator[socket.socket]:
    if receiver.transport == "unix":
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address: Any = receiver.host
    else:
        family, _, _, _, address = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_DGRAM)[0]
        channel = socket.socket(family, socket.SOCK_DGRAM)
    with channel:
        channel.settimeout(timeout_s)
        channel.connect(address)
        yield channel


def _late(receiver: Receiver, timeout_s: float) -> SinkError:
    return SinkError(f"{receiver.place}: does not take messages within {timeout_s:g} s; see what keeps it")


def _advice(receiver: Receiver, error: OSError) -> str:
    if error.errno == errno.EMSGSIZE:
        return "a message is too large for it; lower max_bytes"
    if receiver.transport == "unix":
        return "see that the receiver runs, listens there, and lets this user write"
    return "see that the receiver runs and can be reached"
