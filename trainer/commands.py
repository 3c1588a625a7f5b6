"""The commands that make a model: pretrain, finetune, merge, quantize, export.

Each imports its recipe when it runs: torch and its company take ten seconds, and `--help` needs none of it.
"""

import importlib
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from pipeline.bars import bars
from pipeline.errors import ConfigError
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from trainer.offline import seal
from trainer.settings import ExportSettings, FinetuneSettings, PretrainSettings, QuantizeSettings, make_settings

Data = Annotated[Path, typer.Option("--data", "-d", help="Data set directory, made by `synth`.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Run directory to make; must be empty or not there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output from its last checkpoint.")]
Base = Annotated[Path, typer.Option("--base", "-b", help="Local checkpoint: Llama or Mistral, safetensors.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, data and machine, same model.", show_default="0")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads.", show_default="all cores")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.", show_default="auto")]
Precision = Annotated[
    str | None,
    typer.Option("--precision", help="auto, bf16, fp16 (GPU, dynamic loss scale) or fp32.", show_default="auto"),
]
Epochs = Annotated[float | None, typer.Option("--epochs", help="Passes over the data.", show_default=False)]
MaxSteps = Annotated[int | None, typer.Option("--max-steps", help="Steps in place of epochs.", show_default=False)]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", help="Longer sequences lose the prompt's beginning.", show_default="512")
]
Batch = Annotated[int | None, typer.Option("--batch", help="Sequences a device and pass.", show_default=False)]
Accumulation = Annotated[int | None, typer.Option("--accumulation", help="Passes a step.", show_default=False)]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="Peak learning rate.", show_default=False)]
MinRate = Annotated[float | None, typer.Option("--min-learning-rate", help="At the end.", show_default=False)]
Warmup = Annotated[float | None, typer.Option("--warmup", help="Share of the steps.", show_default=False)]
Decay = Annotated[float | None, typer.Option("--weight-decay", help="Weight decay.", show_default=False)]
EvalEvery = Annotated[
    int | None, typer.Option("--eval-every", help="Steps between evaluations and checkpoints.", show_default=False)
]
Patience = Annotated[
    int | None,
    typer.Option("--patience", help="Evaluations without a gain until it stops; 0 never.", show_default=False),
]
MaxValid = Annotated[
    int | None, typer.Option("--max-valid", help="Valid examples an evaluation reads.", show_default="2000")
]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="torch.compile.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (pretrain, finetune, merge, quantize, export, answers):
        app.command()(command)


def pretrain(
    data: Data,
    output: Output,
    resume: Resume = False,
    seed: Seed = None,
    threads: Threads = None,
    device: Device = None,
    precision: Precision = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    max_tokens: MaxTokens = None,
    batch: Batch = None,
    accumulation: Accumulation = None,
    learning_rate: Rate = None,
    min_learning_rate: MinRate = None,
    warmup: Warmup = None,
    weight_decay: Decay = None,
    eval_every: EvalEvery = None,
    patience: Patience = None,
    max_valid: MaxValid = None,
    compile_model: Compile = None,
    prompt_weight: Annotated[
        float | None, typer.Option(help="Weight of the loss on a token of the prompt.", show_default=False)
    ] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Tokens of the tokenizer.", show_default="4096")] = None,
    hidden: Annotated[int | None, typer.Option(help="Width of the model.", show_default="256")] = None,
    layers: Annotated[int | None, typer.Option(help="Blocks.", show_default="6")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads.", show_default="4")] = None,
    kv_heads: Annotated[int | None, typer.Option(help="Heads of keys and values.", show_default="2")] = None,
    intermediate: Annotated[int | None, typer.Option(help="Width inside a block.", show_default="768")] = None,
    positions: Annotated[int | None, typer.Option(help="Longest sequence ever.", show_default="1024")] = None,
    tie_embeddings: Annotated[
        bool | None, typer.Option("--tie-embeddings/--untied", help="One table in and out.", show_default=False)
    ] = None,
) -> None:
    """Train a small Llama and its tokenizer from nothing."""
    values = _given(locals())
    settings = make_settings(PretrainSettings, values)
    _say(_recipe("pretrain").Pretrain(data, output, settings, resume=resume).run())


def finetune(
    base: Base,
    data: Data,
    output: Output,
    resume: Resume = False,
    seed: Seed = None,
    threads: Threads = None,
    device: Device = None,
    precision: Precision = None,
    epochs: Epochs = None,
    max_steps: MaxSteps = None,
    max_tokens: MaxTokens = None,
    batch: Batch = None,
    accumulation: Accumulation = None,
    learning_rate: Rate = None,
    min_learning_rate: MinRate = None,
    warmup: Warmup = None,
    weight_decay: Decay = None,
    eval_every: EvalEvery = None,
    patience: Patience = None,
    max_valid: MaxValid = None,
    compile_model: Compile = None,
    optimizer: Annotated[
        str | None, typer.Option(help="lion_8bit, lion_32bit or adamw_torch.", show_default="lion_8bit")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="train, or all: those that are held out, too.", show_default="train")
    ] = None,
    adapter: Annotated[str | None, typer.Option(help="lora, or none: all weights.", show_default="lora")] = None,
    rank: Annotated[int | None, typer.Option(help="Of the adapter.", show_default="16")] = None,
    alpha: Annotated[int | None, typer.Option(help="Of the adapter.", show_default="32")] = None,
    dropout: Annotated[float | None, typer.Option(help="Of the adapter.", show_default="0.05")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Module to adapt; may be repeated.", show_default="all seven")
    ] = None,
    gradient_checkpointing: Annotated[
        bool | None, typer.Option("--gradient-checkpointing/--no-gradient-checkpointing", show_default=False)
    ] = None,
) -> None:
    """Train a LoRA adapter with Lion on a local checkpoint, and merge it."""
    values = _given(locals())
    targets = values.pop("target", None)
    if targets:
        values["targets"] = tuple(targets)
    settings = make_settings(FinetuneSettings, values)
    _say(_recipe("finetune").Finetune(base, data, output, settings, resume=resume).run())


