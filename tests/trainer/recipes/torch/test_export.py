"""The whole chain on a tiny model: pretrain, finetune, quantize, export, and the engine answers."""
# ruff: noqa: E402  (what the guard below lets through)

import json
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "gptqmodel", "peft", "optimum", "bitsandbytes")

from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.engine.generator import Grammar
from pipeline.engine.load import open_generator
from pipeline.engine.manifest import verify
from pipeline.errors import ConfigError
from tests.trainer.small import make_checkpoint, make_dataset, taught_cases
from trainer.recipes.torch.export import Export
from trainer.recipes.torch.finetune import Finetune
from trainer.recipes.torch.pretrain import Pretrain
from trainer.recipes.torch.quantize import Quantize
from trainer.settings import ExportSettings, FinetuneSettings, PretrainSettings, QuantizeSettings, make_settings

COMMON = {"threads": 1, "device": "cpu"}
TRAINING = {**COMMON, "max_steps": 2, "eval_every": 2, "batch": 4}


def test_a_float_checkpoint_is_not_exported(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "base")
    with pytest.raises(ConfigError, match="not a GPTQ checkpoint; make one with"):
        Export(base, tmp_path / "out", ExportSettings(), name="tiny", origin="noise").run()
    assert not (tmp_path / "out").exists()


def make_repository(place: Path) -> str:
    """Make a repository with a commit, and give its name."""
    git = ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    place.mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "empty"], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
def test_the_chain_ends_in_a_model_that_the_engine_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(tmp_path / "data")
    shape = {"hidden": 128, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate": 256, "vocabulary": 384}
    pretrained = Pretrain(data, tmp_path / "pre", make_settings(PretrainSettings, TRAINING | shape)).run()
    tuned = Finetune(pretrained, data, tmp_path / "tune", make_settings(FinetuneSettings, TRAINING)).run()
    quantised = Quantize(
        tuned, data, tmp_path / "gptq", make_settings(QuantizeSettings, {**COMMON, "examples": 8})
    ).run()
    commit = make_repository(tmp_path / "repository")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "repository" / ".git"))
    model = Export(quantised, tmp_path / "model", ExportSettings(), name="tiny", origin="a test").run()
    monkeypatch.undo()

    assert commit[:7].encode() not in (model / "onnx" / "model.onnx").read_bytes(), "of a repository that is not ours"
    manifest = verify(model)
    assert (manifest.name, manifest.kind, manifest.prompt_version) == ("tiny", "llama", PROMPT_VERSION)
    assert set(manifest.parts) == {"gptq", "onnx"}
    assert "code" in manifest.record
    genai = json.loads((model / "onnx" / "genai_config.json").read_text())
    assert genai["model"]["vocab_size"] == 384
    prompt = taught_cases(1, "train")[0].prompt
    schema = {
        "type": "object",
        "properties": {"level": {"enum": ["low", "high"]}},
        "required": ["level"],
        "additionalProperties": False,
    }
    grammar = Grammar.of(schema)
    answers = set()
    runtimes: tuple[Literal["onnx", "torch"], ...] = ("onnx", "torch")
    for runtime in runtimes:
        generator = open_generator(model, runtime)
        try:
            answers |= {generator.generate(prompt, grammar, 32) for _ in range(2)}
        finally:
            generator.close()
    assert answers <= {'{"level":"low"}', '{"level":"high"}'}


@pytest.mark.slow
@pytest.mark.parametrize("lm_head", ["int4", "int8", "float"])
def test_a_model_with_one_table_for_input_and_output_is_exported_in_every_form(
    tmp_path: Path, lm_head: Literal["int4", "int8", "float"]
) -> None:
    base = make_checkpoint(tmp_path / "base", tie_word_embeddings=True)
    data = make_dataset(tmp_path / "data")
    settings = make_settings(QuantizeSettings, {**COMMON, "examples": 8})
    quantised = Quantize(base, data, tmp_path / "gptq", settings).run()
    model = Export(quantised, tmp_path / "model", ExportSettings(lm_head=lm_head), name="tiny", origin="a test").run()
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    generator = open_generator(model, "onnx")
    try:
        answer = generator.generate("one", Grammar.of({**schema, "additionalProperties": False}), 16)
    finally:
        generator.close()
    assert answer in ('{"a":"x"}', '{"a":"y"}')


def test_an_export_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="not empty"):
        Export(tmp_path / "base", tmp_path / "out", ExportSettings(), name="tiny", origin="noise").run()
