"""Nothing that acts, hides or turns text round reaches a person's screen."""

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.display import MAX_SHOWN, printable

ACTS = {"Cc", "Cf", "Cs", "Zl", "Zp"}
IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2800\u3164\ufe0f\uffa0\U000e0100"
ANY = st.text(st.characters(codec=None), max_size=400)


def acting(text: str) -> list[str]:
    return [
        f"{ord(character):x}"
        for character in text
        if unicodedata.category(character) in ACTS or character in IGNORABLE
        or (unicodedata.category(character) == "Zs" and character != " ")
    ]  # fmt: skip


@given(ANY)
@example("\x1b[2J\r\x9b31m\x7f")
@example("\u202egnp.exe\u2066\u200b\u200d\ufeff\U000e0041")
@example("\ud800\udfff\u2028")
def test_no_character_that_acts_survives(text: str) -> None:
    assert acting(printable(text)) == []


@given(ANY)
def test_showing_twice_changes_nothing_more(text: str) -> None:
    once = printable(text)
    assert printable(once) == once
    assert len(once) <= MAX_SHOWN


@given(st.text(st.characters(categories=["L", "N", "P", "Sm", "Sc"], exclude_characters="\u3164\uffa0\u115f\u1160")))
def test_letters_of_every_script_are_shown_as_they_are(text: str) -> None:
    short = text[:100]
    assert printable(short) == short


def test_every_code_point_of_a_kind_that_acts_is_escaped_visibly() -> None:
    for code in range(0x110000):
        character = chr(code)
        if acting(character):
            shown = printable(character)
            assert shown.isascii() and shown[0] == "\\" and shown.isprintable(), hex(code)


def test_what_is_overlong_is_cut_and_says_so() -> None:
    assert printable("a" * 300) == "a" * 300
    assert printable("a" * 301) == "a" * 299 + "…"
    assert printable("\x1b" * 100) == ("\\x1b" * 75)[:299] + "…"
    assert len(printable("x" * 4_000_000)) == 300
