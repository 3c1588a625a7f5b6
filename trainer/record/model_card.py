"""The model card: what a model directory says about itself, for people; made from its manifest and nothing else."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.engine.manifest import Manifest, relist, verify
from pipeline.scorecard.render import bars, markdown, remarks
from trainer.record.scorecards import BEFORE, SCORECARDS
from trainer.settings import (
    ExportSettings,
    FinetuneSettings,
    PretrainSettings,
    QuantizeSettings,
    RecipeSettings,
    as_option,
)

CARD = "README.md"

_DEFAULTS: dict[str, RecipeSettings] = {
    "pretrain": PretrainSettings(),
    "finetune": FinetuneSettings(),
    "quantize": QuantizeSettings(),
    "export": ExportSettings(),
}
_INPUTS = {
    "pretrain": "--data data --output run/pretrain",
    "finetune": "--base {base} --data data --output run/finetune",
    "quantize": "--base run/{trained}/model --data data --output run/gptq",
    "export": "--base run/gptq/model --output model --name {name} {kept} --run run/gptq",
}

_LIMITS = """\
- It knows one task: to select and to explain within a case. Ask it nothing else; it has no other words.
- It chooses among what the knowledge offers and cannot cite what is not offered. Whether the knowledge is right is
  beyond it, and beyond these scores: the right answers come from the same knowledge.
- The cases come from made-up hosts. How often something occurs in them says nothing about yours.
- An answer that is refused twice, or does not come, is the rules'; the output marks it.
- The scores of levels are high for an answer that never leaves the floor, too: see the column of the nearest class.
"""


def write_card(directory: Path) -> Path:
    """Write the card into a model directory, and list it in the manifest; same manifest, same card.

    Raises:
        EngineError: if the directory is not the model of its manifest.
    """
    manifest = verify(directory)
    path = directory / CARD
    path.write_text(model_card(manifest, _architecture(directory, manifest)), encoding="utf-8")
    relist(directory, {})
    return path


def model_card(manifest: Manifest, architecture: Mapping[str, Any]) -> str:
    """Compose the card."""
    parts = [f"# {manifest.name}", "\n".join(_what(manifest, architecture))]
    parts += ["## How good it is", *_scores(manifest.record.get(SCORECARDS) or {})]
    parts += [*_unseen(manifest.record.get(BEFORE) or {})]
    parts += ["## How it was made", *_made(manifest)]
    parts += ["## Limits", _LIMITS.strip()]
    parts += ["## How to make it again", *_again(manifest)]
    return "\n\n".join(parts) + "\n"


def _what(manifest: Manifest, architecture: Mapping[str, Any]) -> Iterator[str]:
    size = f" of {_parameters(architecture) / 1e6:.1f} M parameters" if architecture else ""
    yield f"A {manifest.kind.capitalize()} model{size}, for findings of sys-scan in sysscan-agent. It is shown what is"
    yield "known of a finding, in words of a closed list, and answers with a level, an assessment, an impact, an"
    yield "action, controls and techniques, under a grammar made for the case. It runs on the scanned host."
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    yield f"| base | {manifest.base} |"
    if architecture:
        yield (
            f"| shape | width {architecture['hidden_size']}, {architecture['num_hidden_layers']} blocks, "
            f"{architecture['num_attention_heads']} heads of which {architecture['num_key_value_heads']} hold keys and "
            f"values, {architecture['vocab_size']:,} tokens |"
        )
    yield f"| prompts | {manifest.prompt_version} |"
    yield f"| context | {manifest.context_length:,} tokens |"
    for part in sorted(manifest.parts):
        yield f"| `{part}` | {manifest.part_bytes(part) / 1e6:.1f} MB, digest `{manifest.part_digest(part)[:16]}` |"


def _scores(scorecards: Mapping[str, Any]) -> Iterator[str]:
    if not scorecards:
        yield "Not measured yet; `sysscan-train evaluate --base MODEL --into MODEL` does."
        return
    yield (
        "What each line means, and how the holdouts are made, is in `docs/scorecard.md`. The nearest class is a "
        "baseline without a model. A loss is in per cent of the float model's score; below zero it is a gain. "
        "Times are those of a machine that had other work, too."
    )
    yield markdown(scorecards).strip()
    last = scorecards.get("onnx") or scorecards[sorted(scorecards)[-1]]
    yield f"```text\n{bars(last)}\n```"
    for name, one in sorted(scorecards.items()):
        yield "\n".join((f"What else is to be said of {name}:", "", *(f"- {line.strip()}" for line in remarks(one))))


def _unseen(scorecards: Mapping[str, Any]) -> Iterator[str]:
    if not scorecards:
        return
    yield "## On classes that it has never seen"
    yield (
        "Its last stage of training adds the classes of the class holdout, so that no class of the knowledge is new to "
        "it; the situations of both holdouts stay unseen. So above, the class holdout holds new situations of known "
        "classes. These are the scores of the model before that stage, to which the classes themselves were new:"
    )
    yield markdown(scorecards).strip()


def _made(manifest: Manifest) -> Iterator[str]:
    record = manifest.record
    for recipe, run in _runs(manifest).items():
        yield "\n".join(_run(recipe, run))
    export = record.get("export") or {}
    if export:
        yield f"- **export**, code {record.get('code')}: {_plainly(export)}."
    answers = record.get("answers") or {}
    if answers:
        data = f" of data `{str(answers['data'])[:16]}`" if "data" in answers else ""
        yield f"- It brings {answers.get('answers')} answers of its own to the most frequent questions{data} along."
    versions = record.get("versions") or {}
    if versions:
        yield f"Versions: {_plainly(versions)}."
    if not (record.get("runs") or export or versions):
        yield "Its manifest does not say."


def _run(recipe: str, run: Mapping[str, Any]) -> Iterator[str]:
    yield f"- **{recipe}**, code {run.get('code')}: {_plainly(run.get('settings') or {})}."
    inputs = {name: f"`{str(digest)[:16]}`" for name, digest in (run.get("inputs") or {}).items()}
    if inputs:
        yield f"  From {_plainly(inputs)}."
    outcome = _plainly(run.get("outcome") or {})
    if outcome:
        yield f"  Came to: {outcome}."


def _again(manifest: Manifest) -> Iterator[str]:
    runs = {**_runs(manifest), "export": {"settings": manifest.record.get("export") or {}}}
    trained = "finetune" if "finetune" in runs else "pretrain"
    kept = " ".join(f"--run run/{one}" for one in ("pretrain", "finetune") if one in runs or one == trained)
    steps = [(one, runs.get(one, {})) for one in _INPUTS if one in runs or one in (trained, "quantize")]
    lines = ["sysscan-train synth --out data --size 60000 --seed 1"]
    for recipe, run in steps:
        base = "run/pretrain/model" if "pretrain" in runs else "BASE"
        arguments = _INPUTS[recipe].format(trained=trained, name=manifest.name, base=base, kept=kept)
        lines.append(" ".join(("sysscan-train", recipe, arguments, *_options(recipe, run.get("settings") or {}))))
    if "answers" in manifest.record:
        lines.append(f"sysscan-train answers --model model --data data --most {manifest.record['answers']['most']}")
    measured = (f"run/{trained}/model", "run/gptq/model", "model")
    lines += [f"sysscan-train evaluate --base {base} --into model" for base in measured]
    lines.append("sysscan-train card --model model")
    yield "```sh\n" + "\n".join(lines) + "\n```"
    data = next((run["inputs"]["data"] for run in runs.values() if "data" in (run.get("inputs") or {})), None)
    yield (
        "Same code, data, versions, kind of machine and number of threads: same bytes, of each step."
        + (f" The digest that `synth` prints has to be `{data}`." if data else "")
    )


def _options(recipe: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Write those settings as options that are not what the recipe takes anyway."""
    defaults = _DEFAULTS[recipe].plain()
    for name, value in sorted(settings.items()):
        if name in defaults and value != defaults[name]:
            yield as_option(name, value)


