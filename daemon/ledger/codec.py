"""Objects to compact bytes and back, and the hash that makes ids of them."""

import hashlib

from pipeline.report.encode import (
    DAMAGE,
    decode_finding,
    decode_header,
    dumps,
    encode_finding,
    encode_header,
    loads,
    weight,
)
from pipeline.report.records import HeaderLine, MetaLine

__all__ = [
    "DAMAGE",
    "decode_finding",
    "decode_header",
    "decode_header_lines",
    "dumps",
    "encode_finding",
    "encode_header",
    "encode_header_lines",
    "loads",
    "text",
    "text_digest",
    "weight",
]


def text_digest(*parts: str | bytes) -> str:
    """Hash texts as they are, each with its length in front, to 128 bits in hex: the ids of scans and of rejects.

    `pipeline.keys.digest` hashes JSON, which holds neither bytes nor lone surrogates; paths and excerpts do. Ledgers
    hold what this returns, so it must never change.
    """
    state = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()[:32]


def encode_header_lines(meta: MetaLine | None, headers: list[HeaderLine]) -> bytes:
    """Write the header lines of a stream's scan, to go on with them after a restart."""
    return dumps(
        {
            "meta": None if meta is None else [meta.fields, meta.line.decode("latin-1")],
            "headers": [[line.kind, line.fields, line.line.decode("latin-1")] for line in headers],
        }
    )


def decode_header_lines(data: bytes) -> tuple[MetaLine | None, list[HeaderLine]]:
    values = loads(data)
    meta = values["meta"]
    return (
        None if meta is None else MetaLine(meta[0], meta[1].encode("latin-1")),
        [HeaderLine(kind, fields_, line.encode("latin-1")) for kind, fields_, line in values["headers"]],
    )


def text(value: str) -> str:
    """Make a stranger's string storable: lone surrogates become escapes."""
    return value.encode("utf-8", "backslashreplace").decode()
