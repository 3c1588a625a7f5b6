"""What stands in for torch in the tests: steps that leave the files that the real ones leave, and a model's measure."""

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from pipeline.engine.manifest import read_manifest, write_manifest
from pipeline.engine.shipped import FILE
from pipeline.knowledge.schema import Knowledge
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.review.chain import Head
from pipeline.review.verdict import Verdict
from pipeline.scorecard.cases import GoldCase, write_gold
from pipeline.scorecard.holdouts import read_holdouts
from trainer.cli.app import app
from trainer.cli.options import _value
from trainer.data.dataset import write_dataset
from trainer.retrain.data import DECIDED, FACTS, HELD_OUT, LESSONS, Progress, Rehearsal
from trainer.retrain.decided import Decided, right_of
from trainer.retrain.decision import Measured
from trainer.settings import (
    ExportSettings,
    FinetuneSettings,
    QuantizeSettings,
    RecipeSettings,
    RetrainSettings,
    make_settings,
)

CARD: dict[str, Any] = json.loads((EMBEDDED_MODEL / "manifest.json").read_bytes())["record"]["scorecards"]["onnx"]
WEIGHTS = (8).to_bytes(8, "little") + b"{}      "
Killed = KeyboardInterrupt  # nothing catches it, as nothing catches SIGKILL


def accepted(arguments: Sequence[str]) -> None:
    """Have the real command read its options: it refuses what it does not know, and what is out of range."""
    commands: Any = typer.main.get_command(app)
    context = commands.commands[arguments[0]].make_context(arguments[0], list(arguments[1:]))
    kinds: dict[str, type[RecipeSettings]] = {
        "finetune": FinetuneSettings,
        "quantize": QuantizeSettings,
        "export": ExportSettings,
    }
    kind = kinds.get(arguments[0])
    if kind is not None:
        make_settings(kind, {name: _value(field, context.params[name]) for name, field in kind.model_fields.items()})


class Steps:
    """Makes what each command makes, less the sense in it.

    Attributes:
        ran: commands, in order.
        die_in: command that is killed when half of what it makes is there.
    """

    def __init__(self, die_in: str | None = None) -> None:
        self.ran: list[str] = []
        self.resumed: list[bool] = []
        self.die_in = die_in

    def run(self, arguments: Sequence[str], said: Path) -> None:
        command, output = arguments[0], Path(arguments[list(arguments).index("--output") + 1])
        accepted(arguments)
        self.ran.append(command)
        self.resumed.append("--resume" in arguments)
        getattr(self, f"_{command}")(output, arguments)

    def _half(self, command: str) -> None:
        if command == self.die_in:
            raise Killed

    def _dequantize(self, output: Path, arguments: Sequence[str]) -> None:
        assert Path(arguments[2]).name == "gptq"
        output.mkdir()
        self._half("dequantize")
        (output / "model.safetensors").write_bytes(WEIGHTS)

    def _finetune(self, output: Path, arguments: Sequence[str]) -> None:
        assert (Path(arguments[2]) / "model.safetensors").exists()
        output.mkdir(exist_ok="--resume" in arguments)
        (output / "run.json").write_text('{"outcome": null}')
        self._half("finetune")
        (output / "model").mkdir()
        (output / "model" / "model.safetensors").write_bytes(WEIGHTS)
        (output / "model" / "config.json").write_text("{}")
        (output / "run.json").write_text('{"outcome": {}}')

    def _quantize(self, output: Path, arguments: Sequence[str]) -> None:
        (output / "model").mkdir(parents=True)
        self._half("quantize")
        (output / "model" / "config.json").write_text("{}")

    def _export(self, output: Path, arguments: Sequence[str]) -> None:
        shutil.copytree(EMBEDDED_MODEL, output)
        self._half("export")
        (output / FILE).unlink()
        (output / "README.md").unlink()
        known = read_manifest(output)
        write_manifest(
            output, name=arguments[list(arguments).index("--name") + 1] if arguments else "another", kind=known.kind,
            base="the incumbent", prompt_version=known.prompt_version, context_length=known.context_length,
            parts=known.parts, record={"classes": ["mounts.home_exec"], "runs": {}},
        )  # fmt: skip


def measuring(agreement: Callable[[str], float], die_for: str | None = None) -> Any:
    """Give what measures models: `agreement` gives the share of held-out verdicts that a model agrees with."""

    def of(knowledge: Knowledge, cases: int, progress: Progress) -> Any:
        def measure(directory: Path, digest: str, held_out: Sequence[GoldCase], decided: Decided) -> Measured:
            if digest == die_for:
                raise Killed
            count = round(agreement(digest) * len(held_out))
            agreed = {one.situation: number < count for number, one in enumerate(held_out)}
            assert all(right_of(one).level for one in held_out)
            card = copy.deepcopy(CARD)
            return Measured(digest, digest, agreed, card, card["holdouts"])

        return measure

    return of


def preparing(count: int = 24, corrections: int = 9, decided: int = 1, die: bool = False) -> Any:
    """Give what prepares data: held-out verdicts taken from the frozen holdouts."""

    def prepare(
        directory: Path, verdicts: list[Verdict], head: Head, knowledge: Knowledge, settings: RetrainSettings,
        progress: Progress, rehearsal: Rehearsal,
    ) -> None:  # fmt: skip
        directory.mkdir()
        if die:
            raise Killed
        write_gold(directory / HELD_OUT, read_holdouts().cases["instance"][:count])
        write_dataset(directory, [], {})
        (directory / DECIDED).write_bytes(b'{"class": [], "instance": [3]}')
        (directory / LESSONS).write_bytes(b'{"lesson": 1}\n')
        counts = {
            "standing": len(verdicts), "lessons": 60, "corrections": 20, "approvals": 40, "below_the_floor": 1,
            "untaught": {"acceptance": 2}, "contradicted": 3, "replaced": 1, "rebuilt": 0, "unasked": 0, "no_words": 0,
            "trained": 36, "trained_corrections": corrections, "held_out": count, "repeats": 5,
            "carried": 40, "contrasted": 40, "raised": 9, "replayed": 900, "rare": 7,
            "frozen": {"class": 400, "instance": 400}, "decided_otherwise": {"class": 0, "instance": decided},
        }  # fmt: skip
        (directory / FACTS).write_text(json.dumps(counts))

    return prepare