def _runs(manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    """Give the records of the runs that led here, in the order of the recipes."""
    runs: Mapping[str, Mapping[str, Any]] = manifest.record.get("runs") or {}
    return {recipe: runs[recipe] for recipe in _INPUTS if recipe in runs}


def _plainly(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()) if not _nested(value))


def _architecture(directory: Path, manifest: Manifest) -> Mapping[str, Any]:
    """Read the shape out of the configuration of a part that has one."""
    for part in ("gptq", "float"):
        if part in manifest.parts:
            config: dict[str, Any] = json.loads((directory / manifest.parts[part] / "config.json").read_bytes())
            return {"num_key_value_heads": config["num_attention_heads"], **config}
    return {}


def _parameters(config: Mapping[str, Any]) -> int:
    """Count the weights of a Llama or Mistral of this shape."""
    hidden, vocabulary = int(config["hidden_size"]), int(config["vocab_size"])
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or hidden // heads)
    attention = 2 * hidden * width * (heads + int(config["num_key_value_heads"]))
    block = attention + 3 * hidden * int(config["intermediate_size"]) + 2 * hidden
    tables = 1 if config.get("tie_word_embeddings") else 2
    return tables * vocabulary * hidden + int(config["num_hidden_layers"]) * block + hidden


def _nested(value: object) -> bool:
    return isinstance(value, (dict, list))
