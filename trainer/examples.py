"""The cases of a split, refused when there is nothing to train on."""

from pathlib import Path

from pipeline.errors import ConfigError
from trainer.dataset import TaughtCase, read_cases
from trainer.split import Split


def read_split(directory: Path, split: Split) -> list[TaughtCase]:
    """Read all cases of a split, in the order of the file.

    Raises:
        ConfigError: if there is no data set, a line is not a case, or the split has none.
    """
    cases = list(read_cases(directory, split))
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
