"""Which topics of the knowledge have the words of a finding: BM25 over a few weighted fields.

Only what a topic says itself counts: its id, title and notes. Texts of classes, titles of controls and names of
techniques were tried, and found less (docs/unknown.md).

Source: Robertson, Zaragoza, Taylor, Simple BM25 extension to multiple weighted fields, CIKM 2004.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.knowledge.schema import Knowledge, Topic
from pipeline.retrieval.filter import Filtered, WordFilter
from pipeline.retrieval.vocabulary import stem


@dataclass(slots=True, frozen=True)
class Weights:
    """What counts how much; chosen on the training part of the folds (docs/unknown.md).

    Attributes:
        saturation, length: `k1` and `b` of BM25.
        synonym: of a word that only means nearly the same as one of the finding's.
        prior: added to what the finding says as a whole, so that one common word is no evidence.
        foreign: what a word counts there that no topic has, in parts of the rarest one's weight.
        claim: the least confidence at which a topic is named at all.
    """

    key: float = 3.0
    title: float = 3.0
    notes: float = 0.7
    saturation: float = 0.8
    length: float = 0.5
    synonym: float = 0.3
    prior: float = 1.5
    foreign: float = 0.6
    claim: float = 0.15


@dataclass(slots=True, frozen=True)
class Candidate:
    """A topic that a finding may be about.

    Attributes:
        score: from 0 to 1: how much of what the finding says the topic has, rare words for more than common ones.
        evidence: the words and names of the finding that it has, the weightiest first.
    """

    topic: str
    score: float
    evidence: tuple[str, ...]


class TopicIndex:
    """The topics of a knowledge by their words; made once, in a few hundredths of a second."""

    def __init__(self, knowledge: Knowledge, words: WordFilter, weights: Weights) -> None:
        self._weights = weights
        fields = {key: _fields(key, topic, weights) for key, topic in sorted(knowledge.topics.items())}
        counts: dict[str, dict[str, float]] = {}
        for key, parts in fields.items():
            weighted: dict[str, float] = defaultdict(float)
            for weight, texts in parts:
                for term, count in Counter(_terms(words.filter_ours(texts))).items():
                    weighted[term] += weight * count
            counts[key] = weighted
        average = sum(sum(count.values()) for count in counts.values()) / max(1, len(counts))
        self._postings: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for key, weighted in counts.items():
            norm = weights.saturation * (1 - weights.length + weights.length * sum(weighted.values()) / average)
            for term, weight in weighted.items():
                self._postings[term].append((key, weight / (norm + weight)))
        total = len(counts)
        self._idf = {
            term: math.log(1 + (total - len(found) + 0.5) / (len(found) + 0.5))
            for term, found in self._postings.items()
        }
        self._unknown = math.log(1 + total)
        self._synonyms: dict[str, list[str]] = defaultdict(list)
        for group in knowledge.synonyms.values():
            stems = list(dict.fromkeys(stem(word.lower()) for word in group))
            for one in stems:
                self._synonyms[one] += [other for other in stems if other != one]

    def search(self, filtered: Filtered, most: int) -> list[Candidate]:
        """Give the topics that share most with a finding, the best first."""
        scores: dict[str, float] = defaultdict(float)
        evidence: dict[str, list[tuple[float, str]]] = defaultdict(list)
        mass = self._weights.prior
        for shown, wanted in _wanted(filtered):
            best: dict[str, float] = {}
            strongest = 0.0
            for term, weight in self._expanded(wanted):
                idf = self._idf.get(term)
                if idf is None:
                    continue
                strongest = max(strongest, idf * weight)
                for topic, share in self._postings[term]:
                    best[topic] = max(best.get(topic, 0.0), idf * weight * share)
            mass += strongest or self._unknown * self._weights.foreign
            for topic, gained in best.items():
                scores[topic] += gained
                evidence[topic].append((-gained, shown))
        ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:most]
        return [
            Candidate(topic, round(score / mass, 4), tuple(dict.fromkeys(word for _, word in sorted(evidence[topic]))))
            for topic, score in ranked
        ]

    def _expanded(self, wanted: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
        for term, weight in wanted:
            yield term, weight
            for other in self._synonyms.get(term, ()):
                yield other, weight * self._weights.synonym


_PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
_WHOLE = 1.6  # a setting or place that is named counts for more than its words


def _wanted(filtered: Filtered) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Give each word and name of a finding with the terms that it is searched by."""
    for word in filtered.words:
        yield word, [(stem(word), 1.0)]
    for name in filtered.names:
        yield name, [(f"={name.lower()}", _WHOLE)]
        for part in _PARTS.findall(name):
            if len(part) > 1 and not part.isdigit():
                yield name, [(stem(part.lower()), 0.6)]


def _terms(filtered: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Give what a text of ours is found by; a name by itself and by its parts."""
    for kind, token in filtered:
        if kind == "word":
            yield stem(token)
        elif kind == "name":
            yield f"={token.lower()}"
            for part in _PARTS.findall(token):
                if len(part) > 1 and not part.isdigit():
                    yield stem(part.lower())


def _fields(key: str, topic: Topic, weights: Weights) -> list[tuple[float, list[str]]]:
    """List the texts of a topic with what they count."""
    family, _, rest = key.partition(".")
    return [
        (weights.key, [family, rest, rest.replace(".", " ").replace("_", " ")]),
        (weights.title, [topic.title]),
        (weights.notes, list(topic.notes)),
    ]
