"""A user's own checkpoint, by the commands of the handbook, to a model that the daemon runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "gptqmodel", "peft", "optimum", "bitsandbytes")

from tests.trainer.small import make_checkpoint  # noqa: E402  (what the guard above lets through)

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests" / "data" / "scans" / "micro-default.json"


def run(module: str, *arguments: str, **environment: str) -> str:
    """Run a command to its end; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "2", "GPTQMODEL_CPU_WORKERS": "2", **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_checkpoint_of_mistral_is_tuned_quantised_exported_scored_and_run_by_the_daemon(tmp_path: Path) -> None:
    here = {name: str(tmp_path / name) for name in ("data", "base", "tune", "gptq", "model", "reports", "state")}
    make_checkpoint(tmp_path / "base", model_type="mistral", max_position_embeddings=2048)
    few = ("--device", "cpu", "--threads", "2")
    run("trainer", "synth", "--out", here["data"], "--size", "200", "--seed", "3")
    run("trainer", "finetune", "--base", here["base"], "--data", here["data"], "--output", here["tune"],
        "--max-steps", "2", "--max-tokens", "1024", "--batch", "1", "--max-valid", "4", *few)  # fmt: skip
    run("trainer", "quantize", "--base", f"{here['tune']}/model", "--data", here["data"], "--output", here["gptq"],
        "--examples", "8", "--max-tokens", "1024", *few)  # fmt: skip
    run("trainer", "export", "--base", f"{here['gptq']}/model", "--output", here["model"], "--name", "mine")
    run("trainer", "evaluate", "--base", here["model"], "--limit", "3", "--into", here["model"])
    run("trainer", "card", "--model", here["model"])
    assert "onnx" in json.loads((tmp_path / "model" / "manifest.json").read_text())["record"]["scorecards"]

    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / REPORT.name).write_bytes(REPORT.read_bytes())
    run("daemon.cli", "run", "--once", "--watch", here["reports"], "--state-dir", here["state"],
        "--output", f"{tmp_path}/out.ndjson", SYSSCAN_MODEL__PATH=here["model"])  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    origins = {line["analysis"]["origin"] for line in lines if "analysis" in line}
    reasons = {line["analysis"]["fallback_reason"] for line in lines if "analysis" in line}
    # It knows nothing, so `critique` refuses much of what it says; but it is asked, and answers.
    assert reasons <= {None, "rejected", "model_failed"} and origins <= {"model", "rules"}
    assert "model" in origins or "rejected" in reasons
    assert all(line["provenance"]["runtime"] != "rules/1" for line in lines if "analysis" in line)
