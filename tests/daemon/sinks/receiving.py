"""A syslog receiver over TCP, plain or with TLS, which reads frames and counts them by key; and fails as told."""

import re
import socket
import ssl
import struct
import threading
from collections import Counter
from io import BufferedReader

_KEY = re.compile(rb'key="([^"\]\\]*)"')


class Receiving:
    """Attributes:
    dies_after: it resets the next connections when it has read so many frames of each; 0: with the first bytes unread.
    never_closes: it reads everything and keeps the connection open.
    frames: whole messages, in order.
    times: how often each key came.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.dies_after: list[int] = []
        self.never_closes = False
        self.frames: list[bytes] = []
        self.times: Counter[str] = Counter()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []

    def __enter__(self) -> "Receiving":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._listener.close()
        for one in self._held:
            one.close()

    def lines(self) -> list[bytes]:
        """List the messages without their heads, each key once, as it came first."""
        seen: dict[bytes, bytes] = {}
        for frame in self.frames:
            found = _KEY.search(frame)
            assert found is not None
            seen.setdefault(found[1], frame.partition(b"\xef\xbb\xbf")[2])
        return list(seen.values())

    def _serve(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._take(channel)
            except (OSError, ValueError):  # broken off, or no frame
                channel.close()

    def _take(self, channel: socket.socket) -> None:
        left = self.dies_after.pop(0) if self.dies_after else None
        if left == 0:
            channel.recv(1, socket.MSG_PEEK)  # something is there, and stays unread
            _reset(channel)
            return
        if self._context is not None:
            channel = self._context.wrap_socket(channel, server_side=True)
        with channel.makefile("rb") as file:
            while head := _until_blank(file):
                frame = file.read(int(head))
                if len(frame) < int(head):
                    break
                self.frames.append(frame)
                found = _KEY.search(frame)
                assert found is not None
                self.times[found[1].decode()] += 1
                if left is not None and (left := left - 1) == 0:
                    _reset(channel)
                    return
        if self.never_closes:
            self._held.append(channel)
        else:
            channel.close()


def _until_blank(file: BufferedReader) -> bytes:
    digits = b""
    while (one := file.read(1)) not in (b" ", b""):
        digits += one
    return digits


def _reset(channel: socket.socket) -> None:
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    channel.close()
