"""Bounded decompression of gzip data."""

import zlib

from pipeline.errors import Incomplete, ReportError
from pipeline.report.limits import Limits, too_large

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20  # decompressed at a time, so that a bomb is noticed within a megabyte


def decompress(raw: bytes, limits: Limits) -> bytes:
    """Return `raw`, decompressed if it begins with the magic bytes of gzip.

    The name does not matter: the scanner writes plain text to files that end in .gz.

    Several members are joined; zero bytes after the last one are padding.

    Raises:
        Incomplete: ``truncated_gzip``: the compressed data ends early.
        ReportError: ``corrupt_gzip`` or ``too_large``.
    """
    if raw == GZIP_MAGIC[:1]:
        raise Incomplete("truncated_gzip", "compressed data ends in its header", 1)
    if not raw.startswith(GZIP_MAGIC):
        _check_size(len(raw), len(raw), limits)
        return raw
    parts: list[bytes] = []
    total = 0
    rest = raw
    while rest:
        start = len(raw) - len(rest)
        if not rest.startswith(GZIP_MAGIC):
            if GZIP_MAGIC.startswith(rest):
                raise Incomplete("truncated_gzip", "compressed data ends in the header of a member", start)
            raise ReportError("corrupt_gzip", "something that is not gzip follows the compressed data", start)
        member = zlib.decompressobj(wbits=31)
        feed = rest
        while not member.eof:
            try:
                piece = member.decompress(feed, _CHUNK)
            except zlib.error as error:
                raise ReportError("corrupt_gzip", f"damaged compressed data: {error}", start) from None
            feed = member.unconsumed_tail
            if not piece and not feed and not member.eof:
                raise Incomplete("truncated_gzip", "compressed data ends early", len(raw))
            total += len(piece)
            _check_size(total, len(raw), limits)
            parts.append(piece)
        rest = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _check_size(size: int, compressed: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise too_large(limits)
    if size > limits.ratio_floor_bytes and size > compressed * limits.max_ratio:
        detail = f"decompresses to more than {limits.max_ratio} times its size; raise limits.max_ratio if you trust it"
        raise ReportError("too_large", detail)
