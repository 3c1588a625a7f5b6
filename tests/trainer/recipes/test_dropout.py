"""The dropout that is used on a CPU drops as much as torch's, and as often again from the same seed."""
# ruff: noqa: E402  (what the guard below lets through)

import pytest

from tests.skips import needs_trainer

needs_trainer("torch")

import torch
from torch import nn

from trainer.recipes.torch.dropout import QuickDropout, quicken


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_it_drops_the_share_that_it_was_given_and_keeps_the_mean(share: float) -> None:
    torch.manual_seed(3)
    dropped = QuickDropout(share)(torch.ones(1001, 997))
    found = (dropped == 0).float().mean().item()
    assert found == pytest.approx(share, abs=0.002)  # four standard deviations are 0.002 at most
    assert dropped.mean().item() == pytest.approx(1, abs=0.005)
    assert len(dropped.unique()) == 2


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(3)
    gone = QuickDropout(0.5)(torch.ones(400_000)) == 0
    for distance in (1, 2, 3, 4):
        assert (gone[distance:] & gone[:-distance]).float().mean().item() == pytest.approx(0.25, abs=0.005)


def test_the_same_seed_drops_the_same_and_gradients_pass_where_values_do() -> None:
    values = torch.ones(3, 7, 5, requires_grad=True)
    torch.manual_seed(3)
    first = QuickDropout(0.3)(values)
    torch.manual_seed(3)
    assert torch.equal(first, QuickDropout(0.3)(values))
    first.sum().backward()
    assert values.grad is not None and torch.equal(values.grad, first.detach())


def test_outside_of_training_and_at_nothing_it_changes_nothing() -> None:
    values = torch.randn(10)
    assert QuickDropout(0.3).eval()(values) is values
    assert QuickDropout(0.0)(values) is values


def test_every_dropout_of_a_model_is_made_quick() -> None:
    model = nn.ModuleDict({"adapted": nn.ModuleDict({"default": nn.Dropout(0.1), "other": nn.Identity()})})
    quicken(model)
    kinds = [type(one) for one in model.modules()]
    assert QuickDropout in kinds and nn.Dropout not in kinds and nn.Identity in kinds
