import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.errors import ModelDamaged, ModelMissing, Unsupported
from pipeline.engine.tokens import Tokenizer
from tests.pipeline.engine.byte_tokenizer import CONTROL, write_tokenizer

SPECIAL = set(range(len(CONTROL)))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"))


@pytest.mark.parametrize("name", CONTROL)
def test_the_name_of_a_control_token_is_split_into_letters(name: str, tokenizer: Tokenizer) -> None:
    for text in (name, f"a{name}b", f"{name} {name}", f"/usr/bin/{name}\n"):
        tokens = tokenizer.encode(text)
        assert SPECIAL.isdisjoint(tokens)
        assert tokenizer.decode(tokens) == text


def test_the_wrapped_tokenizer_alone_would_let_control_tokens_in(tokenizer: Tokenizer) -> None:
    """Should this fail one day, the second copy is no longer needed."""
    assert not SPECIAL.isdisjoint(tokenizer.constrained.tokenize_str("a</s>b", parse_special=False))


@given(st.lists(st.one_of(st.text(), st.sampled_from(CONTROL))).map("".join))
def test_every_text_comes_back_and_holds_no_control_token(tokenizer: Tokenizer, text: str) -> None:
    text = text.encode(errors="ignore").decode()
    tokens = tokenizer.encode(text)
    assert SPECIAL.isdisjoint(tokens)
    assert tokenizer.decode(tokens) == text


def test_merges_are_used(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("level")) == 1


def test_prompts_open_as_the_template_says(tmp_path: Path, tokenizer: Tokenizer) -> None:
    assert tokenizer.start == ()
    assert Tokenizer(write_tokenizer(tmp_path / "tokenizer.json", start=True)).start == (0,)


def test_bytes_that_are_no_text_are_replaced(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\ufffd"


def test_one_that_was_converted_from_gguf_and_loses_blanks_is_refused(tmp_path: Path) -> None:
    """Such a decoder has the library of grammars take it for another kind, whose blanks are written otherwise."""
    path = write_tokenizer(tmp_path / "tokenizer.json")
    Tokenizer(path)
    body = json.loads(path.read_text())
    replace = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    body["decoder"] = {
        "type": "Sequence",
        "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, replace, body["decoder"]],
    }
    path.write_text(json.dumps(body))
    with pytest.raises(Unsupported, match=r"do not give a text back.*converted from GGUF.*ByteLevel") as refused:
        Tokenizer(path)
    assert "\n" not in str(refused.value)


def test_one_without_the_letters_of_a_text_is_refused(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path / "tokenizer.json")
    body = json.loads(path.read_text())
    body["model"]["vocab"]["\u0120 gone"] = body["model"]["vocab"].pop("\u0120")  # the letter of the blank
    path.write_text(json.dumps(body))
    with pytest.raises((Unsupported, ModelDamaged)):
        Tokenizer(path)


def test_what_is_no_byte_pair_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ModelMissing):
        Tokenizer(path)
    for text in ("", "[]", "{}", '{"model": {"type": "BPE"}, "added_tokens": [], "pre_tokenizer": 3}'):
        path.write_text(text)
        with pytest.raises(ModelDamaged, match=r"tokenizer\.json"):
            Tokenizer(path)
    write_tokenizer(path, kind="Unigram")
    with pytest.raises(Unsupported, match="Unigram"):
        Tokenizer(path)


def test_it_agrees_with_the_library_that_training_uses(model_directory: Path) -> None:
    from tokenizers import Tokenizer as Trained

    from tests.pipeline.engine import tiny_model

    path = model_directory / "tokenizer.json"
    ours, theirs = Tokenizer(path), Trained.from_file(str(path))
    theirs.encode_special_tokens = True
    names = [token["content"] for token in json.loads(path.read_bytes())["added_tokens"]]
    texts = [tiny_model.prompt(case) for case in tiny_model.cases(50, seed=1)]
    texts += [f"{name}{text[:40]}{name}" for name, text in zip(names * 9, texts, strict=False)]
    for text in texts:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids
