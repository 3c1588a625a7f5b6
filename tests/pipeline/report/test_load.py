"""The fast parser and the tolerant one agree, and what either gets wrong is noticed."""

import json
import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Incomplete, ReportError
from pipeline.report.lexer import lex, pick_marker
from pipeline.report.limits import Limits
from pipeline.report.load import load, load_strict, load_value

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from((None, 0, 2)))
def test_the_tolerant_parser_reads_what_is_sound_like_the_strict_one(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    assert load(text, Limits()).value == orjson.loads(text)
    marker = pick_marker(text)
    assert load_value(lex(text, 0, marker, Limits()), marker).value == orjson.loads(text)


@given(VALUES.filter(lambda value: isinstance(value, dict | list)), st.data())
def test_a_cut_value_is_incomplete(value: object, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    length = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(Incomplete) as caught:
        load(text[:length], Limits())
    assert caught.value.reason == "truncated"


def test_an_integer_past_64_bits_is_not_rounded() -> None:
    digits = "12345678901234567890123"
    loaded = load(b'{"id":' + digits.encode() + b"}", Limits())
    assert loaded.value["id"] == loaded.marker + "i" + digits
    assert load(b"[18446744073709551615,-9223372036854775808]", Limits()).value == [2**64 - 1, -(2**63)]
    assert math.isclose(load(b"[0.12345678901234567890123]", Limits()).value[0], 0.123456789)


@pytest.mark.parametrize("key", ['"a"', '"\\u0061"'])
@pytest.mark.parametrize("gap", ["", " ", "\n", "\t"])
def test_a_repeated_key_is_noticed_however_it_is_spelled(key: str, gap: str) -> None:
    loaded = load(f'{{"a":1,{key}{gap}:2}}'.encode(), Limits())
    assert loaded.value[loaded.marker + "k"] == {"a": [1, 2]}


def test_a_string_that_looks_like_a_key_hides_no_repetition() -> None:
    loaded = load(rb'{"a":"x\":y","b" :1,"b":2}', Limits())
    assert loaded.value[loaded.marker + "k"] == {"b": [1, 2]}


@pytest.mark.parametrize(("one", "other"), [("1", "true"), ("1", "1.0"), ("0", "false"), ("null", '"null"')])
def test_values_that_python_takes_for_equal_still_contradict(one: str, other: str) -> None:
    loaded = load(f'{{"a":{one},"a":{other}}}'.encode(), Limits())
    assert "a" in loaded.value[loaded.marker + "k"]


def test_an_equal_repetition_is_harmless() -> None:
    loaded = load(b'{"a":{"b":1,"c":2},"a":{"c":2,"b":1}}', Limits())
    assert (loaded.value, loaded.marker) == ({"a": {"b": 1, "c": 2}}, "")


def test_what_nests_deeper_than_it_could_be_written_is_replaced() -> None:
    for deep in (b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 100_000 + b"]" * 100_000):
        assert load_strict(deep, Limits()) is None
        orjson.dumps(load(deep, Limits()).value)
    assert load_strict(b"[" * 64 + b"]" * 64, Limits()) is not None


def test_lists_and_objects_in_turn_count_one_level_each() -> None:
    for levels in (64, 66):
        turns = levels // 2
        text = b'[{"a":' * turns + b"1" + b"}]" * turns
        assert (load_strict(text, Limits()) is None) == (levels > 64)


def test_brackets_inside_strings_are_not_nesting() -> None:
    text = b'{"a":"' + b"[" * 200 + b'"}'
    assert load(text, Limits()).value == {"a": "[" * 200}


def test_a_marker_is_never_a_character_of_the_text() -> None:
    assert pick_marker("\uf8ff\\uF8FE\\uf8fd".encode()) == "\uf8fc"
    text = '[NaN,"\uf8ff"]'.encode()
    loaded = load(text, Limits())
    assert loaded.value == [loaded.marker + "nNaN", "\uf8ff"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{}{}", "trailing_data"),
        (b'{"a":}', "invalid_json"),
        (b'{"a" "b":[', "invalid_json"),
        (b"{::", "invalid_json"),
        (b'{"a":1,,"b"', "invalid_json"),
        (b'["\\q"]', "invalid_json"),
        (b"[01]", "invalid_json"),
        (b"]", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b'{"a":\xff"b"}', "invalid_json"),
        (b"[1,\x002]", "invalid_json"),
    ],
)
def test_what_is_not_json_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ReportError) as caught:
        load(text, Limits())
    assert (caught.value.reason, isinstance(caught.value, Incomplete)) == (reason, False)


def test_more_faults_than_a_report_can_have_are_refused() -> None:
    with pytest.raises(ReportError) as caught:
        load(b"[" + b"NaN," * 30 + b"1]", Limits(max_repairs=29))
    assert caught.value.reason == "invalid_json"
