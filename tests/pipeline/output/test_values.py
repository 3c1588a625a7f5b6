"""Values are taken out of a text: as one expression would, and however long its words are."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.output.values import without_values
from tests.depth import examples
from tests.pipeline.output.bounded import bounded

# The slow and obvious way, which looks for a digit anew at each letter.
SLOW = re.compile(r"""/[^\s"']*|"[^"]*"|'[^']*'|[^\s:=,()/]*\d[^\s:=,()/]*""")
LENGTH = 1 << 18


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("World-writable file /srv/data/a b", "World-writable file * b"),
        ("Process 'my miner' with pid 4711", "Process * with pid *"),
        ('module "a b" (x86_64)=3', "module * (*)=*"),
        ("it's never closed", "it's never closed"),
        ("don't5 and won't", "* and won't"),
        ("", ""),
    ],
)
def test_paths_names_in_quotes_and_words_with_digits_are_values(text: str, left: str) -> None:
    assert without_values(text) == left


@settings(max_examples=examples(1000))
@given(st.text(st.sampled_from("ab1٣ \"'/:=,()\n-é"), max_size=24))
def test_it_is_what_one_expression_would_do(text: str) -> None:
    assert without_values(text) == SLOW.sub("*", text)


@pytest.mark.parametrize("part", ["a", "a'", "'a\"", 'a"a" ', "a:", "1", "/", " "])
def test_a_long_text_is_done_as_it_comes(part: str) -> None:
    text = part * (LENGTH // len(part))
    with bounded(part):
        for each in (text, f'"{text}', f"'{text}", f"{text}1"):
            without_values(each)
