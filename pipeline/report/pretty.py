"""Undoes the scanner's `--pretty`, which damages strings once one of them ends in a backslash.

The last thing that `--pretty` does to its text is a pass that tracks strings by quotes, and takes a quote after a
backslash for an escaped one, even when that backslash is itself escaped. From the first string that ends in a
backslash on it takes text for structure and structure for text, so it adds blanks and line ends inside strings. The
pass only ever adds, and what it adds depends only on what it has read so far. So it can be run backwards: where
every addition is found in its place, the text before the pass is known exactly, and where one is missing, the text
did not come from that pass and is left alone.
"""

import re

_QUOTE = re.compile(rb'(?<!\\)"')  # as the pass sees a quote that begins or ends a string
_STRUCTURE = re.compile(rb"[:,{}\[\]]")
_STEP = b"  "
# A JSON report goes through two passes, of which the first is sound, so the text before the last one is laid out
# too; NDJSON and SARIF go through one. Text that some other tool has laid out is told apart by this.
_BEFORE = re.compile(rb'\s*\{(?:\n|"(?:type|version|\$schema)":)')


def looks_damaged(text: bytes) -> bool:
    """Tell cheaply whether `text` may have been damaged: it is laid out over lines, and a string may end in a
    backslash."""
    return b'\\\\"' in text and b"{\n" in text


def undo_pretty(text: bytes) -> bytes | None:
    """Return the text that the pass was given, or None if `text` did not come from it."""
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
