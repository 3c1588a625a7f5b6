"""The data set: a file of JSON lines for each split, a case a line with its prompt and the right response."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import orjson

from pipeline.analysis.prompt import Case
from pipeline.errors import ConfigError
from pipeline.scorecard.cases import case_of, plain_case, read_lines
from trainer.data.split import Split

REPORTS = "reports"
MANIFEST = "dataset.json"
HIDDEN_FOLD = "hidden_fold"  # in the manifest, and in a model's record: classes that no example of it is about
SPLITS: tuple[Split, ...] = get_args(Split)

_REMAKE = "make a data set with `sysscan-train synth`"


@dataclass(slots=True, frozen=True)
class Example:
    """A prompt with the right response; of a finding that no class knows there is no more to it.

    Attributes:
        class_id: ``unknown.`` and the family of the right topic where no class knows the finding.
        severity: what the report or the class says, before anything is weighed.
        situation: what may stand in one split only.
    """

    prompt: str
    response: str
    class_id: str
    severity: str
    situation: str
    split: Split

    def as_json(self) -> bytes:
        """Write a line."""
        return orjson.dumps(
            {
                "prompt": self.prompt, "response": self.response, "class": self.class_id, "severity": self.severity,
                "situation": self.situation, "split": self.split,
            }
        )  # fmt: skip


@dataclass(slots=True, frozen=True)
class TaughtCase(Example):
    """One case of a known class with its right response.

    Attributes:
        wording: which of several wordings the teacher chose.
    """

    case: Case
    wording: int = 0

    def as_json(self) -> bytes:
        """Write a line."""
        return orjson.dumps(
            {
                "prompt": self.prompt, "response": self.response, "class": self.class_id, "severity": self.severity,
                "situation": self.situation, "split": self.split, "wording": self.wording,
                "case": plain_case(self.case),
            }
        )  # fmt: skip


def write_dataset(
    directory: Path, cases: Iterable[TaughtCase], facts: dict[str, Any], unknown: Iterable[Example] = ()
) -> str:
    """Write a file of lines for each split, and what they were made from; gives the digest of the lines.

    Args:
        unknown: examples of findings that no class knows; they stand in files of their own, which are there only if
            such examples are.
    """
    counts = dict.fromkeys(SPLITS, 0)
    with ExitStack() as stack:
        files = {split: stack.enter_context(_file(directory, split).open("wb")) for split in SPLITS}
        for case in cases:
            files[case.split].write(case.as_json() + b"\n")
            counts[case.split] += 1
    by_split: dict[Split, list[bytes]] = {}
    for example in unknown:
        by_split.setdefault(example.split, []).append(example.as_json() + b"\n")
    for split, lines in by_split.items():
        _unknown_file(directory, split).write_bytes(b"".join(lines))
    if by_split:
        facts = {**facts, "unknown": {split: len(lines) for split, lines in by_split.items()}}
    digest = dataset_digest(directory)
    manifest = {"digest": digest, "cases": counts, **facts}
    (directory / MANIFEST).write_bytes(
        orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    )
    return digest


def read_cases(directory: Path, split: Split) -> Iterator[TaughtCase]:
    """Read the cases of a split, in the order of the file.

    Raises:
        ConfigError: if the file is not there, or a line is not a case.
    """

    def parse(entry: dict[str, Any]) -> TaughtCase:
        return TaughtCase(
            prompt=entry["prompt"],
            response=entry["response"],
            class_id=entry["class"],
            severity=entry["severity"],
            situation=entry["situation"],
            split=split,
            case=case_of(entry["case"]),
            wording=entry["wording"],
        )

    yield from read_lines(_file(directory, split), parse, _REMAKE)


def read_unknown(directory: Path, split: Split) -> Iterator[Example]:
    """Read the examples of findings that no class knows, in the order of the file; none where there is no such file.

    Raises:
        ConfigError: if a line is not an example.
    """

    def parse(entry: dict[str, Any]) -> Example:
        return Example(entry["prompt"], entry["response"], entry["class"], entry["severity"], entry["situation"], split)

    path = _unknown_file(directory, split)
    if path.exists():
        yield from read_lines(path, parse, _REMAKE)


def dataset_digest(directory: Path) -> str:
    """Hash the lines of all splits.

    Raises:
        ConfigError: if a file is not there.
    """
    total = hashlib.sha256()
    for split in SPLITS:
        path = _file(directory, split)
        try:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; {_REMAKE}") from error
    for split in SPLITS:
        path = _unknown_file(directory, split)
        if path.exists():
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _file(directory: Path, split: Split) -> Path:
    return directory / f"{split}.jsonl"


def hidden_fold(directory: Path) -> int | None:
    """Give the fold that the examples of unknown findings leave out, or None."""
    try:
        fold = orjson.loads((directory / MANIFEST).read_bytes()).get(HIDDEN_FOLD)
    except (OSError, ValueError, AttributeError):
        return None
    return fold if isinstance(fold, int) else None


def _unknown_file(directory: Path, split: Split) -> Path:
    return directory / f"unknown-{split}.jsonl"
