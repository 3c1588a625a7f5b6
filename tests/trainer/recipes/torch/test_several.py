"""Two processes that train together make what one makes that takes twice as many passes a step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "peft", "bitsandbytes")

import numpy as np  # noqa: E402  (what the guard above lets through)
from safetensors.numpy import load_file  # noqa: E402

from tests.trainer.small import lines, make_checkpoint, make_dataset  # noqa: E402

ROOT = Path(__file__).parents[4]
# All rows in each step: who gets which does not count.
OPTIONS = (
    "--device", "cpu", "--threads", "1", "--batch", "8", "--max-steps", "4", "--eval-every", "4", "--log-every", "1",
    "--precision", "fp32", "--dropout", "0", "--learning-rate", "3e-3", "--optimizer", "lion_32bit", "--patience", "0",
    "--no-gradient-checkpointing",
)  # fmt: skip


def finetune(base: Path, data: Path, output: Path, passes: int, processes: int) -> list[float]:
    several = (
        "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--rdzv-backend", "c10d",
        "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1",
    ) if processes > 1 else ()  # fmt: skip
    done = subprocess.run(
        [sys.executable, *several, "-m", "trainer", "finetune", "--base", str(base), "--data", str(data),
         "--output", str(output), "--accumulation", str(passes), *OPTIONS],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}, cwd=ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [one["loss"] for one in lines(output / "metrics.jsonl") if "loss" in one]


@pytest.mark.slow
def test_two_processes_make_what_one_makes_in_twice_as_many_passes(tmp_path: Path) -> None:
    base, data = make_checkpoint(tmp_path / "base"), make_dataset(tmp_path / "data", train=16, valid=8)
    alone = finetune(base, data, tmp_path / "alone", passes=2, processes=1)
    together = finetune(base, data, tmp_path / "together", passes=1, processes=2)
    np.testing.assert_allclose(together, alone, rtol=1e-3)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("alone", "together"))
    before = load_file(base / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    change = np.abs(one[name] - before[name]).max()
    # Lion takes the sign of a sum: where it is nearly 0, rounding decides which.
    for name in before:
        assert np.abs(other[name] - one[name]).mean() < 0.02 * change, name
