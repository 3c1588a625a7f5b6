"""Draws the frozen holdouts out of a data set: the same number of each class as far as there are, in a fixed order."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import ConfigError
from pipeline.keys import digest
from pipeline.prompt import BadResponse, parse_response
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.holdouts import SPLITS, Holdouts, write_holdouts
from pipeline.scorecard.nearest import Nearest
from trainer.dataset import MANIFEST, dataset_digest, read_cases
from trainer.run_directory import check_empty
from trainer.split import Split

_REMAKE = "make a data set with `sysscan-train synth`"


def make_holdouts(data: Path, output: Path, size: int, seed: int) -> Holdouts:
    """Write holdouts of at most `size` cases each, and the table of the baseline; same data and seed, same bytes.

    Raises:
        ConfigError: if there is no data set, or the output is not empty.
    """
    check_empty(output)
    made = Holdouts(
        cases={name: draw(_first_wordings(data, split), size, seed) for name, split in SPLITS.items()},
        facts=_facts(data, seed),
        nearest=Nearest.learn(_first_wordings(data, "train")),
    )
    write_holdouts(output, made)
    return made


def draw(cases: Iterable[GoldCase], size: int, seed: int) -> tuple[GoldCase, ...]:
    """Take one of each class, then a second of each, and so on; any beginning is as even as the whole."""
    by_class: defaultdict[str, list[tuple[str, GoldCase]]] = defaultdict(list)
    for case in cases:
        by_class[case.class_id].append((digest("holdout", seed, case.as_json().decode()), case))
    rounds = [
        (number, key, case)
        for members in by_class.values()
        for number, (key, case) in enumerate(sorted(members, key=lambda one: one[0]))
    ]
    return tuple(case for _, _, case in sorted(rounds, key=lambda one: one[:2])[:size])


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
