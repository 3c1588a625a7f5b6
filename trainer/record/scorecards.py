"""The scorecards that the manifest of a model directory keeps: one for each form of the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.engine.manifest import relist, verify

SCORECARDS = "scorecards"  # in a manifest's record: form of the weights → scorecard
BEFORE = "scorecards_before"  # likewise, of the model before it was trained on the classes that are held out


def read_scorecards(model: Path, kind: str) -> dict[str, Any]:
    """Read the scorecards of a kind, by form.

    Raises:
        EngineError: if the directory is not the model of its manifest.
    """
    return dict(verify(model).record.get(kind, {}))


def keep_scorecard(model: Path, kind: str, form: str, scorecard: Mapping[str, Any]) -> None:
    """Add a scorecard to those that a manifest keeps; one of the same form goes.

    Raises:
        EngineError: if the directory is not the model of its manifest.
    """
    relist(model, {kind: {**read_scorecards(model, kind), form: scorecard}})
