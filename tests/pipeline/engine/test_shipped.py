"""Answers that come with a model: found again whole, for the weights that gave them only."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.errors import ModelDamaged
from pipeline.engine.generator import Grammar
from pipeline.engine.manifest import relist
from pipeline.engine.shipped import FILE, answer_key, read_answers, write_answers
from tests.pipeline.engine.directories import lay_out

KEYS = st.text("0123456789abcdef", min_size=24, max_size=24)


@given(answers=st.dictionaries(KEYS, st.text(max_size=40), max_size=20))
def test_what_was_written_is_read_again(answers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("model")
    weights = lay_out(directory).part_digest("onnx")
    first = write_answers(directory, weights, answers).read_bytes()
    assert write_answers(directory, weights, dict(reversed(answers.items()))).read_bytes() == first
    read = read_answers(directory, relist(directory, {}), "onnx")
    assert read is not None
    assert dict(read.answers) == answers


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
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b'{"schema":', mtime=0),
        gzip.compress(b"{}", mtime=0),
        gzip.compress(b"\xff", mtime=0),
        gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20,
    ],
)
def test_what_is_no_set_of_answers_is_a_damaged_model(content: bytes, tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ModelDamaged, match="not a set of answers"):
        read_answers(tmp_path, relist(tmp_path, {}), "onnx")


def test_an_answer_that_is_no_text_is_a_damaged_model(tmp_path: Path) -> None:
    weights = lay_out(tmp_path).part_digest("onnx")
    body = f'{{"schema":"sysscan.answers/1","weights":"{weights}","answers":{{"a":1}}}}'
    (tmp_path / FILE).write_bytes(gzip.compress(body.encode()))
    with pytest.raises(ModelDamaged):
        read_answers(tmp_path, relist(tmp_path, {}), "onnx")


def test_another_prompt_or_grammar_is_another_question() -> None:
    keys = {answer_key(prompt, Grammar(schema)) for prompt in ("a", "b") for schema in ("{}", "[]")}
    assert len(keys) == 4
