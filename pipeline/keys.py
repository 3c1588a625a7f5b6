"""Digests that name things: fingerprints, contents, situations, dedupe keys."""

import hashlib
from typing import Any

import orjson

KEY_LENGTH = 32  # hex digits, 128 bits: no collision to expect below 10^18 keys


def canonical(value: Any) -> bytes:
    """Encode plain JSON types with sorted keys and no blanks."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest_bytes(data: bytes) -> str:
    """Hash bytes to `KEY_LENGTH` hex digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:KEY_LENGTH]


def digest(*parts: Any) -> str:
    """Hash plain JSON values, in order; no two different lists of parts share an encoding."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:KEY_LENGTH]
