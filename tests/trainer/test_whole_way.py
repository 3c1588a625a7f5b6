"""A user's own checkpoint, by the commands of the handbook, to a model that the daemon runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import needs_trainer

needs_trainer("torch", "transformers", "gguf", "gptqmodel", "peft", "optimum", "bitsandbytes")

from tests.trainer.gguf_file import make_gguf  # noqa: E402
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


@pytest.mark.slow
def test_a_model_is_built_anew_from_a_package_and_an_adapter_and_from_no_other_base(tmp_path: Path) -> None:
    here = {name: str(tmp_path / name) for name in ("data", "base", "tune", "model", "again", "other")}
    gguf, _ = make_gguf(tmp_path / "base.gguf")
    few = ("--device", "cpu", "--threads", "2")
    run("trainer", "synth", "--out", here["data"], "--size", "200", "--seed", "3")
    run("trainer", "base", "--gguf", str(gguf), "--data", here["data"], "--layers", "2", "--positions", "1024",
        "--output", here["base"])  # fmt: skip
    run("trainer", "finetune", "--base", here["base"], "--data", here["data"], "--output", here["tune"],
        "--max-steps", "2", "--max-tokens", "1024", "--batch", "1", "--max-valid", "4", *few)  # fmt: skip
    build = ("--tuned", here["tune"], "--cases", "200", "--examples", "8", "--threads", "2")
    run("trainer", "build", "--gguf", str(gguf), "--output", here["model"], *build)
    run("trainer", "build", "--gguf", str(gguf), "--output", here["again"], *build)
    made, again = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("model", "again"))
    assert made["files"] == again["files"] and made["record"]["classes"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".log") == []
    run("trainer", "evaluate", "--base", here["model"], "--limit", "2")

    run("trainer", "base", "--gguf", str(gguf), "--layers", "3", "--output", here["other"])
    refused = subprocess.run(
        [sys.executable, "-m", "trainer", "merge", "--base", here["other"], "--adapter", f"{here['tune']}/adapter",
         "--output", f"{tmp_path}/merged"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert refused.returncode == 2 and "trained on another base" in refused.stderr.splitlines()[-1]

    (tmp_path / "tune" / "adapter" / "adapter_model.safetensors").write_bytes(b"damaged")
    broken = subprocess.run(
        [sys.executable, "-m", "trainer", "build", "--gguf", str(gguf), "--output", f"{tmp_path}/broken", *build],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert broken.returncode == 2 and not (tmp_path / "broken").exists()
    assert "Traceback" not in broken.stderr.splitlines()[-1] and f"see {tmp_path}/broken.log" in broken.stderr
