"""A model by one command: which steps it takes, and how it goes on; the steps themselves are tested where they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.errors import ConfigError
from trainer.cli.app import app
from trainer.recipes import tune
from trainer.recipes.tune import PRESETS, Tune, progress_of
from trainer.settings import TuneSettings
from trainer.steps import StepFailed

GGUF = Path("/somewhere/base.gguf")


class Recorded:
    """Steps that only make their directory; one of them may fail."""

    def __init__(self, fails: str | None = None) -> None:
        self.fails = fails
        self.commands: list[list[str]] = []

    def run(self, arguments: Sequence[str], said: Path) -> None:
        self.commands.append(list(arguments))
        for option in ("--output", "--out"):
            if option in arguments:
                target = Path(arguments[list(arguments).index(option) + 1])
                target.mkdir()  # as the real ones, which take no directory that is there
        if arguments[0] == self.fails:
            raise StepFailed(f"{self.fails} ended with 1")


def made(output: Path, steps: Recorded, said: list[str] | None = None, **settings: Any) -> Tune:
    say = (said if said is not None else []).append
    return Tune(output, TuneSettings(**settings), gguf=GGUF, base=None, steps=steps, say=say)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_each_preset_goes_all_the_way(tmp_path: Path, preset: str) -> None:
    steps, said = Recorded(), list[str]()
    assert made(tmp_path / "run", steps, said, preset=preset).run() == tmp_path / "run" / "model"
    first = "dequantize" if preset == "small" else "base"
    names = [command[0] for command in steps.commands]
    assert names == ["synth", first, "finetune", "quantize", "export", "evaluate", "card"]
    assert said[0] == "1 of 7: data ..." and len(said) == 14
    finetune = steps.commands[2]
    assert ("--rank" in finetune) == (preset != "small")
    layers = {"small": None, "base-cut": "12", "base": "0"}[preset]
    assert layers is None or steps.commands[1][steps.commands[1].index("--layers") + 1] == layers


def test_a_fold_is_hidden_only_where_it_is_asked_for(tmp_path: Path) -> None:
    wanted: list[tuple[dict[str, Any], str | None]] = [
        ({}, None),
        ({"hide_fold": 3}, "3"),
        ({"unknown_share": 0}, None),
    ]
    for number, (more, hidden) in enumerate(wanted):
        steps = Recorded()
        made(tmp_path / str(number), steps, **more).run()
        synth = steps.commands[0]
        assert (synth[synth.index("--hide-fold") + 1] if "--hide-fold" in synth else None) == hidden
        assert ("--unknown-share" in synth) == ("unknown_share" not in more)


def test_what_was_made_is_not_made_again(tmp_path: Path) -> None:
    failing = Recorded(fails="quantize")
    with pytest.raises(StepFailed):
        made(tmp_path / "run", failing).run()
    steps, said = Recorded(), list[str]()
    made(tmp_path / "run", steps, said, threads=2).run()  # what changes no byte may change
    assert [command[0] for command in steps.commands] == ["quantize", "export", "evaluate", "card"]
    assert said[:3] == [
        f"{number} of 7: {name}, done before" for number, name in enumerate(("data", "base", "tune"), 1)
    ]
    with pytest.raises(ConfigError, match="other settings"):
        made(tmp_path / "run", Recorded(), seed=5).run()


def test_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StepFailed):
        made(tmp_path / "run", Recorded(fails="finetune")).run()
    (tmp_path / "run" / "tune" / "run.json").write_text('{"outcome": null}')
    steps = Recorded(fails="finetune")
    with pytest.raises(FileExistsError):  # the directory is left to the training that goes on in it
        made(tmp_path / "run", steps).run()
    assert steps.commands == [[*steps.commands[0][:-1], "--resume"]]


def test_an_output_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        made(tmp_path, Recorded()).run()
    (tmp_path / "mine.txt").unlink()
    (tmp_path / "tune.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        made(tmp_path, Recorded()).run()


def test_too_little_memory_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "available_bytes", lambda: 64 << 20)
    steps = Recorded()
    with pytest.raises(ConfigError, match=r"preset base needs 16000 MiB of memory, 64 MiB are available"):
        made(tmp_path / "run", steps, preset="base").run()
    assert not steps.commands


def test_a_dry_run_says_what_it_takes_and_makes_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tune", "--output", str(tmp_path / "run"), "--dry-run", "--max-steps", "50"])
    assert done.exit_code == 0, done.output
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["memory", "disk", "device", "training"]
    assert not (tmp_path / "run").exists()


def test_what_training_logs_is_told_in_a_line() -> None:
    line = '{"event": "training.logged", "of": 50, "step": 20, "loss": 1.5, "tokens_per_s": 300}'
    assert progress_of(line) == "step 20 of 50: loss 1.5, tokens_per_s 300"
    assert progress_of("Traceback") is None and progress_of("[1]") is None and progress_of('{"event": "x"}') is None
