"""Records that the other side refuses for what they are, kept in a file for a person."""

import os
from pathlib import Path

import orjson

from daemon.sinks.network.items import Item
from pipeline.errors import SinkError

_MODE = 0o640  # as the output


class DeadLetters:
    """Appends to a file. A record that is refused again after a crash stands there twice, with the same key."""

    def __init__(self, path: Path, sink: str) -> None:
        """Nothing is opened before the first use."""
        self._path = path
        self._sink = sink

    def add(self, item: Item, reason: str) -> None:
        """Write a record down, durably.

        Raises:
            SinkError: when it cannot be written just now.
        """
        line = orjson.dumps({"sink": self._sink, "key": item.key, "kind": item.kind, "reason": reason})
        line = line[:-1] + b',"record":' + item.line + b"}\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            file = os.open(self._path, flags, _MODE)
            try:
                if os.fstat(file).st_size and not _ends_a_line(self._path):
                    line = b"\n" + line  # what a crash cut off stays a line of its own
                view = memoryview(line)
                while view:
                    view = view[os.write(file, view) :]
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise SinkError(
                f"dead_letter: {self._path}: {error.strerror}; it must be a file that can be written"
            ) from error


def _ends_a_line(path: Path) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.pread(file, 1, max(os.fstat(file).st_size - 1, 0)) == b"\n"
    finally:
        os.close(file)
