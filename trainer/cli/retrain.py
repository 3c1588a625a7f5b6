"""The command that has a model learn from verdicts: retrain."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.models.registry import Registry
from trainer.cli.options import options_from
from trainer.offline import seal
from trainer.settings import RetrainSettings


@options_from(RetrainSettings)
def retrain(
    state_dir: Annotated[Path, typer.Option(help="State directory of the agent: its verdicts and models.")],
    models: Annotated[
        Path | None, typer.Option(help="Registry of models.", show_default="models in the state directory")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    export_data: Annotated[
        Path | None,
        typer.Option(help="Write what the last run taught to this file, and do nothing else.", show_default=False),
    ] = None,
    *,
    settings: RetrainSettings,
) -> None:
    """Have the model learn from verdicts, and promote it where it agrees with reviewers more often."""
    begin = time.monotonic()
    seal()
    _say("retraining.opened", state=str(state_dir))
    from trainer.retrain.idle import give_way
    from trainer.retrain.place import Place
    from trainer.retrain.retraining import Retraining, Surroundings, outlook
    from trainer.steps import ChildSteps

    place = Place(state_dir)
    if export_data is not None:
        count = place.export_lessons(export_data)
        _say("retraining.exported", lessons=count, file=str(export_data))
        return
    registry = Registry(models or state_dir / "models")
    known = load_knowledge(load_features)  # the package's own: there are no made-up hosts for that of an operator
    if dry_run:
        _say("retraining.outlook", **outlook(place, settings, known, registry))
        return
    with place.locked() as holding:
        if settings.idle:
            give_way()
        deadline = begin + 60 * settings.max_minutes
        steps = ChildSteps(deadline, settings.threads, holding)
        outcome = Retraining(place, settings, Surroundings(known, registry, steps, _say, deadline)).run()
    report = {} if outcome.report is None else {"report": str(outcome.report)}
    minutes = round((time.monotonic() - begin) / 60, 1)
    _say("retraining.ended", outcome=outcome.what, reason=outcome.reason, minutes=minutes, **report)


def _say(event: str, **values: object) -> None:
    """Write one line: JSON in a pipe, words on a terminal."""
    if sys.stdout.isatty():
        said = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in values.items())
        line = f"{event.partition('.')[2].replace('_', ' ')}: {said}" if said else event
    else:
        line = json.dumps({"event": event, **values})
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _shown(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
