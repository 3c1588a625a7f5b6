"""Which topics of the knowledge have the words of a finding: BM25 over a few weighted fields, and how much of a topic.

What a topic says itself counts: its id, title and notes; and `aliases`, how other tools word it. Texts of classes,
titles of controls and names of techniques were tried, and found less (docs/unknown.md).

A long finding shares a common word with many topics. So a topic counts for more of whose title, or of one of whose
aliases, much was said; and for less where the finding names another setting or place than the topic is about. What
other tools report that no topic is about (`off_topic`) is searched like topics: it says how much another thing has of
the finding. What is measured here is weighed in `ranking.py`.

Source: Robertson, Zaragoza, Taylor, Simple BM25 extension to multiple weighted fields, CIKM 2004.
"""

import math
import re
from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.knowledge.schema import Knowledge, Topic
from pipeline.retrieval.filter import Filtered, WordFilter
from pipeline.retrieval.ranking import Found, Match
from pipeline.retrieval.vocabulary import stem

_OFF_TOPIC = "/"  # begins the name of what no topic is about; no topic's id has it


@dataclass(slots=True, frozen=True)
class Weights:
    """What counts how much; chosen on the training part of the folds (docs/unknown.md).

    Attributes:
        saturation, length: `k1` and `b` of BM25.
        synonym: of a word that only means nearly the same as one of the finding's.
        prior: added to what the finding says as a whole, so that one common word is no evidence.
        foreign: what a word counts there that no topic has, in parts of the rarest one's weight.
        least_phrase: what the words of a title or alias weigh at least, so that one common word is no phrase.
        elsewhere: what is left of a score where the finding names another setting or place.
    """

    key: float = 3.0
    title: float = 3.0
    notes: float = 0.7
    alias: float = 1.0
    saturation: float = 0.8
    length: float = 0.5
    synonym: float = 0.3
    prior: float = 1.5
    foreign: float = 0.6
    least_phrase: float = 3.0
    elsewhere: float = 0.5


@dataclass(slots=True, frozen=True)
class _Named:
    """The settings and places that a text names."""

    settings: frozenset[str]
    places: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "_Named":
        listed = frozenset(names)
        places = frozenset(name for name in listed if name.startswith("/"))
        return cls(frozenset(name for name in listed - places if not name.isdigit()), places)

    def is_elsewhere(self, other: "_Named", is_named: bool) -> bool:
        """Say whether a finding that names `other`, or a setting that nobody knows, speaks of another thing."""
        if self.settings and not self.settings & other.settings and (other.settings or is_named):
            return True
        return bool(self.places and other.places and not self.places & other.places)


@dataclass(slots=True)
class _Shared:
    """What a thing shares with a finding."""

    gained: float = 0.0
    strongest: float = 0.0
    named: float = 0.0
    words: list[tuple[float, str]] = field(default_factory=list)

    def add(self, shown: str, gained: float) -> None:
        self.gained += gained
        self.strongest = max(self.strongest, gained)
        if is_name(shown):
            self.named += gained
        self.words.append((-gained, shown))

    def evidence(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(word for _, word in sorted(self.words)))


