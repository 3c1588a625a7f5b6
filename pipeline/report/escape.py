"""Lossless escaping of strings whose bytes are not valid UTF-8.

File and process names are bytes to the kernel, and the scanner copies them into its report as they are. Such a
string is escaped as a whole: every backslash is doubled, an invalid byte becomes ``\\xNN`` and a lone surrogate
``\\uNNNN``; everything else stays. `unescape` returns the exact bytes, so two different names never look the same.
"""

import re

_PIECE = re.compile(r"\\u([0-9a-fA-F]{4})|\\([\"\\/bfnrt])|([^\\]+)|(\\)", re.S)
_PLAIN = {'"': '"', "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(\\|x[89a-f][0-9a-f]|ud[89a-f][0-9a-f]{2})", re.S)


def escape_literal(body: bytes) -> str | None:
    """Return the escaped value of a JSON string literal, given what stands between its quotes.

    None when the literal has an escape that JSON does not know.
    """
    # Invalid bytes are decoded to U+DC80..U+DCFF. UTF-8 encodes no surrogates, so nothing else in the text looks like
    # that; surrogates that the literal spells as \uDCNN are handled below, before they become characters.
    text = body.decode("utf-8", "surrogateescape")
    out: list[str] = []
    high = 0  # a high surrogate whose low one has not come yet
    for match in _PIECE.finditer(text):
        code, simple, plain, stray = match.groups()
        unit = int(code, 16) if code else 0
        if high:
            if 0xDC00 <= unit <= 0xDFFF:
                out.append(chr(0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00)))
                high = 0
                continue
            out.append(f"\\u{high:04x}")
            high = 0
        if stray:
            return None
        if plain:
            out.append(_SURROGATE.sub(lambda bad: f"\\x{ord(bad.group()) - 0xDC00:02x}", plain))
        elif simple:
            out.append("\\\\" if simple == "\\" else _PLAIN[simple])
        elif 0xD800 <= unit <= 0xDBFF:
            high = unit
        elif 0xDC00 <= unit <= 0xDFFF:
            out.append(f"\\u{unit:04x}")
        else:
            out.append("\\\\" if unit == 0x5C else chr(unit))
    if high:
        out.append(f"\\u{high:04x}")
    return "".join(out)


def unescape(text: str) -> bytes:
    """Return the bytes that `text`, in the escaped form, stands for (lone surrogates in their three-byte form)."""
    out: list[bytes] = []
    position = 0
    for match in _ESCAPE.finditer(text):
        out.append(text[position : match.start()].encode())
        code = match.group(1)
        if code == "\\":
            out.append(b"\\")
        elif code[0] == "x":
            out.append(bytes([int(code[1:], 16)]))
        else:
            out.append(chr(int(code[1:], 16)).encode("utf-8", "surrogatepass"))
        position = match.end()
    out.append(text[position:].encode())
    return b"".join(out)
