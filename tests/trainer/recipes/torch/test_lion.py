"""The optimiser that `finetune` asks transformers for does what the paper on Lion says (Chen et al. 2023)."""
# ruff: noqa: E402  (what the guard below lets through)

from pathlib import Path
from typing import Any

from tests.skips import needs_trainer

needs_trainer("torch", "bitsandbytes", "transformers")

import torch

RATE, BETA1, BETA2, DECAY = 1e-2, 0.9, 0.99, 0.1
STEPS = 12


def lion(name: str, weight: Any, output: Path) -> Any:
    """Make the optimiser as the Trainer does, from its arguments."""
    from bitsandbytes.optim import GlobalOptimManager
    from transformers import Trainer, TrainingArguments

    # It keeps embeddings in 32 bits, by the address of their weights: one that an earlier test freed may be ours now.
    GlobalOptimManager.get_instance().initialize()
    arguments = TrainingArguments(
        output_dir=str(output),
        optim=name,
        learning_rate=RATE,
        adam_beta1=BETA1,
        adam_beta2=BETA2,
        weight_decay=DECAY,
        use_cpu=True,
        report_to="none",
    )
    kind, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    return kind([{"params": [weight], "weight_decay": DECAY}], **options)


def step(weight: Any, momentum: Any, gradient: Any) -> tuple[Any, Any]:
    """Take one step of the paper: u = sign(b1 m + (1-b1) g); w -= lr (u + l w); m = b2 m + (1-b2) g."""
    update = torch.sign(BETA1 * momentum + (1 - BETA1) * gradient)
    return weight - RATE * (update + DECAY * weight), BETA2 * momentum + (1 - BETA2) * gradient


def test_lion_in_32_bits_is_the_formula(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(64, 80, generator=generator))
    expected, momentum = weight.detach().clone(), torch.zeros_like(weight)
    optimizer = lion("lion_32bit", weight, tmp_path)
    for _ in range(STEPS):
        weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()
        expected, momentum = step(expected, momentum, weight.grad)
        # A sum of three floats may round either way; a sign that differs would be off by 2 * RATE.
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(optimizer.state[weight]["state1"], momentum, rtol=1e-5, atol=1e-6)


def test_lion_in_8_bits_is_the_formula_within_its_quantisation(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(64, 80, generator=generator))
    optimizer = lion("lion_8bit", weight, tmp_path)
    expected, momentum = weight.detach().clone(), torch.zeros_like(weight)
    apart = []
    for _ in range(STEPS):
        weight.grad = torch.randn(weight.shape, generator=generator)
        before = weight.detach().clone()
        optimizer.step()
        expected, momentum = step(before, momentum, weight.grad)
        # Where the rounded momentum turns a sign, the weight is off by 2 * RATE; elsewhere it is the formula's.
        differs = (weight.detach() - expected).abs() > 1e-5
        assert (weight.detach() - expected).abs().max() <= 2 * RATE + 1e-5
        apart.append(differs.float().mean().item())
    assert optimizer.state[weight]["state1"].dtype == torch.uint8
    # The first step has no momentum to round: exact. Later few weights lie so near to a turn of the sign.
    assert apart[0] == 0
    assert 0 < max(apart) < 0.03


def test_a_step_without_gradient_is_decay_alone(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(64, 80))
    optimizer = lion("lion_32bit", weight, tmp_path)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((64, 80), 1 - RATE * DECAY))