class TopicIndex:
    """The topics of a knowledge by their words; made once, in a few hundredths of a second."""

    def __init__(self, knowledge: Knowledge, words: WordFilter, weights: Weights) -> None:
        self._weights = weights
        named: dict[str, list[tuple[str, ...]]] = {}  # in an order: sums of floats depend on it
        worded: dict[str, list[tuple[str, ...]]] = {}
        self._names: dict[str, _Named] = {}
        counts: dict[str, dict[str, float]] = {}
        titles: dict[str, tuple[str, ...]] = {}
        of_topics: dict[str, list[frozenset[str]]] = defaultdict(list)  # phrases, by each of their words
        for key, named_by, texts in _things(knowledge, weights):
            weighted: dict[str, float] = defaultdict(float)
            phrases: list[tuple[str, ...]] = []
            plain: list[tuple[str, ...]] = []
            for weight, is_phrase, text in texts:
                tokens = list(words.filter_ours([text]))
                terms = list(_terms(tokens))
                for term in terms:
                    weighted[term] += weight
                if is_phrase:
                    phrases.append(tuple(dict.fromkeys(terms)))
                    plain.append(tuple(dict.fromkeys(_terms(one for one in tokens if one[0] == "word"))))
            if not key.startswith(_OFF_TOPIC):
                for phrase in phrases:
                    for term in phrase:
                        of_topics[term].append(frozenset(phrase))
            elif _is_said_in(phrases[0], of_topics):
                continue  # somebody, perhaps the operator, has a topic for it
            counts[key], named[key], worded[key] = weighted, phrases, plain
            titles[key] = tuple(dict.fromkeys(_terms(words.filter_ours(named_by[-1:]))))
            names = words.filter_ours(named_by)
            self._names[key] = _Named.of(token for kind, token in names if kind == "name")
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
        self._phrases, self._worded = (
            {
                key: [
                    (phrase, max(sum(self._idf[term] for term in phrase), weights.least_phrase)) for phrase in phrases
                ]
                for key, phrases in listed.items()
            }
            for listed in (named, worded)
        )
        self._titles = {
            key: (terms, sum(self._idf[term] for term in terms), max(terms, key=self._idf.__getitem__, default=""))
            for key, terms in titles.items()
        }
        self._unknown = math.log(1 + total)
        self._synonyms: dict[str, list[str]] = defaultdict(list)
        for group in knowledge.synonyms.values():
            stems = list(dict.fromkeys(stem(word.lower()) for word in group))
            for one in stems:
                self._synonyms[one] += [other for other in stems if other != one]

    def search(self, filtered: Filtered, most: int) -> Found:
        """Give the topics that share most with a finding, the best first, and the best of what no topic is about."""
        shared: dict[str, _Shared] = defaultdict(_Shared)
        said: dict[str, float] = {}
        said_plainly: dict[str, float] = {}  # by words, not by what a setting or place is made of
        words = frozenset(filtered.words)
        mass, length, unknown = self._weights.prior, 0, 0
        for shown, wanted in _wanted(filtered):
            best: dict[str, float] = {}
            strongest = 0.0
            for term, weight in self._expanded(wanted):
                idf = self._idf.get(term)
                if idf is None:
                    continue
                strongest = max(strongest, idf * weight)
                said[term] = max(said.get(term, 0.0), min(weight, 1.0) * idf)
                if shown in words:
                    said_plainly[term] = said[term]
                for key, share in self._postings[term]:
                    best[key] = max(best.get(key, 0.0), idf * weight * share)
            length += 1
            unknown += not strongest
            mass += strongest or self._unknown * self._weights.foreign
            for key, gained in best.items():
                shared[key].add(shown, gained)
        named, is_named = _Named.of(filtered.names), "SETTING" in filtered.kinds
        topics: list[tuple[float, str]] = []
        others: list[tuple[float, str]] = []
        for key, one in sorted(shared.items(), key=lambda item: (-item[1].gained, item[0])):
            listed, room = (others, 1) if key.startswith(_OFF_TOPIC) else (topics, most)
            if len(listed) >= room and one.gained / mass < -listed[room - 1][0]:
                continue  # what it gained is as much as what these have
            elsewhere = self._weights.elsewhere if self._names[key].is_elsewhere(named, is_named) else 1.0
            insort(listed, (-one.gained / mass * _most(self._phrases[key], said) * elsewhere, key))

        def match(negative: float, key: str) -> Match:
            terms, whole, rarest = self._titles[key]
            titled = sum(said.get(term, 0.0) for term in terms)
            return Match(
                topic=key,
                score=-negative,
                covered=shared[key].gained / mass,
                said=_most(self._phrases[key], said),
                worded=_most(self._worded[key], said_plainly),
                titled=titled / whole if whole else 0.0,
                rarest=said.get(rarest, 0.0) / self._idf[rarest] if rarest else 0.0,
                strongest=shared[key].strongest,
                named=shared[key].named,
                gained=shared[key].gained,
                is_elsewhere=self._names[key].is_elsewhere(named, is_named),
                evidence=shared[key].evidence(),
            )

        return Found(
            tuple(match(*one) for one in topics[:most]),
            match(*others[0]) if others else None,
            length,
            unknown / length if length else 0.0,
        )

    def _expanded(self, wanted: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float]]:
        for term, weight in wanted:
            yield term, weight
            for other in self._synonyms.get(term, ()):
                yield other, weight * self._weights.synonym


def _most(phrases: Iterable[tuple[tuple[str, ...], float]], said: Mapping[str, float]) -> float:
    """Give how much of the best of some phrases was said, from 0 to 1."""
    most = 0.0
    for phrase, whole in phrases:
        most = max(most, sum(said.get(term, 0.0) for term in phrase) / whole)
    return most


def is_name(token: str) -> bool:
    """Say whether what is left of a text is a setting, a place or a mode, and not a word."""
    return not (token.isalpha() and token.islower())


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


def _is_said_in(phrase: Collection[str], phrases: Mapping[str, Collection[frozenset[str]]]) -> bool:
    """Say whether one of some phrases, which are listed by each of their words, has all the words of another."""
    if not phrase:
        return True
    fewest = min((phrases.get(term, ()) for term in phrase), key=len)
    return any(other.issuperset(phrase) for other in fewest)


def _things(
    knowledge: Knowledge, weights: Weights
) -> Iterator[tuple[str, list[str], Iterator[tuple[float, bool, str]]]]:
    """List what is searched: topics, and then what no topic is about; each with what it is named by, its title last."""
    for key, topic in sorted(knowledge.topics.items()):
        yield key, [key.partition(".")[2], topic.title], _texts(key, topic, knowledge.aliases.get(key, ()), weights)
    for group, phrases in sorted(knowledge.off_topic.items()):
        for number, phrase in enumerate(phrases):
            yield f"{_OFF_TOPIC}{group}/{number}", [phrase], iter([(weights.title, True, phrase)])


def _texts(key: str, topic: Topic, aliases: Iterable[str], weights: Weights) -> Iterator[tuple[float, bool, str]]:
    """List the texts of a topic with what they count, and whether they name it as a whole."""
    family, _, rest = key.partition(".")
    yield weights.key, False, family
    yield weights.key, False, rest
    yield weights.key, True, rest.replace(".", " ").replace("_", " ")
    yield weights.title, True, topic.title
    for note in topic.notes:
        yield weights.notes, False, note
    for alias in aliases:
        yield weights.alias, True, alias
