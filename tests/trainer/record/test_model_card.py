"""The model card says what the manifest says, and is listed there."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.engine.errors import ModelDamaged
from pipeline.engine.manifest import read_manifest, relist, verify, write_manifest
from pipeline.scorecard.evaluate import evaluate, respond_with
from pipeline.scorecard.holdouts import read_holdouts
from tests.pipeline.scorecard.speakers import Teacher
from trainer.record.model_card import write_card

HOLDOUTS = read_holdouts().limited(10)
CONFIG = {
    "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 3, "vocab_size": 500, "tie_word_embeddings": False,
}  # fmt: skip
RUN = {
    "recipe": "pretrain", "code": "0.1.0", "inputs": {"data": "d" * 64}, "outcome": {"valid_loss": 0.25},
    "settings": {"hidden": 64, "layers": 3, "seed": 0, "compile": True, "tie_embeddings": False, "threads": 2},
}  # fmt: skip


def scorecard(form: str, f1: float) -> dict[str, Any]:
    cards = {
        name: evaluate(respond_with(Teacher(cases)), cases, HOLDOUTS.nearest).as_json()
        for name, cases in HOLDOUTS.cases.items()
    }
    body: dict[str, Any] = copy.deepcopy(cards)
    body["class"]["selection"]["f1"] = f1
    return {
        "model": {"form": form}, "holdouts": body, "differences": None, "repeated": {"asked": 20, "same": 20},
        "hostile": {"findings": 9, "by_model": 9, "changed": [], "asked": [], "said": []},
    }  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    for part in ("gptq", "onnx"):
        (directory / part).mkdir(parents=True)
    (directory / "tokenizer.json").write_text("{}")
    (directory / "gptq" / "config.json").write_text(json.dumps(CONFIG))
    (directory / "onnx" / "model.onnx").write_bytes(b"weights")
    write_manifest(
        directory, name="small", kind="llama", base="random weights", prompt_version="prompt/1", context_length=1024,
        parts={"gptq": "gptq", "onnx": "onnx"},
        record={
            "runs": {"quantize": {"recipe": "quantize", "settings": {"bits": 4, "group_size": 64}}, "pretrain": RUN},
            "versions": {"torch": "2.9"},
            "scorecards": {"onnx": scorecard("onnx", 0.76), "float": scorecard("float", 0.8)},
        },
    )  # fmt: skip
    return directory


def test_the_card_is_listed_and_changes_nothing_else(model: Path) -> None:
    before = read_manifest(model)
    path = write_card(model)
    after = verify(model)
    assert path == model / "README.md"
    assert set(after.files) - set(before.files) == {"README.md"}
    assert [after.part_digest(part) for part in after.parts] == [before.part_digest(part) for part in before.parts]
    assert (after.record, after.name, after.parts) == (before.record, before.name, before.parts)


def test_the_same_manifest_gives_the_same_card(model: Path) -> None:
    one = write_card(model).read_bytes()
    assert write_card(model).read_bytes() == one


def test_the_card_says_what_it_is_how_it_was_made_and_how_good_it_is(model: Path) -> None:
    text = write_card(model).read_text()
    weights = 2 * 500 * 64 + 3 * (2 * 64 * 16 * 6 + 3 * 64 * 128 + 2 * 64) + 64
    assert f"A Llama model of {weights / 1e6:.1f} M parameters" in text
    assert "| shape | width 64, 3 blocks, 4 heads of which 2 hold keys and values, 500 tokens |" in text
    assert "- **pretrain**, code 0.1.0: compile True, hidden 64" in text
    assert "Came to: valid_loss 0.25." in text
    assert "Versions: torch 2.9." in text
    assert text.index("instance holdout, 10 cases") < text.index("class holdout, 10 cases")
    assert "| controls and techniques, F1 | 0.800 | 0.760 | +5.0 % |" in text
    assert "asked again in another process: 20 of 20 answers are the same" in text


def test_the_commands_make_the_very_model_again(model: Path) -> None:
    text = write_card(model).read_text()
    assert (
        "sysscan-train pretrain --data data --output run/pretrain --compile --hidden 64 --layers 3 --threads 2\n"
        in text
    )
    assert "sysscan-train quantize --base run/pretrain/model --data data --output run/gptq --group-size 64\n" in text
    assert "sysscan-train export --base run/gptq/model --output model --name small --run run/pretrain" in text
    assert f"`{'d' * 64}`" in text


def test_a_model_that_says_little_of_itself_has_a_card_too(model: Path) -> None:
    known = read_manifest(model)
    write_manifest(
        model, name=known.name, kind=known.kind, base=known.base, prompt_version=known.prompt_version,
        context_length=known.context_length, parts=known.parts,
    )  # fmt: skip
    text = write_card(model).read_text()
    assert "Not measured yet" in text
    assert "Its manifest does not say." in text


def test_a_damaged_model_gets_no_card(model: Path) -> None:
    relist(model, {})
    (model / "onnx" / "model.onnx").write_bytes(b"WEIGHTS")
    with pytest.raises(ModelDamaged):
        write_card(model)
    assert not (model / "README.md").exists()


def test_answers_made_anew_say_of_which_data(model: Path) -> None:
    made = {"file": "answers.json.gz", "most": 50, "questions": 40, "answers": 41}
    relist(model, {"answers": made})
    assert "It brings 41 answers of its own to the most frequent questions along." in write_card(model).read_text()
    relist(model, {"answers": {**made, "data": "e" * 64}})
    card = write_card(model).read_text()
    assert f"to the most frequent questions of data `{'e' * 16}` along." in card
    assert "sysscan-train answers --model model --data data --most 50" in card
