"""Recipe: a model directory from a public package and an adapter, by the commands that make any model."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.errors import ConfigError
from trainer.preflight import check_disk, check_empty
from trainer.recipes.adapter import CONFIG, WEIGHTS
from trainer.recipes.base import read_plan
from trainer.recipes.checkpoint import PLAN
from trainer.recipes.package import PACKAGE, VERSION, find_package
from trainer.settings import BuildSettings
from trainer.steps import Steps

_NEEDED = ("run.json", f"adapter/{CONFIG}", f"adapter/{WEIGHTS}", f"adapter/{PLAN}")
_DISK = 3 << 30  # of the whole base as floats, merged, quantised and exported

Say = Callable[[str], None]


class Build:
    """Make a model directory; `run` does all of it.

    Args:
        tuned: directory of a run of `finetune` on a base of ours: its ``adapter/``, with the plan of the base, and its
            record.
        output: the model directory; what the steps say stands beside it, in ``OUTPUT.log``, until it is there.
        gguf: the file of the base; None takes that of the package.
        name: what the manifest calls the model.
        steps: runs the commands.
        say: takes a line for each step.
    """

    def __init__(
        self,
        tuned: Path,
        output: Path,
        settings: BuildSettings,
        *,
        gguf: Path | None,
        name: str,
        steps: Steps,
        say: Say,
    ) -> None:
        self.tuned = tuned
        self.output = output
        self.settings = settings
        self.gguf = gguf
        self.name = name
        self._steps = steps
        self._say = say

    def run(self) -> Path:
        """Build the base by its plan, merge, quantise, export, and give the model directory.

        Raises:
            ConfigError: if the output is taken, or adapter or base is missing or of another kind.
            StepFailed: if a step ends with an error.
        """
        check_empty(self.output)
        for name in _NEEDED:
            if not (self.tuned / name).is_file():
                raise ConfigError(f"{self.tuned}: {name} is missing; name a run of `finetune` on what `base` made")
        read_plan(self.tuned / "adapter" / PLAN)
        base = find_package() if self.gguf is None else self.gguf
        self.output.parent.mkdir(parents=True, exist_ok=True)
        check_disk(_DISK, self.output)
        log = self.output.with_name(f"{self.output.name}.log")
        # Beside the output: what is made there is moved, not copied.
        with TemporaryDirectory(dir=self.output.parent, prefix=f".{self.output.name}.") as temporary:
            commands = self._commands(Path(temporary), base)
            for number, arguments in enumerate(commands, 1):
                begin = time.monotonic()
                self._steps.run(arguments, log)
                self._say(f"{number} of {len(commands)}: {arguments[0]}, {time.monotonic() - begin:.0f} s")
        log.unlink(missing_ok=True)
        return self.output

    def _commands(self, work: Path, base: Path) -> Sequence[Sequence[str]]:
        settings = self.settings
        plain, merged, data, gptq = (str(work / name) for name in ("base", "merged", "data", "gptq"))
        adapter = self.tuned / "adapter"
        rank = json.loads((adapter / CONFIG).read_bytes()).get("r")
        return (
            ["base", "--gguf", str(base), "--plan", str(adapter / PLAN), "--output", plain],
            ["merge", "--base", plain, "--adapter", str(adapter), "--output", merged],
            ["synth", "--out", data, "--size", str(settings.cases), "--seed", str(settings.seed)],
            ["quantize", "--base", merged, "--data", data, "--output", gptq, "--examples", str(settings.examples),
             "--group-size", str(settings.group_size), "--threads", str(settings.threads),
             "--seed", str(settings.seed)],
            ["export", "--base", f"{gptq}/model", "--output", str(self.output), "--name", self.name,
             "--origin", f"{PACKAGE} {VERSION}, and an adapter of rank {rank}",
             "--run", str(self.tuned), "--run", gptq, "--lm-head", settings.lm_head],
        )  # fmt: skip
