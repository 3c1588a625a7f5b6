"""Answers that come with a model: found again whole, for the weights that gave them only."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.errors import ModelDamaged
from pipeline.engine.generator import Grammar
from pipeline.engine.manifest import relist
from pipeline.engine.shipped import FILE, FORMER_FILE, answer_key, read_answers, write_answers
from tests.pipeline.engine.directories import lay_out

KEYS = st.text("0123456789abcdef", min_size=24, max_size=24)


@given(answers=st.dictionaries(KEYS, st.text(max_size=40), max_size=20), absent=KEYS)
def test_what_was_written_is_read_again(
    answers: dict[str, str], absent: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("model")
    weights = lay_out(directory).part_digest("onnx")
    first = write_answers(directory, weights, answers).read_bytes()
    assert write_answers(directory, weights, dict(reversed(answers.items()))).read_bytes() == first
    assert json.loads(first) == {"schema": "sysscan.answers/2", "weights": weights, "answers": answers}
    read = read_answers(directory, relist(directory, {}), "onnx")
    assert read is not None
    assert (dict(read.items()), len(read)) == (answers, len(answers))
    assert {key: read.get(key) for key in answers} == answers
    assert read.get(absent) == answers.get(absent)


def test_answers_in_the_form_of_earlier_builds_are_found_and_replaced(tmp_path: Path) -> None:
    weights = lay_out(tmp_path).part_digest("onnx")
    body = {"schema": "sysscan.answers/1", "weights": weights, "answers": {"b" * 24: "two\n", "a" * 24: "one"}}
    (tmp_path / FORMER_FILE).write_bytes(gzip.compress(json.dumps(body).encode()))
    read = read_answers(tmp_path, relist(tmp_path, {}), "onnx")
    assert read is not None
    assert dict(read.items()) == body["answers"]
    write_answers(tmp_path, weights, dict(read.items()))
    assert set(relist(tmp_path, {}).files) >= {FILE} and FORMER_FILE not in relist(tmp_path, {}).files


@pytest.mark.parametrize("line", [b'"%b":1,', b'"%b":"cut', b'"%b"'])
def test_a_line_that_is_none_has_no_answer_and_hides_none(line: bytes, tmp_path: Path) -> None:
    keys = [letter * 24 for letter in "abc"]
    weights = lay_out(tmp_path).part_digest("onnx")
    path = write_answers(tmp_path, weights, dict.fromkeys(keys, "text"))
    path.write_bytes(path.read_bytes().replace(f'"{keys[1]}":"text",'.encode(), line % keys[1].encode()))
    read = read_answers(tmp_path, relist(tmp_path, {}), "onnx")
    assert read is not None
    assert [read.get(key) for key in keys if key != keys[1]] == ["text", "text"]
    assert read.get(keys[1]) is None
    with pytest.raises(ValueError, match="no answer in its place"):
        dict(read.items())


def test_answers_of_other_weights_do_not_count(tmp_path: Path) -> None:
    lay_out(tmp_path)
    write_answers(tmp_path, "0" * 64, {"a" * 24: "text"})
    assert read_answers(tmp_path, relist(tmp_path, {}), "onnx") is None


def test_a_model_without_answers_has_none(tmp_path: Path) -> None:
    assert read_answers(tmp_path, lay_out(tmp_path), "onnx") is None


def test_adding_answers_does_not_change_the_name_of_the_weights(tmp_path: Path) -> None:
    before = lay_out(tmp_path)
    write_answers(tmp_path, before.part_digest("onnx"), {"a" * 24: "text"})
    after = relist(tmp_path, {"answers": 1})
    assert after.part_digest("onnx") == before.part_digest("onnx")
    assert (after.name, after.parts, after.record) == (before.name, before.parts, {**before.record, "answers": 1})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (FILE, b""),
        (FILE, b"{}"),
        (FILE, b'{"schema":"sysscan.answers/3","weights":"0","answers":{\n\n}}\n'),
        (FILE, b'{"schema":"sysscan.answers/2","weights":"0","answers":{\n"0":"cut'),
        (FORMER_FILE, b""),
        (FORMER_FILE, b"not gzip"),
        (FORMER_FILE, gzip.compress(b"[]", mtime=0)),
        (FORMER_FILE, gzip.compress(b'{"schema":', mtime=0)),
        (FORMER_FILE, gzip.compress(b"{}", mtime=0)),
        (FORMER_FILE, gzip.compress(b"\xff", mtime=0)),
        (FORMER_FILE, gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20),
        (FORMER_FILE, gzip.compress(b'{"schema":"sysscan.answers/1","weights":"","answers":{"a":1}}', mtime=0)),
    ],
)
def test_what_is_no_set_of_answers_is_a_damaged_model(name: str, content: bytes, tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelDamaged, match="not a set of answers"):
        read_answers(tmp_path, relist(tmp_path, {}), "onnx")


def test_another_prompt_or_grammar_is_another_question() -> None:
    keys = {answer_key(prompt, Grammar(schema)) for prompt in ("a", "b") for schema in ("{}", "[]")}
    assert len(keys) == 4
