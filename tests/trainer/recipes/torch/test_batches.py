"""Truncation, padding, and where the loss is taken."""
# ruff: noqa: E402  (what the guard below lets through)

from pathlib import Path
from typing import Any

import pytest

from tests.skips import needs_trainer

needs_trainer("torch")

import torch

from pipeline.errors import ConfigError
from tests.trainer.small import taught_cases
from trainer.recipes.encode import encode_examples
from trainer.recipes.tokenizer import TextEncoder, load_encoder, save_tokenizer, train_tokenizer
from trainer.recipes.torch.batches import IGNORED, ResponseCollator


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    directory = tmp_path_factory.mktemp("tokenizer")
    texts = [text for case in taught_cases(96, "train") for text in (case.prompt, case.response)]
    save_tokenizer(train_tokenizer(texts, 384), directory, 512)
    return load_encoder(directory)


def test_what_is_too_long_loses_the_beginning_of_its_prompt(encoder: TextEncoder) -> None:
    case = taught_cases(1, "train")[0]
    whole = encode_examples([case], encoder, 512)
    limit = whole.num_tokens - 5
    cut = encode_examples([case], encoder, limit)
    assert (whole.num_cut, cut.num_cut) == (0, 1)
    assert cut.rows[0]["input_ids"] == whole.rows[0]["input_ids"][5:]
    assert cut.rows[0]["num_prompt"] == whole.rows[0]["num_prompt"] - 5


def test_a_response_without_room_for_a_prompt_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(ConfigError, match="leaves no room for its prompt"):
        encode_examples(taught_cases(1, "train"), encoder, 8)


def test_only_the_tokens_of_responses_have_labels() -> None:
    rows = [{"input_ids": [5, 6, 7, 8, 9], "num_prompt": 3}, {"input_ids": [4, 3, 2], "num_prompt": 1}]
    batch = ResponseCollator(pad=0)(rows)
    assert batch["input_ids"].shape == (2, 16)
    labels = torch.full((2, 16), IGNORED)
    labels[:, batch["logits_to_keep"]] = batch["labels"]
    assert labels[0].tolist() == [IGNORED] * 2 + [8, 9] + [IGNORED] * 12
    assert labels[1].tolist() == [3, 2] + [IGNORED] * 14
    assert "prompt_labels" not in batch


def test_tokens_of_prompts_have_labels_of_their_own() -> None:
    batch = ResponseCollator(pad=0, prompt_loss=True)([{"input_ids": [5, 6, 7, 8, 9], "num_prompt": 3}])
    assert batch["logits_to_keep"].tolist() == [0, 1, 2, 3]
    assert batch["prompt_labels"].tolist() == [[6, 7, IGNORED, IGNORED]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 8, 9]]


def test_padding_and_selection_change_no_loss(tmp_path: Path) -> None:
    """The loss of a padded batch at selected positions is that of each row alone, all positions computed."""
    needs_trainer("transformers")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, **shape)).eval()
    rows: list[dict[str, Any]] = [
        {"input_ids": list(range(5, 30)), "num_prompt": 10},
        {"input_ids": list(range(40, 47)), "num_prompt": 3},
    ]
    batch = ResponseCollator(pad=0)(rows)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], logits_to_keep=batch["logits_to_keep"]).logits
        together = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED, reduction="sum"
        )
        alone = 0.0
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            logits = model(input_ids=ids).logits[0, row["num_prompt"] - 1 : -1]
            alone += torch.nn.functional.cross_entropy(logits, ids[0, row["num_prompt"] :], reduction="sum").item()
    assert together.item() == pytest.approx(alone, rel=1e-5)
