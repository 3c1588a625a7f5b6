"""Bounded decompression of gzip, zstd, xz and bzip2, told apart by their first bytes.

Time grows with the bytes that are let in and that come out, and with nothing else. Bounded are the bytes that come out,
the members (or frames) of one file, and the memory that a format lets a writer ask for (`_XZ_MEMORY_BYTES`,
`_ZSTD_WINDOW_LOG`).
"""

import re
import sys
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Protocol

from pipeline.errors import Incomplete, ReportError
from pipeline.report.limits import Limits, too_large

try:
    import bz2
    import lzma
except ImportError:  # a Python that was built without them
    bz2 = lzma = None  # type: ignore[assignment]
zstd: ModuleType | None
try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    zstd = None

MAGIC_BYTES = 6  # of a file, that tell how it is compressed

_CHUNK = 1 << 20  # decompressed at a time, so that a bomb is noticed within a megabyte
_FIRST_FEED = 256  # handed to a member at first, then twice as much: what follows a short member is hardly touched
_FEED = 1 << 16
_XZ_MEMORY_BYTES = 96 << 20  # `xz -9`, its highest preset, needs 65 MiB
_ZSTD_WINDOW_LOG = 27  # 128 MiB, as `zstd -d`; only as much of it is touched as bytes come out
_FORMATS = re.compile(
    rb"(?P<gzip>\x1f\x8b)|(?P<bzip2>BZh[1-9])|(?P<xz>\xfd7zXZ\x00)|(?P<zstd>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)"
)
_SKIPPABLE = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))  # frames of zstd without content
_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", *_SKIPPABLE)
_PADDING = re.compile(rb"\x00*")
# What is not read, but named, so that nobody looks for its findings in vain.
_UNREAD = (
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x1f\x9d", "compress"),
    (b"LZIP", "lzip"),
    (b"\x5d\x00\x00", "lzma"),
    (b"Rar!\x1a\x07", "rar"),
)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...


class _Gzip:
    """One member of gzip, with the face that the other formats have."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        return self._member.decompress(data if len(data) else self._member.unconsumed_tail, max_length)


def is_compressed(head: bytes) -> bool:
    """Say whether a file that begins like this is compressed in a way that is read; `MAGIC_BYTES` of it are enough."""
    return _FORMATS.match(head) is not None


def may_become_compressed(head: bytes) -> bool:
    """Say whether a file that has only these bytes yet may become a compressed one."""
    # One character that may as well begin a text is no sign of it.
    return (len(head) > 1 or head in (b"\x1f", b"\xfd")) and _is_cut_magic(head)


def _is_cut_magic(head: bytes) -> bool:
    return len(head) < MAGIC_BYTES and any(magic.startswith(head) and magic != head for magic in _MAGICS)


def decompress(raw: bytes, limits: Limits) -> bytes:
    """Return `raw`, decompressed if it begins with the magic bytes of gzip, zstd, xz or bzip2.

    The name does not matter: the scanner writes plain text to files that end in .gz.

    Several members are joined, whatever the format of each; zero bytes behind one are padding.

    Raises:
        Incomplete: ``truncated_gzip``: the compressed data ends early, in whatever format.
        ReportError: ``corrupt_gzip``, ``too_large``, or ``not_a_report`` for what cannot be decompressed here.
    """
    parts = list(unpack(raw, limits))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def beginning(raw: bytes, limits: Limits, most: int, *, cut: bool = False) -> tuple[bytes, bool]:
    """Return what `raw` begins with once it is decompressed, and whether that is all: at most `most` bytes and a chunk.

    Args:
        cut: `raw` is only the beginning of something longer.

    Raises:
        ReportError: as `decompress`, unless what is there of a longer one is enough.
    """
    parts: list[bytes] = []
    size = 0
    try:
        for part in unpack(raw, limits):
            parts.append(part)
            size += len(part)
            if size > most:
                return b"".join(parts), False
    except Incomplete:
        if not cut:
            raise
    return b"".join(parts), not cut


def unpack(raw: bytes, limits: Limits) -> Iterator[bytes]:
    """Decompress piece by piece, each of them within a megabyte; see `decompress`.

    Raises:
        ReportError: as `decompress`.
    """
    if may_become_compressed(raw):
        raise Incomplete("truncated_gzip", "compressed data ends in its header", len(raw))
    kind = _FORMATS.match(raw)
    if kind is None:
        _refuse_unread(raw)
        _check_size(len(raw), len(raw), limits)
        yield raw
        return
    total = members = position = 0
    view = memoryview(raw)
    while position < len(raw):
        kind = _FORMATS.match(raw, position)
        if kind is None:
            if _is_cut_magic(raw[position : position + MAGIC_BYTES]):
                raise Incomplete("truncated_gzip", "compressed data ends in the header of a member", position)
            raise ReportError("corrupt_gzip", "something that is not compressed follows compressed data", position)
        members += 1
        if members > limits.max_members:
            detail = f"more than {limits.max_members} compressed members in one file (limits.max_members); split it"
            raise ReportError("too_large", detail, position)
        name = str(kind.lastgroup)
        member = _open(name)
        start = fed = position
        feed = _FIRST_FEED
        while not member.eof:
            data = view[fed : fed + feed] if member.needs_input else b""
            if member.needs_input and not len(data):
                raise Incomplete("truncated_gzip", f"compressed data ({name}) ends early", len(raw))
            fed += len(data)
            feed = min(2 * feed, _FEED)
            try:
                piece = member.decompress(data, _CHUNK)
            except _damage() as error:
                reason = " ".join(str(error).split())[:200]
                if "memory" in reason.lower():  # of liblzma and of zstd, whose types do not tell it from damage
                    detail = f"this {name} asks for too much memory; compress it with a smaller dictionary or window"
                    raise ReportError("too_large", detail, start) from None
                raise ReportError("corrupt_gzip", f"damaged compressed data ({name}): {reason}", start) from None
            total += len(piece)
            _check_size(total, len(raw), limits)
            if piece:
                yield piece
        padding = _PADDING.match(raw, fed - len(member.unused_data))
        position = padding.end() if padding is not None else len(raw)


def _open(name: str) -> _Decompressor:
    if name == "gzip":
        return _Gzip()
    opened: _Decompressor | None = _OPENERS[name]()
    if opened is None:
        need = "install backports.zstd" if name == "zstd" else f"use a Python that has {_LIBRARY[name]}"
        raise ReportError("not_a_report", f"compressed with {name}, which cannot be read here: {need}, or unpack it")
    return opened


def _open_zstd() -> Any:
    return zstd and zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})


_LIBRARY = {"bzip2": "bz2", "xz": "lzma"}
_OPENERS: dict[str, Callable[[], Any]] = {
    "bzip2": lambda: bz2 and bz2.BZ2Decompressor(),
    "xz": lambda: lzma and lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
    "zstd": _open_zstd,
}


def _damage() -> tuple[type[Exception], ...]:
    # The standard library raises OSError, ValueError and EOFError for damage in bzip2.
    kinds: list[type[Exception]] = [zlib.error, OSError, ValueError, EOFError]
    kinds += [lzma.LZMAError] if lzma is not None else []
    return (*kinds, *((zstd.ZstdError,) if zstd is not None else ()))


def _refuse_unread(raw: bytes) -> None:
    for magic, name in _UNREAD:
        if raw.startswith(magic):
            raise ReportError("not_a_report", f"compressed with {name}, which is not read; unpack it", 0)


def _check_size(size: int, compressed: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise too_large(limits)
    if size > limits.ratio_floor_bytes and size > compressed * limits.max_ratio:
        detail = f"decompresses to more than {limits.max_ratio} times its size; raise limits.max_ratio if you trust it"
        raise ReportError("too_large", detail)
