"""How likely a finding is about a topic: what the search measures, weighed by weights learnt from written findings.

The search (`index.py`) says how many words a finding shares with a topic. That alone does not say whether the finding
is about it: one rare word may be enough, five common ones may not. A network of one hidden layer makes a number of what
was measured of each topic that was found; none of them has the number 0; and a softmax makes probabilities of these
numbers. What it sees are measures, never words or topics, so it holds for an operator's own topics, too.

`trainer/data/ranking.py` makes the weights, by findings that several authors wrote for it (docs/unknown.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import AgentError
from pipeline.keys import digest

FILE = Path(__file__).parent / "data" / "ranking.json"
SCHEMA = "sysscan.ranking/1"
RANKED = 5  # topics that are weighed against each other: the first ones of the search; it was learnt with as many

# What is measured of a topic that was found, in the order of the weights.
MEASURES = (
    "score", "covered", "said", "titled", "rarest", "evidence", "strongest", "named", "is_named", "is_elsewhere",
    "gained", "unknown", "length", "lead", "is_first", "is_single", "said_title", "off_topic",
    "off_topic_lead", "off_topic_covered", "off_topic_said", "worded",
)  # fmt: skip
_LEAST = 1e-3


class RankingDamaged(AgentError):
    """Raised when the weights are missing or altered; unknown findings are then told without topics."""


@dataclass(slots=True, frozen=True)
class Match:
    """A topic, or another thing that is known, that shares words with a finding.

    Attributes:
        topic: its id; of what no topic is about, another name.
        score: `covered` times `said`, halved where the finding names another setting or place.
        covered: how much of what the finding says it has, from 0 to 1; rare words count for more.
        said: how much of its title, or of the best of its other phrases, the finding says, from 0 to 1.
        worded: the same by words alone: of "Permissions of /etc/shadow" the place says nothing.
        titled: how much of its title.
        rarest: whether the rarest word of its title is said: 1, in part where only a word is said that means nearly the
            same, 0.
        strongest: the weight of the weightiest word that both have.
        named: the weight of settings, places and modes that both have.
        gained: of all words and names that both have.
        is_elsewhere: the finding names another setting or place.
        evidence: the words and names that both have, the weightiest first.
    """

    topic: str
    score: float
    covered: float
    said: float
    worded: float
    titled: float
    rarest: float
    strongest: float
    named: float
    gained: float
    is_elsewhere: bool
    evidence: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Found:
    """What the search finds for one finding.

    Attributes:
        matches: topics, those with the highest score first.
        off_topic: the best of what no topic is about, or None.
        length: how many words and names the finding has.
        unknown: the share of them that nothing known has.
    """

    matches: tuple[Match, ...] = ()
    off_topic: Match | None = None
    length: int = 0
    unknown: float = 0.0


def measures(found: Found, number: int) -> list[float]:
    """Give what is measured of one match, in the order of `MEASURES`."""
    match, other = found.matches[number], found.off_topic
    rival = found.matches[0] if number else found.matches[1] if len(found.matches) > 1 else match
    score = _log(match.score)
    off_topic = _log(other.score if other is not None else 0.0)
    return [
        score,
        _log(match.covered),
        match.said,
        match.titled,
        match.rarest,
        min(len(match.evidence), 8) / 4,
        match.strongest / 5,
        min(match.named, 8.0) / 4,
        float(match.named > 0),
        float(match.is_elsewhere),
        math.log(1 + match.gained) / 3,
        found.unknown,
        math.log(1 + found.length) / 3,
        score - _log(rival.score),
        float(number == 0),
        float(len(match.evidence) == 1),
        match.said * match.titled,
        off_topic,
        off_topic - score,
        other.covered if other is not None else 0.0,
        other.said if other is not None else 0.0,
        match.worded,
    ]


@dataclass(slots=True, frozen=True)
class Ranking:
    """The weights: of each unit its bias and one for each measure, and of the sum its bias and one for each unit."""

    hidden: tuple[tuple[float, ...], ...]
    out: tuple[float, ...]

    @classmethod
    def read(cls, file: Path = FILE) -> "Ranking":
        """Read the file.

        Raises:
            RankingDamaged: if it is missing or was changed by anything but its own command.
        """
        try:
            body: dict[str, Any] = orjson.loads(file.read_bytes())
            if body["schema"] != SCHEMA or body["measures"] != list(MEASURES):
                raise ValueError("it is of another version")
            if body["digest"] != seal(body["hidden"], body["out"]):
                raise ValueError("it was altered")
            return cls(tuple(map(tuple, body["hidden"])), tuple(body["out"]))
        except OSError as error:
            raise RankingDamaged(f"ranking {file}: {error.strerror}; install the package again") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RankingDamaged(f"ranking {file}: {error}; install the package again") from error

    def probabilities(self, found: Found) -> list[float]:
        """Say how likely each match is what the finding is about; what is missing to 1 is how likely none is.

        Matches after the first `RANKED` take no part in the sum.
        """
        raised = [math.exp(self.value(measures(found, number))) for number in range(len(found.matches))]
        whole = 1.0 + sum(raised[:RANKED])
        return [round(one / whole, 4) for one in raised]

    def value(self, measured: Sequence[float]) -> float:
        """Give the number of a match; that of none is 0."""
        total = self.out[0]
        for weight, (bias, *weights) in zip(self.out[1:], self.hidden, strict=True):
            unit = bias
            for one, other in zip(weights, measured, strict=True):
                unit += one * other
            if unit > 0:
                total += weight * unit
        return total


def seal(hidden: Sequence[Sequence[float]], out: Sequence[float]) -> str:
    """Give the digest of weights."""
    return digest(SCHEMA, list(MEASURES), hidden, out)


def _log(share: float) -> float:
    return math.log(share + _LEAST)
