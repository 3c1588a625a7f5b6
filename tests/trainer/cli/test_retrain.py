"""`sysscan-train retrain` as it is called: what it says first, what it refuses, and what it has no option for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Correction, Draft, Situation
from tests.trainer.retrain.reviewers import drafts, reviewed, write_log
from trainer.settings import RetrainSettings

ROOT = Path(__file__).resolve().parents[3]


def retrain(state: Path, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "retrain", "--state-dir", str(state), "--no-idle", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def correct(record: EnrichedFinding, situation: Situation) -> Draft:
    return Draft("correct", "worse than that", correction=Correction(level="high"))


def test_too_few_verdicts_are_said_and_end_it_well(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed()[:3], correct))
    code, said, errors = retrain(tmp_path)
    assert (code, errors) == (0, "")
    assert said[0]["event"] == "retraining.opened"
    assert (said[-1]["event"], said[-1]["outcome"]) == ("retraining.ended", "nothing_to_do")
    assert "3 verdicts since the last run, and 20 are needed" in said[-1]["reason"]


def test_no_verdicts_at_all_end_it_well(tmp_path: Path) -> None:
    assert retrain(tmp_path)[1][-1]["outcome"] == "nothing_to_do"


def test_a_dry_run_says_what_would_be_learned_and_makes_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), correct))
    code, said, _ = retrain(tmp_path, "--dry-run")
    outlook = said[-1]
    assert code == 0 and outlook["would_train"]
    assert outlook["verdicts"]["trained_corrections"] > 0
    assert outlook["verdicts"]["held_out"] * 3 >= outlook["verdicts"]["lessons"]
    assert {path.name.partition(".db")[0] for path in tmp_path.iterdir()} == {"review"}


def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    for arguments in (("--least-held-out", "1"), ("--epochs", "0"), ("--force-promote",)):
        code, _, errors = retrain(tmp_path, *arguments)
        assert code == 2 and errors.count("\n") == 1, errors
    code, _, errors = retrain(tmp_path / "nowhere")
    assert code == 2 and "no such directory" in errors


def test_a_log_that_was_tampered_with_ends_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "review.db").write_bytes(b"not a database at all, " * 100)
    code, _, errors = retrain(tmp_path)
    assert code == 2 and errors.startswith("sysscan-train: ") and errors.count("\n") == 1


def test_the_first_line_comes_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "trainer", "retrain", "--no-idle", "--state-dir", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said, imported = process.communicate()
    assert said.startswith('{"event": "retraining.opened"')
    assert "torch" not in {line.rpartition("|")[2].strip().partition(".")[0] for line in imported.splitlines()}


def test_every_setting_has_its_words() -> None:
    for name, field in RetrainSettings.model_fields.items():
        assert field.description, name
        assert name != "force_promote"
