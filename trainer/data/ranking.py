"""Learns how what the search measures is weighed: `python -m trainer.data.ranking`, or with `--check`, how well.

Most findings (`unknown/written_*.json`) were written by three authors in the words of other tools; each had seen
nothing but the topics' titles, and says which topic is right, or that none is. Their titles are phrases of the
knowledge (`aliases.yaml`, `off_topic.yaml`), so each finding is searched in a knowledge without the phrases of its own
author. Findings of sys-scan, which says less, are added: of made-up hosts, of the classes of folds 0 to 2 of the
scorecard; the others stay for measuring. What is learnt is a number for each of the first five topics such that the
softmax of these and 0 gives the right one, or none (the listwise loss of Cao and others, Learning to rank: from
pairwise approach to listwise approach, ICML 2007, for one right answer). Five networks of one hidden layer from five
seeds are put into one. Same findings and knowledge, same bytes on the same machine; another processor may round
otherwise.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.features import load_features
from pipeline.finding import RawFinding
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.retrieval.ranking import FILE, MEASURES, RANKED, SCHEMA, measures, seal
from pipeline.retrieval.retriever import Retriever
from trainer.data.unknown.findings import of_classes

WRITTEN = tuple(
    Path(__file__).parent / "unknown" / f"written_{author}.json" for author in ("scanners", "detection", "people")
)
UNITS, SEEDS = 8, 5
_PASSES, _RATE, _DECAY, _DROPPED = 150, 1e-2, 0.05, 0.2
_TERSE_WEIGHT = 0.5
_HOSTS, _OF_A_CLASS, _CLASS_WEIGHT = 40, 8, 14.0
LEARNT_FOLDS = (0, 1, 2)
_DIGITS = 4  # of a weight that is shipped
_FAR = -1e9

Array = NDArray[np.float64]


@dataclass(slots=True, frozen=True)
class Lists:
    """What was measured of findings.

    Attributes:
        measured: findings x `RANKED` topics x measures; of topics that are not there, zeros.
        there: findings x (`RANKED` + 1), 0 where there is a topic and for none, else a very small number.
        right: the same, 0 where it is right.
        weight: for each finding what it counts.
    """

    measured: Array
    there: Array
    right: Array
    weight: Array

    def part(self, which: NDArray[np.bool_]) -> "Lists":
        """Give some of them."""
        return Lists(self.measured[which], self.there[which], self.right[which], self.weight[which])


def measure(knowledge: Knowledge, files: Sequence[Path]) -> tuple[Lists, NDArray[np.int64]]:
    """Search each author's findings in a knowledge without their phrases, and those of sys-scan in all of it.

    Returns:
        What was measured, and the number of the author of each; that of sys-scan is the number of authors.
    """
    rows: list[_Row] = []
    authors: list[int] = []
    for author, file in enumerate(files):
        entries: list[dict[str, Any]] = orjson.loads(file.read_bytes())
        retriever = Retriever(without(knowledge, {entry["title"] for entry in entries}))
        for entry in entries:
            raw = RawFinding(entry["scanner"], entry["id"], entry["severity"], entry["title"], entry["description"])
            rows += _row(retriever, raw, entry["expected"], 1.0)
            rows += _row(retriever, replace(raw, description=None), entry["expected"], _TERSE_WEIGHT)
        authors += [author] * (len(rows) - len(authors))
    retriever = Retriever(knowledge)
    for told in of_classes(knowledge, seed=1, hosts=_HOSTS, without=None).values():
        learnt = [one for one in told if one.fold in LEARNT_FOLDS][:_OF_A_CLASS]
        for one in learnt:
            rows += _row(retriever, one.raw, one.topics, _CLASS_WEIGHT / len(learnt))
    authors += [len(files)] * (len(rows) - len(authors))
    measured = np.zeros((len(rows), RANKED, len(MEASURES)))
    there, is_right = (np.full((len(rows), RANKED + 1), _FAR) for _ in range(2))
    there[:, RANKED] = 0
    for number, (lists, right, _) in enumerate(rows):
        measured[number, : len(lists)] = lists
        there[number, : len(lists)] = 0
        is_right[number, : len(right)][right] = 0
        if not any(right):
            is_right[number, RANKED] = 0
    return Lists(measured, there, is_right, np.array([weight for _, _, weight in rows])), np.array(authors)


_Row = tuple[list[list[float]], list[bool], float]


def _row(retriever: Retriever, raw: RawFinding, topics: Collection[str], weight: float) -> list[_Row]:
    """Give what is measured of a finding, if anything is found."""
    words = retriever.words(raw)
    if words is None:
        raise SystemExit(retriever.failure)
    found = retriever.found(words, RANKED)
    if not found.matches:
        return []
    right = [match.topic in topics for match in found.matches]
    return [([measures(found, number) for number in range(len(right))], right, weight)]


def without(knowledge: Knowledge, titles: set[str]) -> Knowledge:
    """Leave phrases out."""
    left = {
        name: {key: [one for one in phrases if one not in titles] for key, phrases in group.items()}
        for name, group in (("aliases", knowledge.aliases), ("off_topic", knowledge.off_topic))
    }
    return knowledge.model_copy(update=left)


@dataclass(slots=True)
class _Network:
    """`hidden`: units x (1 + measures), `out`: 1 + units; the first of each is the bias."""

    hidden: Array
    out: Array

    def values(self, measured: Array) -> Array:
        """Give the number of each match."""
        units = np.maximum(measured @ self.hidden[:, 1:].T + self.hidden[:, 0], 0)
        numbers: Array = units @ self.out[1:] + self.out[0]
        return numbers


def learn(lists: Lists) -> _Network:
    """Learn from all seeds, and put them into one network whose number is their mean."""
    real = lists.there[:, :RANKED] == 0
    mean, spread = lists.measured[real].mean(0), lists.measured[real].std(0) + 1e-6
    scaled = replace(lists, measured=(lists.measured - mean) / spread)
    networks = [_learn(scaled, seed) for seed in range(SEEDS)]
    for one in networks:  # so that what is measured needs no scaling
        one.hidden[:, 1:] /= spread
        one.hidden[:, 0] -= one.hidden[:, 1:] @ mean
        one.out /= SEEDS
    return _Network(
        np.concatenate([one.hidden for one in networks]).round(_DIGITS),
        np.concatenate([[sum(one.out[0] for one in networks)], *(one.out[1:] for one in networks)]).round(_DIGITS),
    )


def _learn(lists: Lists, seed: int) -> _Network:
    """Learn from one seed by AdamW (Loshchilov and Hutter, ICLR 2019), all findings at each step."""
    rng = np.random.default_rng(seed)
    count, limit = len(MEASURES), len(MEASURES) ** -0.5
    network = _Network(rng.uniform(-limit, limit, (UNITS, count + 1)), rng.uniform(-0.35, 0.35, UNITS + 1))
    moments = [[np.zeros_like(one), np.zeros_like(one)] for one in (network.hidden, network.out)]
    kept = 1 - _DROPPED
    for step in range(1, _PASSES + 1):
        before = lists.measured @ network.hidden[:, 1:].T + network.hidden[:, 0]
        mask = rng.random(before.shape) < kept
        units = np.maximum(before, 0) * mask / kept
        numbers = units @ network.out[1:] + network.out[0]
        every = np.concatenate([numbers, np.zeros((len(numbers), 1))], axis=1) + lists.there
        wanted = _softmax(every + lists.right)
        slope = (_softmax(every) - wanted)[:, :RANKED] * (lists.weight / lists.weight.sum())[:, None]
        of_units = slope[..., None] * network.out[1:] * (before > 0) * mask / kept
        slopes = (
            np.concatenate([of_units.sum((0, 1))[:, None], np.einsum("fru,frm->um", of_units, lists.measured)], axis=1),
            np.concatenate([[slope.sum()], np.einsum("fr,fru->u", slope, units)]),
        )
        for weights, (first, second), gradient in zip((network.hidden, network.out), moments, slopes, strict=True):
            first += (gradient - first) * 0.1
            second += (gradient**2 - second) * 0.001
            weights *= 1 - _RATE * _DECAY
            weights -= _RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return network


def _softmax(values: Array) -> Array:
    raised = np.exp(values - values.max(-1, keepdims=True))
    shares: Array = raised / raised.sum(-1, keepdims=True)
    return shares


@dataclass(slots=True, frozen=True)
class Quality:
    """Attributes:
    first: of findings about a topic, the share of which it is named first.
    three: among three.
    silent: of the others, the share of which none is named.
    """

    first: float
    three: float
    silent: float

    @classmethod
    def of(cls, network: _Network, lists: Lists) -> "Quality":
        """Measure."""
        numbers = network.values(lists.measured) + lists.there[:, :RANKED]
        is_right = lists.right[:, :RANKED] == 0
        order = np.argsort(-numbers, axis=1, kind="stable")
        ranked = np.take_along_axis(is_right, order, axis=1)
        claims, has_topic = numbers.max(1) > 0, is_right.any(1)
        return cls(
            float((claims & ranked[:, 0])[has_topic].mean()),
            float((claims & ranked[:, :3].any(1))[has_topic].mean()),
            float((~claims)[~has_topic].mean()),
        )


def cross_checked(lists: Lists, authors: NDArray[np.int64]) -> Iterator[tuple[str, Quality]]:
    """Learn from two authors each, and measure on the third."""
    for author, file in enumerate(WRITTEN):
        yield file.stem, Quality.of(learn(lists.part(authors != author)), lists.part(authors == author))


def dump(network: _Network) -> bytes:
    """Give the file as it is shipped."""
    hidden, out = network.hidden.tolist(), network.out.tolist()
    body = {"schema": SCHEMA, "measures": list(MEASURES), "digest": seal(hidden, out), "hidden": hidden, "out": out}
    return orjson.dumps(body) + b"\n"


def main() -> None:
    """Write the file, or say how well it is learnt."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--check", action="store_true", help="learn from two authors each and measure on the third")
    given = arguments.parse_args()
    lists, authors = measure(load_knowledge(load_features), WRITTEN)
    if given.check:
        for name, quality in cross_checked(lists, authors):
            sys.stdout.write(
                f"{name}: first {quality.first:.3f}, among three {quality.three:.3f}, none {quality.silent:.3f}\n"
            )
        return
    FILE.write_bytes(dump(learn(lists)))
    sys.stdout.write(f"wrote {FILE.name}, from {len(authors)} findings\n")


if __name__ == "__main__":
    main()
