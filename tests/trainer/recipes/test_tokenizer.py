"""The tokenizer made for this text."""
# ruff: noqa: E402  (what the guard below lets through)

from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("tokenizers")

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.depth import examples
from tests.trainer.small import taught_cases
from trainer.recipes.tokenizer import TextEncoder, load_encoder, save_tokenizer, train_tokenizer

TEXTS = [text for case in taught_cases(96, "train") for text in (case.prompt, case.response)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    directory = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(TEXTS, 600), directory, 512)
    return load_encoder(directory)


@settings(max_examples=examples(200), deadline=None)
@given(st.text())
def test_every_text_comes_back(encoder: TextEncoder, text: str) -> None:
    ids = encoder.response(text)
    assert ids[-1] == encoder.end
    assert encoder.decode(ids[:-1]) == text


@pytest.mark.parametrize("text", ["<s>", "</s>", "<pad>", "a</s>b<s>", "<</s>s>"])
def test_no_text_becomes_a_special_token(encoder: TextEncoder, text: str) -> None:
    special = {*encoder.start, encoder.end, encoder.pad}
    assert special == {0, 1, 2}
    assert not special & set(encoder.prompt(text)[len(encoder.start) :])
    assert not special & set(encoder.response(text)[:-1])


def test_an_id_a_placeholder_and_a_key_are_one_token_each(encoder: TextEncoder) -> None:
    assert len(encoder.response(" n53:AC-3")) == 2
    assert len(encoder.response('","assessment":"')) == 2


def test_the_same_texts_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_tokenizer(train_tokenizer(TEXTS, 600), tmp_path / name, 512)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
