"""The process that large documents are read in: gets an open file through a socket, and writes pieces of it back.

    python -m pipeline.report.serve DESCRIPTOR PARENT

Its parent starts it and ends it (`daemon/parser.py`). It never outlives its parent. A hostile document costs this
process, whose memory is bounded by the system; what is in it cannot reach the parent but as pieces.
"""

import contextlib
import gc
import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.engine.parent import bind_to
from pipeline.errors import Incomplete, ReportError
from pipeline.keys import content_digest
from pipeline.report.limits import Limits, too_large
from pipeline.report.pieces import Begun, Failed, Piece, Read, Unpacker, Unusable, cut, pack
from pipeline.report.read import read_patiently

_RECEIVED = 1 << 16
_PAGES_FILE = Path("/proc/self/statm")
_READ_AT_ONCE = 1 << 20


def main() -> None:
    """Serve the socket with this descriptor until its other end is closed, or the process with this id has ended."""
    descriptor, parent = map(int, sys.argv[1:])
    bind_to(parent)
    gc.freeze()
    gc.disable()  # a parsed document has no circles, and looking for some takes as long as parsing
    with socket.socket(fileno=descriptor) as channel, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        serve(channel)


def serve(channel: socket.socket) -> None:
    """Read one document after the other."""
    own = _address_space()
    unpacker = Unpacker()
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, _RECEIVED, 1)
        if not data:
            return
        for request in unpacker.feed(data):
            if not isinstance(request, Read) or not descriptors:
                return
            descriptor = descriptors.pop()
            try:
                channel.sendall(pack(Begun()))
                _bound(own, request.memory_bytes)
                _answer(channel, request, descriptor)
            finally:
                os.close(descriptor)
            gc.collect()


def _answer(channel: socket.socket, request: Read, descriptor: int) -> None:
    """Send all pieces of a document; what goes wrong with it is a piece, too."""
    last: Piece | None = None
    try:
        for piece in _pieces(request, descriptor):
            channel.sendall(pack(piece))
    except ReportError as error:
        last = Unusable(error.reason, error.detail, error.offset, isinstance(error, Incomplete))
    except MemoryError:
        last = Failed("it takes more memory than that", memory=True)
    except OSError as error:
        if isinstance(error, BrokenPipeError | ConnectionResetError):
            raise
        last = Failed(f"it cannot be read: {error.strerror}", memory=False)
    except Exception as error:  # a mistake of ours, which is to stop no other document
        last = Failed(f"this program failed on it: {error!r}"[:1000], memory=False)
    if last is not None:  # here, where nothing of the document is held any more
        channel.sendall(pack(last))


def _pieces(request: Read, descriptor: int) -> Iterator[Piece]:
    limits = Limits.model_validate(request.limits)
    raw = _read_all(descriptor, limits.max_bytes + 1)
    if len(raw) > limits.max_bytes:
        raise too_large(limits)
    digest = content_digest(raw)
    document = read_patiently(raw, limits, request.final)
    del raw
    yield from cut(document, digest)


def _read_all(descriptor: int, most: int) -> bytes:
    """Read from the start, wherever others are in the same file."""
    parts: list[bytes] = []
    size = 0
    while size < most and (part := os.pread(descriptor, min(_READ_AT_ONCE, most - size), size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _address_space() -> int:
    """Say how many bytes of addresses this process takes before it reads anything; 0 where that cannot be seen."""
    with contextlib.suppress(OSError, ValueError):
        return int(_PAGES_FILE.read_text().split()[0]) * resource.getpagesize()
    return 0


def _bound(own: int, memory_bytes: int) -> None:
    """Have the system bound what this process takes, beyond where the parent, which has an eye on it, would end it.

    The parser of JSON does not survive this bound, so it is better ended before; the system may also refuse to set it.
    Addresses are bounded, of which that parser asks for more than it ever uses, so it is twice what may be used.
    """
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = own + 2 * memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))


if __name__ == "__main__":
    main()
