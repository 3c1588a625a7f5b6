"""The metrics of a run: a file of lines, and the curve drawn from it."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # the backend has to be chosen first


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a metrics file; one that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def keep_until(path: Path, step: int) -> None:
    """Drop the metrics of later steps: a run that goes on from a checkpoint writes them again."""
    lines = [line for line in read_metrics(path) if line["step"] <= step]
    path.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines), encoding="utf-8")


def draw_curve(metrics: Path, target: Path) -> None:
    """Draw the loss on training and valid examples over the steps, as far as the run has come."""
    lines = read_metrics(metrics)
    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120)
    for name, label in (("loss", "training"), ("eval_loss", "valid, responses")):
        points = [(line["step"], line[name]) for line in lines if name in line]
        if points:
            axes.plot(
                *zip(*points, strict=True), label=label, marker="o" if name == "eval_loss" else None, markersize=3
            )
    if axes.has_data():
        axes.set_yscale("log")
        axes.legend()
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.tight_layout()
    temporary = target.with_suffix(".tmp.png")
    # Without a date and a version inside, the same run draws the same bytes.
    figure.savefig(temporary, metadata={"Software": None, "Creation Time": None})
    pyplot.close(figure)
    temporary.replace(target)
