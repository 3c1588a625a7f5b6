"""What keeps an HTTP exchange within its time and its size."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator

_READ_BYTES = 1 << 16


@contextlib.contextmanager
def within(timeout_s: float, channel: Callable[[], socket.socket | None]) -> Iterator[threading.Event]:
    """Interrupt an exchange that takes too long: a letter a second never lets a socket's own time-out come.

    Args:
        timeout_s: seconds for the whole of it.
        channel: gives the socket, once it is there.

    Yields:
        What is set once the exchange was interrupted. Look at it after an answer, too: without a length it just ends.
    """
    late = threading.Event()

    def give_up() -> None:
        late.set()
        open_now = channel()
        if open_now is not None:
            with contextlib.suppress(OSError):  # of a plain socket: that of TLS would take the secret away first
                socket.socket.shutdown(open_now, socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def read_body(response: http.client.HTTPResponse, most: int) -> bytes:
    """Read an answer whole, or a little more than `most` bytes of one that is longer."""
    data = bytearray()
    while len(data) <= most and (piece := response.read1(_READ_BYTES)):
        data += piece
    return bytes(data)
