"""The weights that come back out of a GPTQ checkpoint are those that it computes with."""
# ruff: noqa: E402  (what the guard below lets through)

import json
from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "safetensors", "transformers")

import torch
from safetensors.torch import load_file

from pipeline.analysis.prompt import render_prompt
from pipeline.errors import ConfigError
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.scorecard.holdouts import read_holdouts
from tests.trainer.small import make_checkpoint
from trainer.recipes.checkpoint import inspect_checkpoint
from trainer.recipes.tokenizer import load_encoder
from trainer.recipes.torch.dequantize import dequantize, unpack

GPTQ = EMBEDDED_MODEL / "gptq"


def test_each_weight_is_its_scale_times_its_distance_from_the_zero_point() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs, outputs, group = 32, 16, 8
    weights = torch.randint(0, 16, (inputs, outputs), generator=generator)
    zeros = torch.randint(1, 17, (inputs // group, outputs), generator=generator)
    scales = torch.rand((inputs // group, outputs), generator=generator)
    groups = torch.randperm(inputs, generator=generator) % (inputs // group)  # any order of groups

    def packed(values: list[int]) -> int:
        number = sum(value << (4 * place) for place, value in enumerate(values))
        return number - (1 << 32) if number >= 1 << 31 else number

    qweight = torch.tensor(
        [[packed(weights[8 * row : 8 * row + 8, column].tolist()) for column in range(outputs)] for row in range(4)],
        dtype=torch.int32,
    )
    qzeros = torch.tensor(
        [[packed((zeros[row, 8 * place : 8 * place + 8] - 1).tolist()) for place in range(2)] for row in range(4)],
        dtype=torch.int32,
    )
    found = unpack(qweight, qzeros, scales, groups, offset=1)
    assert found.shape == (outputs, inputs)
    for one in range(inputs):
        for other in range(outputs):
            of = int(groups[one])
            wanted = float(scales[of, other]) * (int(weights[one, other]) - int(zeros[of, other]))
            assert float(found[other, one]) == pytest.approx(wanted, abs=1e-6)


def test_the_embedded_model_in_floats_answers_as_its_gptq_form_does(tmp_path: Path) -> None:
    needs_trainer("gptqmodel")
    from pipeline.engine.torch_runtime import TorchRunner

    made = dequantize(GPTQ, tmp_path / "float")
    assert not inspect_checkpoint(made).quantised
    assert all(tensor.dtype == torch.float32 for tensor in load_file(made / "model.safetensors").values())
    encoder = load_encoder(made)
    runners = [TorchRunner(path, context_length=512, threads=1, device="cpu") for path in (GPTQ, made)]
    for one in read_holdouts().cases["instance"][:4]:
        logits = []
        for runner in runners:
            runner.rewind(0, 0)
            logits.append(torch.from_numpy(runner.append(0, encoder.prompt(render_prompt(one.case)))))
        # On a CPU the fused kernel rounds on its way; a wrong zero point or order of bits is off by whole units.
        assert float((logits[0] - logits[1]).abs().max()) < 0.05
        assert int(logits[0].argmax()) == int(logits[1].argmax())


def test_what_is_no_gptq_checkpoint_is_refused(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "float")
    with pytest.raises(ConfigError, match="not a GPTQ checkpoint"):
        dequantize(base, tmp_path / "out")
    config = json.loads((GPTQ / "config.json").read_bytes())
    config["quantization_config"]["bits"] = 8
    eight = tmp_path / "eight"
    eight.mkdir()
    for path in GPTQ.iterdir():
        (eight / path.name).write_bytes(path.read_bytes())
    (eight / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="4 bits"):
        dequantize(eight, tmp_path / "out")
