"""The commands that make what a model learns from, and what it is measured on: synth, holdout."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.bars import bars
from pipeline.errors import ConfigError
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from trainer.cli.arguments import Data, Output


def synth(
    out: Annotated[Path, typer.Option(help="Directory to write to; must be empty or new.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    size: Annotated[int, typer.Option(min=100, max=2_000_000, help="How many cases.")] = 60_000,
    unknown_share: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of examples of findings that no class knows; they come on top."),
    ] = 0.0,
    hide_fold: Annotated[
        int | None,
        typer.Option(
            min=0, max=4, help="Fold of classes that those examples leave out, to be measured on.", show_default=False
        ),
    ] = None,
    words: Annotated[
        Literal["phrases", "knowledge"],
        typer.Option(help="Words of the answers: the teacher's, or the knowledge's own where it has some."),
    ] = "phrases",
) -> None:
    """Make a data set of synthetic findings with right answers, from reports in the scanner's own formats."""
    from trainer.data.synth import synthesise
    from trainer.preflight import check_empty

    if hide_fold is not None and not unknown_share:
        raise ConfigError("--hide-fold has no effect without --unknown-share")
    check_empty(out)
    out.mkdir(parents=True, exist_ok=True)
    with bars() as advance:
        result = synthesise(
            out,
            load_knowledge(load_features),
            seed,
            size,
            advance,
            unknown_share=unknown_share,
            hide_fold=hide_fold,
            words=words,
        )
    counts = ", ".join(f"{count} {name}" for name, count in result.splits.items())
    typer.echo(f"{out}: {counts}; {result.situations} situations from {result.reports} reports; digest {result.digest}")


def holdout(
    data: Data,
    output: Output,
    size: Annotated[int, typer.Option(min=1, help="At most so many cases of each holdout.")] = 400,
    seed: Annotated[int, typer.Option(help="Same data, same seed, same bytes.")] = 1,
) -> None:
    """Draw the frozen holdouts out of a data set: cases that no model was trained on, the same for every model."""
    from trainer.data.holdout import make_holdouts

    made = make_holdouts(data, output, size, seed)
    counts = ", ".join(f"{len(cases)} of the {name} holdout" for name, cases in made.cases.items())
    typer.echo(f"{output}: {counts}; digest {made.digest}")
