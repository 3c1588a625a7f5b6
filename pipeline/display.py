"""Makes strings that others chose safe to show: on a terminal, in a sentence, in a page."""

import re

# Control characters, DEL, C1, zero-width and bidirectional marks, line and paragraph separators, tags, BOM, and
# surrogates: whatever can move the cursor, hide text or make it read otherwise than it is written.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
MAX_SHOWN = 300  # characters; a path of the kernel's maximum (4096) would drown a sentence


def printable(text: str, limit: int = MAX_SHOWN) -> str:
    """Replace characters that act on a terminal or hide by their escapes, and cut what is overlong."""
    shown = text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escape, text)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
