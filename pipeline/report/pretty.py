"""Reverses the scanner's `--pretty`, which damages strings once one of them ends in a backslash.

`--pretty` ends with a pass over the text that recognises strings by their quotes, and treats a quote after a backslash
as escaped even where that backslash is itself escaped. After the first string that ends in a backslash it confuses
strings with structure, and inserts blanks and line ends into strings. The pass only inserts, and what it inserts
depends only on what it has read so far, so it can be reversed: if every insertion is found in its place, the text
before the pass is known exactly; if one is missing, the text did not come from that pass and is left as it is.
"""

import re

_QUOTE = re.compile(rb'(?<!\\)"')  # what the pass takes for the beginning or end of a string
_STRUCTURE = re.compile(rb"[:,{}\[\]]")
_STEP = b"  "
# JSON reports go through two such passes, of which the first is correct, so the text before the second is indented
# too; NDJSON and SARIF go through one. This excludes text that another tool has indented.
_BEFORE = re.compile(rb'\s*\{(?:\n|"(?:type|version|\$schema)":)')


def looks_damaged(text: bytes) -> bool:
    """Return whether `text` may be damaged: it is indented, and a string may end in a backslash; cheap to check."""
    return b'\\\\"' in text and b"{\n" in text


def undo_pretty(text: bytes) -> bytes | None:
    """Return the text before the pass, or None if `text` did not come from it."""
    parts: list[bytes] = []
    depth = 0
    for number, segment in enumerate(_QUOTE.split(text)):
        if number:
            parts.append(b'"')
        if number % 2:  # the pass copies what it takes for a string
            parts.append(segment)
            continue
        position = 0
        for match in _STRUCTURE.finditer(segment):
            at = match.start()
            char = match.group()
            before = segment[position:at]
            if char in b"}]":
                depth -= 1
                added = b"\n" + _STEP * depth
                if depth < 0 or not before.endswith(added):
                    return None
                parts += (before[: len(before) - len(added)], char)
                position = at + 1
                continue
            if char in b"{[":
                depth += 1
            added = b" " if char == b":" else b"\n" + _STEP * depth
            if not segment.startswith(added, at + 1):
                return None
            parts += (before, char)
            position = at + 1 + len(added)
        parts.append(segment[position:])
    before_pass = b"".join(parts)
    return before_pass if _BEFORE.match(before_pass) else None
