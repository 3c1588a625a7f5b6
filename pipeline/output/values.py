"""What looks like a value in a text that nobody knows the form of."""

import re
from typing import Final

# Paths and names in quotes are values; so is each word or part of an id that has a digit.
_QUOTED: Final = re.compile(r"""/[^\s"']*|"[^"]*"|'[^']*'""")
_NUMBERED: Final = re.compile(r"[^\s:=,()/]*\d[^\s:=,()/]*")
_WORD: Final = re.compile(r"[^\s:=,()/]+")
# What is passed over where no value begins: a piece without quotes, or a quote that is never closed.
_REST: Final = re.compile(r"""[^\s:=,()/"']+|[\s:=,()]+|.""", re.DOTALL)


def without_values(text: str) -> str:
    """Put an asterisk in the place of each value; takes time in proportion to the length of the text.

    It is what one expression with these alternatives would do, but that one looks for a digit anew at each letter of a
    long word which has none.
    """
    kept: list[str] = []
    position, no_digit_before = 0, 0
    while position < len(text):
        value = _QUOTED.match(text, position)
        if value is None and position >= no_digit_before:
            value = _NUMBERED.match(text, position)
            if value is None and (word := _WORD.match(text, position)) is not None:
                no_digit_before = word.end()
        if value is not None:
            kept.append("*")
            position = value.end()
            continue
        rest = _REST.match(text, position)
        assert rest is not None  # it takes any character
        kept.append(rest[0])
        position = rest.end()
    return "".join(kept)
