"""Draws the frozen holdouts out of a data set: the same number of each class as far as there are, in a fixed order."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from pipeline.analysis.prompt import BadResponse, parse_response, render_prompt
from pipeline.errors import ConfigError
from pipeline.keys import digest
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.holdouts import SPLITS, Holdouts, write_holdouts
from pipeline.scorecard.nearest import Nearest
from trainer.data.dataset import MANIFEST, dataset_digest, read_cases
from trainer.data.split import Split
from trainer.preflight import check_empty

_REMAKE = "make a data set with `sysscan-train synth`"


def make_holdouts(data: Path, output: Path, size: int, seed: int) -> Holdouts:
    """Write holdouts of at most `size` cases each, and the table of the baseline; same data and seed, same bytes.

    No prompt among them is one that is trained on.

    Raises:
        ConfigError: if there is no data set, or the output is not empty.
    """
    check_empty(output)
    # Situations are split, and two of them may look the same to a model.
    seen = {taught.prompt for taught in read_cases(data, "train")}
    made = Holdouts(
        cases={
            name: draw((one for one in _first_wordings(data, split) if render_prompt(one.case) not in seen), size, seed)
            for name, split in SPLITS.items()
        },
        facts=_facts(data, seed),
        nearest=Nearest.learn(_first_wordings(data, "train")),
    )
    write_holdouts(output, made)
    return made


def draw(cases: Iterable[GoldCase], size: int, seed: int) -> tuple[GoldCase, ...]:
    """Take one of each class, then a second of each, and so on; any beginning is as even as the whole.

    Situations that differ in what a model is not shown give the same case; it counts once.
    """
    by_class: defaultdict[str, dict[str, GoldCase]] = defaultdict(dict)
    for one in cases:
        by_class[one.class_id].setdefault(digest("holdout", seed, render_prompt(one.case)), one)
    rounds = [
        (number, key, case)
        for members in by_class.values()
        for number, (key, case) in enumerate(sorted(members.items(), key=lambda entry: entry[0]))
    ]
    return tuple(case for _, _, case in sorted(rounds, key=lambda entry: entry[:2])[:size])


def _first_wordings(data: Path, split: Split) -> Iterator[GoldCase]:
    """Give those cases that the product would ask: the other wordings have other distractors."""
    for taught in read_cases(data, split):
        if taught.wording == 0:
            try:
                answer = parse_response(taught.response, taught.case)
            except BadResponse as error:
                raise ConfigError(f"{data}: a response of {taught.class_id} in {split}: {error}; {_REMAKE}") from error
            yield GoldCase(taught.case, answer, taught.severity, taught.situation)


def _facts(data: Path, seed: int) -> dict[str, Any]:
    """Say what the holdouts are made from."""
    digest_of_data = dataset_digest(data)
    path = data / MANIFEST
    try:
        known = orjson.loads(path.read_bytes())
        return {"data": digest_of_data, "seed": seed, "knowledge": known["knowledge"], "prompt": known["prompt"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not the description of a data set: {error}; {_REMAKE}") from error
