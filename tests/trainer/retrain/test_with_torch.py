"""The whole way on the embedded model's own weights: killed in the middle of training, it goes on to a decision."""
# ruff: noqa: E402  (what the guard below lets through)

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "gptqmodel", "peft", "optimum", "onnx_ir")

from pipeline.models.registry import EMBEDDED, Registry
from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Correction, Draft, Situation
from tests.trainer.retrain.reviewers import drafts, reviewed, write_log

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "--replay", "100", "--lesson-share", "0.5", "--most-repeats", "2", "--epochs", "1", "--batch", "4", "--cases", "4",
    "--calibration", "8", "--least-held-out", "2", "--threads", "1", "--no-idle",
)  # fmt: skip


def correct(record: EnrichedFinding, situation: Situation) -> Draft:
    return Draft("correct", "worse than that", correction=Correction(level="high"))


def start(state: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "trainer", "retrain", "--state-dir", str(state), *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_while_it_trains_it_goes_on_and_decides(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), correct))
    first = start(tmp_path)
    assert first.stdout is not None
    for line in first.stdout:
        if json.loads(line).get("stage") == "train":
            break
    train = tmp_path / "retraining" / "run" / "train.part" / "run.json"
    while not train.exists():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = start(tmp_path)
    said: list[dict[str, Any]] = [json.loads(line) for line in second.communicate()[0].splitlines()]
    assert second.returncode == 0
    events = [one["event"] for one in said]
    assert "retraining.resumed" in events
    made = {one["stage"] for one in said if one["event"] == "retraining.stage_done"}
    assert "data" not in made and {"train", "gptq", "model", "candidate", "decision"} <= made
    ended = said[-1]
    assert ended["outcome"] in ("promoted", "kept"), ended
    report = json.loads(Path(ended["report"]).with_suffix(".json").read_bytes())
    assert report["agreement"]["held_out"] >= 2
    incumbent = Registry(tmp_path / "models").incumbent()
    assert (incumbent.digest == EMBEDDED) == (ended["outcome"] == "kept")
    assert not (tmp_path / "retraining" / "run").exists()
