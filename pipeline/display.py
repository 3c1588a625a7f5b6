"""Makes strings that others chose safe to show: on a terminal, in a sentence, in a page."""

import re

# Whatever can move the cursor, hide text, or make it read otherwise than it is written. Spelled out instead of asked of
# `unicodedata`, so that another Python with other tables gives the same bytes.
UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters, DEL, C1
    "\ud800-\udfff"  # lone surrogates
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"  # invisible, bidirectional
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef"  # fillers, no characters
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # signs that reach over what follows
    "\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"  # blanks that are not the blank
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"  # tags, variation selectors
    "]"
)
# Signs that a reader takes for the end of a quotation.
_QUOTES = re.compile(
    '["\u00ab\u00bb\u02ba\u02dd\u02ee\u02f5\u02f6\u05f4\u201c-\u201f\u2033\u2036\u2039\u203a\u275d\u275e\u2760\u301d-\u301f\uff02]'
)
MAX_SHOWN = 300  # characters; a path of the kernel's maximum (4096) would drown a sentence


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """Replace characters that act on a terminal or hide by their escapes, and cut what is overlong."""
    cut = len(text) > limit
    text = text[:limit]  # first, or a value of megabytes would be escaped to show a line of it
    shown = text if text.isascii() and text.isprintable() else UNSAFE.sub(_escape, text)
    return shown if len(shown) <= limit and not cut else f"{shown[: limit - 1]}…"


def quoted(text: str, limit: int = MAX_SHOWN) -> str:
    """Set text that others chose in quotation marks, so that it cannot read as a sentence of ours; else `printable`.

    Quotation marks within it become single ones: it cannot end the quotation and go on outside of it.
    """
    said = printable(_QUOTES.sub("'", text[: limit + 1]), limit)
    return f'"{said}"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
