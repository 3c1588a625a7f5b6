"""JSON that may be shown as it is: what acts on a terminal, hides, or turns text round is spelt as an escape.

A program that parses it gets the same strings. JSON itself asks for escapes below U+0020 only, so U+202E, U+200B or
U+009B would stand in a line as they are, and whoever looks at it with `cat` or `less` would be shown something else.
"""

import re
from typing import Any

import orjson

from pipeline.display import UNSAFE

LONGEST_SPELT = 12  # bytes of one character: two escapes


def harmless(made: bytes) -> bytes:
    """Spell what `printable` would replace as escapes; nearly free for ASCII.

    Args:
        made: JSON in UTF-8, in which such characters stand in strings only; what was made harmless stays as it is.
    """
    if made.isascii() and b"\x7f" not in made:
        return made
    return UNSAFE.sub(_spelt, made.decode()).encode()


def as_json(value: Any) -> bytes:
    """Write a value so, keys sorted."""
    return harmless(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def _spelt(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:  # between strings, where a line or an indentation may be; in strings JSON has escapes for them
        return match[0]
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
