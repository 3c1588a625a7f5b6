"""The cases of a split, refused when there is nothing to train on."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pipeline.analysis.prompt import render_prompt
from pipeline.analysis.question import UNKNOWN
from pipeline.analysis.unknown_prompt import QUESTION
from pipeline.errors import ConfigError
from pipeline.scorecard.holdouts import read_holdouts
from trainer.data.dataset import Example, read_cases, read_unknown
from trainer.data.split import Split

_TIMES = 3  # a case of the classes that come late is taken: the others were seen in many epochs before


def read_training(directory: Path, classes: Literal["train", "all"]) -> list[Example]:
    """Read what is trained on: the train split, or with it the classes that are held out.

    Of these, no situation and no prompt of the package's frozen holdouts is taken.

    Raises:
        ConfigError: as `read_split`.
    """
    train = read_split(directory, "train")
    if classes == "train":
        return train
    frozen = [one for cases in read_holdouts().cases.values() for one in cases]
    situations, prompts = {one.situation for one in frozen}, {render_prompt(one.case) for one in frozen}
    late = [
        one for one in read_split(directory, "holdout") if one.situation not in situations and one.prompt not in prompts
    ]
    return train + late * _TIMES


def classes_of(cases: Iterable[Example]) -> list[str]:
    """List the classes that cases are of."""
    return sorted({case.class_id for case in cases if not case.class_id.startswith(UNKNOWN)})


def questions_of(cases: Iterable[Example]) -> list[str]:
    """List the kinds of question beyond those about classes."""
    return [QUESTION] if any(case.class_id.startswith(UNKNOWN) for case in cases) else []


def read_split(directory: Path, split: Split) -> list[Example]:
    """Read all cases of a split; those of findings that no class knows stand evenly among the others.

    Raises:
        ConfigError: if there is no data set, a line is not a case, or the split has none.
    """
    cases = _mixed(list(read_cases(directory, split)), list(read_unknown(directory, split)))
    if not cases:
        raise ConfigError(
            f"{directory}: no findings in the {split} split; make a larger data set with `sysscan-train synth`"
        )
    for case in cases:
        if (
            not isinstance(case.prompt, str)
            or not isinstance(case.response, str)
            or not case.prompt
            or not case.response
        ):
            raise ConfigError(
                f"{directory}: a case of class {case.class_id} in {split} lacks its prompt or its response"
            )
    return cases


def _mixed(known: Sequence[Example], unknown: Sequence[Example]) -> list[Example]:
    """Keep both orders, and let any beginning have the share of both that the whole has."""
    places = [((number + 1) / len(known), 0, one) for number, one in enumerate(known)]
    places += [((number + 1) / len(unknown), 1, one) for number, one in enumerate(unknown)]
    return [one for _, _, one in sorted(places, key=lambda place: place[:2])]