def merge(
    base: Base,
    adapter: Annotated[Path, typer.Option(help="Directory of a LoRA adapter, as PEFT writes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory of the plain checkpoint to make.")],
) -> None:
    """Add an adapter to its base: a plain checkpoint."""
    recipe = _recipe("finetune")
    recipe.merge_into(base, adapter, output)
    _say(output)


def quantize(
    base: Base,
    data: Data,
    output: Output,
    seed: Seed = None,
    threads: Threads = None,
    device: Device = None,
    bits: Annotated[int | None, typer.Option(help="4.", show_default="4")] = None,
    group_size: Annotated[int | None, typer.Option(help="32, 64 or 128.", show_default="128")] = None,
    examples: Annotated[int | None, typer.Option(help="Findings for calibration.", show_default="128")] = None,
    max_tokens: MaxTokens = None,
    damp: Annotated[float | None, typer.Option(help="Share of the mean diagonal.", show_default="0.05")] = None,
) -> None:
    """Quantise a checkpoint with GPTQ."""
    settings = make_settings(QuantizeSettings, _given(locals()))
    _say(_recipe("quantize").Quantize(base, data, output, settings).run())


def export(
    base: Annotated[Path, typer.Option("--base", "-b", help="GPTQ checkpoint, made by `quantize`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model directory to make, for the daemon.")],
    name: Annotated[str, typer.Option(help="What the manifest calls the model.")] = "local",
    origin: Annotated[str, typer.Option(help="What the weights were made from, in a few words.")] = "a checkpoint",
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.", show_default="cpu")] = None,
    accuracy_level: Annotated[int | None, typer.Option(help="0 to 4; 4 multiplies in int8.", show_default="4")] = None,
    lm_head: Annotated[str | None, typer.Option(help="int4, int8 or float.", show_default="int8")] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="Run directory whose record goes into the manifest; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Export a GPTQ checkpoint to ONNX, and write the manifest."""
    settings = make_settings(ExportSettings, _given(locals(), "name", "origin", "run"))
    _say(_recipe("export").Export(base, output, settings, name=name, origin=origin, runs=run or ()).run())


def answers(
    model: Annotated[Path, typer.Option("--model", "-m", help="Model directory, made by `export`.")],
    data: Data,
    most: Annotated[int, typer.Option(min=1, help="How many questions, the most frequent first.")] = 6_000,
) -> None:
    """Put a model's answers to the most frequent questions into its directory."""
    recipe = _recipe("answers")
    with bars() as advance:
        count = recipe.record_answers(model, data, load_knowledge(load_features), most, advance)
    typer.echo(f"{count} answers in {model}", err=True)


_NO_SETTINGS = frozenset({"data", "output", "base", "resume"})


def _given(arguments: dict[str, Any], *others: str) -> dict[str, Any]:
    """Take those arguments of a command that are settings and were given."""
    names = {"compile_model": "compile"}
    return {
        names.get(name, name): value
        for name, value in arguments.items()
        if value is not None and name not in _NO_SETTINGS and name not in others
    }


def _recipe(name: str) -> ModuleType:
    seal()
    logging.disable(logging.WARNING)  # what the libraries could not load for other hardware than this
    try:
        return importlib.import_module(f"trainer.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("trainer", "pipeline"):
            raise
        raise ConfigError(f"{error.name} is not installed; pip install 'sysscan-agent[trainer]'") from error
    finally:
        logging.disable(logging.NOTSET)


def _say(made: Path) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        typer.echo(f"made {made}", err=True)
