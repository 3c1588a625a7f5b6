"""The frozen holdouts: cases that no model was trained on, the same for every model; and those of a data set."""

import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.errors import ConfigError
from pipeline.keys import content_digest
from pipeline.scorecard.cases import GoldCase, compressed, read_gold, write_gold
from pipeline.scorecard.nearest import Nearest

FROZEN = Path(__file__).parent / "data"

FACTS = "holdout.json"
NEAREST = "nearest.json.gz"
SCHEMA = "sysscan.holdout/1"
# Name of a holdout → which split of a data set it comes from.
SPLITS: dict[str, Literal["valid", "holdout"]] = {"instance": "valid", "class": "holdout"}

_REMAKE = "make it again with `sysscan-train holdout`"
_DATA_SET_FACTS = "dataset.json"


@dataclass(slots=True, frozen=True)
class Holdouts:
    """Cases by the name of their holdout.

    Attributes:
        facts: what they were made from: digests of data and knowledge, version of the prompt, seed.
        nearest: the baseline, where its table was made.
    """

    cases: Mapping[str, Sequence[GoldCase]]
    facts: Mapping[str, Any]
    nearest: Nearest | None

    @property
    def digest(self) -> str:
        """Name the cases."""
        lines = (b"%s %s\n" % (name.encode(), one.as_json()) for name, cases in self.cases.items() for one in cases)
        return content_digest(b"".join(lines))

    def limited(self, limit: int | None) -> "Holdouts":
        """Keep the first cases of each; any beginning is a fair sample."""
        if limit is None:
            return self
        return Holdouts({name: cases[:limit] for name, cases in self.cases.items()}, self.facts, self.nearest)

    def differences(self, knowledge: str) -> str | None:
        """Say in one line what they were made with that is not what is installed, or None."""
        installed = {"knowledge": knowledge, "prompt": PROMPT_VERSION}
        other = [
            f"{name} {self.facts.get(name)} (installed: {now})"
            for name, now in installed.items()
            if self.facts.get(name) != now
        ]
        return f"the holdouts were made with {' and '.join(other)}: their right answers may differ" if other else None


def read_holdouts(directory: Path = FROZEN) -> Holdouts:
    """Read a directory that `sysscan-train holdout` made, or a data set.

    Raises:
        ConfigError: if it is neither, or damaged.
    """
    frozen = (directory / FACTS).exists()
    facts_path = directory / (FACTS if frozen else _DATA_SET_FACTS)
    facts = _facts(facts_path)
    if frozen and facts.get("schema") != SCHEMA:
        raise ConfigError(f"{facts_path}: schema {facts.get('schema')!r}, this version reads {SCHEMA}; {_REMAKE}")
    suffix = ".jsonl.gz" if frozen else ".jsonl"
    cases = {
        name: read_gold(directory / f"{name if frozen else split}{suffix}", _REMAKE) for name, split in SPLITS.items()
    }
    if not all(cases.values()):
        raise ConfigError(f"{directory}: a holdout without any case; {_REMAKE}")
    made_of = {name: facts.get(name) for name in ("seed", "knowledge", "prompt")}
    if frozen:
        return Holdouts(cases, {"data": facts.get("data"), **made_of}, _nearest(directory / NEAREST))
    nearest = Nearest.learn(read_gold(directory / "train.jsonl", _REMAKE))
    return Holdouts(cases, {"data": facts.get("digest"), **made_of}, nearest)


def write_holdouts(directory: Path, holdouts: Holdouts) -> None:
    """Write holdouts and the table of the baseline; same cases, same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, cases in holdouts.cases.items():
        write_gold(directory / f"{name}.jsonl.gz", cases)
    table = holdouts.nearest.as_json() if holdouts.nearest is not None else {}
    (directory / NEAREST).write_bytes(compressed(orjson.dumps(table, option=orjson.OPT_SORT_KEYS)))
    body = {
        "schema": SCHEMA,
        "digest": holdouts.digest,
        "cases": {name: len(cases) for name, cases in holdouts.cases.items()},
        **holdouts.facts,
    }
    (directory / FACTS).write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


def _facts(path: Path) -> dict[str, Any]:
    try:
        body = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path}: {reason}; name a directory that `sysscan-train holdout` or `sysscan-train synth` made"
        ) from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path}: not an object; {_REMAKE}")
    return body


def _nearest(path: Path) -> Nearest | None:
    try:
        body = orjson.loads(gzip.decompress(path.read_bytes()))
        return Nearest.from_json(body) if body else None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; {_REMAKE}") from error
