"""Digests that name things: fingerprints, contents, situations, dedupe keys."""

import hashlib
from typing import Any

import orjson

KEY_LENGTH = 32  # hex digits, 128 bits: no collision to expect below 10^18 keys


def canonical(value: Any) -> bytes:
    """Encode plain JSON types with sorted keys and no blanks: the form that is written and hashed.

    Raises:
        TypeError: for what is no plain JSON: integers past 64 bits, lone surrogates. Reading a report leaves none.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_digest(data: bytes) -> str:
    """Hash bytes to all 64 hex digits of SHA-256, as `sha256sum` does: it names the content of a file or report."""
    return hashlib.sha256(data).hexdigest()


def digest_bytes(data: bytes) -> str:
    """Hash bytes to `KEY_LENGTH` hex digits of SHA-256, to make a key of them."""
    return content_digest(data)[:KEY_LENGTH]


def digest(*parts: Any) -> str:
    """Hash plain JSON values, in order; no two different lists of parts share an encoding."""
    return digest_bytes(canonical(parts))
