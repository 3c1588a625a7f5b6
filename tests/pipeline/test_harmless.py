"""JSON that comes out is shown as it is read: what hides or turns text is an escape, and the strings are the same."""

import json

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.display import UNSAFE
from pipeline.harmless import LONGEST_SPELT, as_json, harmless

TEXTS = st.text(st.sampled_from('a\\"u/é…\x00\x1b\x7f\x85\u202e\u200b\u2028\u2066\ufeff\u3000\U000e0041\U0001f980'))


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
@example("\\\u202e")
@example("\\\\\u202e\u202e")
@example({"\U000e0041": ["\x7f"]})
def test_whoever_parses_it_gets_the_same_and_whoever_looks_is_not_misled(value: object) -> None:
    made = as_json(value)
    assert orjson.loads(made) == json.loads(made) == value
    assert UNSAFE.search(made.decode()) is None
    assert harmless(made) == made


@given(st.characters(exclude_categories=["Cs"]))
def test_no_character_takes_more_room_than_is_said(sign: str) -> None:
    assert len(as_json(sign)) - 2 <= LONGEST_SPELT


def test_what_needs_no_escape_stays_as_it_is() -> None:
    text = '{"name":"Größe … 日本語 🦀"}'.encode()
    assert harmless(text) is not None and harmless(text) == text


def test_the_layout_of_a_document_is_left_alone() -> None:
    assert harmless('{\n  "a": "\u202e"\n}'.encode()) == b'{\n  "a": "\\u202e"\n}'
