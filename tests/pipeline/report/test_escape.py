"""Names that are not text survive, and two different names never look the same."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.escape import escape_literal, unescape

NAMES = st.binary(max_size=40)


def literal(name: bytes) -> bytes:
    """Write a name as the scanner does: only quotes, backslashes and control characters are escaped."""
    out = b""
    for value in name:
        byte = bytes([value])
        if byte in b'"\\':
            out += b"\\" + byte
        elif value < 0x20:
            out += b"\\u%04x" % value
        else:
            out += byte
    return out


@given(NAMES)
def test_the_bytes_of_a_name_come_back(name: bytes) -> None:
    text = escape_literal(literal(name))
    assert text is not None
    text.encode("utf-8")  # no surrogate is left in it
    assert unescape(text) == name


@given(NAMES, NAMES)
def test_two_names_that_differ_are_escaped_differently(one: bytes, other: bytes) -> None:
    assert (one == other) == (escape_literal(literal(one)) == escape_literal(literal(other)))


@given(st.text(st.characters(exclude_categories=()), max_size=20))
def test_lone_surrogates_are_told_from_bytes(text: str) -> None:
    spelled = "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H"))
    escaped = escape_literal(spelled.encode())
    assert escaped is not None and orjson.dumps(escaped)
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert unescape(escaped) == joined.encode("utf-8", "surrogatepass")


def test_a_byte_its_spelling_and_a_surrogate_look_different() -> None:
    texts = {escape_literal(body) for body in (b"\x80", rb"\\x80", rb"\udc80", rb"\\udc80", b"\xc2\x80")}
    assert texts == {"\\x80", "\\\\x80", "\\udc80", "\\\\udc80", "\x80"}


def test_a_pair_of_escapes_is_one_character_and_a_lone_half_is_not() -> None:
    assert escape_literal(rb"\ud83d\ude00") == "\U0001f600"
    assert escape_literal(rb"\ud83d\u0041\ud83d\ud83d\ude00\ude00") == "\\ud83dA\\ud83d\U0001f600\\ude00"


def test_an_escape_that_json_does_not_know_is_refused() -> None:
    assert escape_literal(rb"\q") is None
    assert escape_literal(rb"\u12g4") is None
    assert escape_literal(rb"\ud800\q") is None
