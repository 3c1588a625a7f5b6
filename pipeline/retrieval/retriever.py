"""Says what an unknown finding looks like, by its words alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipeline.finding import RawFinding
from pipeline.knowledge.schema import Knowledge
from pipeline.remembered import Remembered
from pipeline.retrieval.filter import Filtered, WordFilter
from pipeline.retrieval.index import TopicIndex, Weights, is_name
from pipeline.retrieval.likely import FirstLook, Likely, LikelyBasis, LikelyControl, LikelyTopic
from pipeline.retrieval.ranking import FILE as RANKING
from pipeline.retrieval.ranking import RANKED, Found, Ranking, RankingDamaged
from pipeline.retrieval.vocabulary import FILE, Vocabulary, VocabularyDamaged

CANDIDATES = 5  # that a model chooses from
SHOWN = 3
_MAX_KNOWN = 4096  # bags whose topics are remembered
_MAX_TEXTS = 512  # findings whose words are remembered: a batch asks for those of each several times
_EVIDENCE = 6
_SURE = 0.8  # how likely a topic has to be that shares one word with a finding
# Of a topic as many as there is room for in the prompt of five.
_ASKED_CONTROLS = {"nist_800_53_r5": 2, "nist_csf_2_0": 1, "pci_dss_4_0": 1}


@dataclass(slots=True, frozen=True)
class Candidate:
    """A topic that a finding may be about.

    Attributes:
        score: how likely it is about that, from 0 to 1.
        evidence: the words and names of the finding that the topic has, the weightiest first.
    """

    topic: str
    score: float
    evidence: tuple[str, ...]


class Retriever:
    """Finds topics for findings; what it needs is made with the first finding that nobody knows.

    Attributes:
        failure: why it can say nothing, in a line, or None.
    """

    def __init__(self, knowledge: Knowledge, file: Path = FILE, ranking: Path = RANKING) -> None:
        self._knowledge = knowledge
        self._file = file
        self._ranking_file = ranking
        self._known: Remembered[Filtered, tuple[Candidate, ...]] = Remembered(_MAX_KNOWN)
        self._words: Remembered[tuple[str, ...], Filtered] = Remembered(_MAX_TEXTS)
        self.failure: str | None = None

    @cached_property
    def _filter(self) -> WordFilter | None:
        try:
            return WordFilter(Vocabulary.load(self._knowledge, self._file))
        except VocabularyDamaged as error:
            self.failure = str(error)
            return None

    @cached_property
    def _ranking(self) -> Ranking | None:
        try:
            return Ranking.read(self._ranking_file)
        except RankingDamaged as error:
            self.failure = str(error)
            return None

    @cached_property
    def _index(self) -> TopicIndex | None:
        return TopicIndex(self._knowledge, self._filter, Weights()) if self._filter is not None else None

    def check(self) -> str | None:
        """Say why it can say nothing, or None; for those who look before there is a finding."""
        return self.failure if self._filter is None or self._ranking is None else None

    def words(self, raw: RawFinding) -> Filtered | None:
        """Give what is left of a finding's texts, or None where the closed list is damaged."""
        if self._filter is None:
            return None
        texts = (raw.title or "", raw.description or "", raw.id)
        known = self._words.get(texts)
        if known is None:
            known = self._words[texts] = self._filter.filter(texts[:2], label=raw.id)
        return known

    def known_names(self) -> tuple[str, ...]:
        """List the settings and places that stand as they are."""
        return self._filter.known_names() if self._filter is not None else ()

    def telling(self, words: Filtered) -> tuple[str, ...]:
        """Give what a model is shown of a bag."""
        return self._filter.telling(words) if self._filter is not None else ()

    def found(self, words: Filtered, most: int) -> Found:
        """Give what shares words with a finding, as it was measured."""
        return self._index.search(words, most) if self._index is not None else Found()

    def search(self, words: Filtered, most: int) -> list[Candidate]:
        """List as many topics as are asked for, the likeliest of the first `RANKED` first."""
        if self._ranking is None:
            return []
        found = self.found(words, max(most, RANKED))
        listed = [
            Candidate(match.topic, likely, match.evidence)
            for match, likely in zip(found.matches, self._ranking.probabilities(found), strict=True)
        ]
        best = [sorted(part, key=lambda one: -one.score) for part in (listed[:RANKED], listed[RANKED:])]
        return [*best[0], *best[1]][:most]

    def candidates(self, words: Filtered) -> tuple[Candidate, ...]:
        """List the topics that share most with a finding, the best first."""
        known = self._known.get(words)
        if known is None:
            known = self._known[words] = tuple(self.search(words, CANDIDATES))
        return known

    def likely(self, raw: RawFinding) -> Likely | None:
        """Say what a finding looks like, or None where the closed list or the weights are damaged."""
        words = self.words(raw)
        return None if words is None or self._ranking is None else self.told(self.candidates(words), "retrieved")

    def chosen(self, raw: RawFinding, topic: str | None, controls: Collection[str], look: str | None) -> Likely | None:
        """Say what a model chose among what was found; None where the closed list or the weights are damaged.

        Args:
            controls: ``framework:id``, those that it picked out of the topic's it was asked about (`asked_controls`).
                What its prompt had no room for stays.
        """
        words = self.words(raw)
        if words is None or self._ranking is None:
            return None
        shown = self.look_of(look) if look is not None and look in self._knowledge.looks else None
        found = self.candidates(words)
        first = tuple(one for one in found if one.topic == topic)
        if not first:
            return Likely(claimed=False, basis="model", look=shown)
        told = self.told((*first, *(one for one in found if one.topic != topic)), "model")
        refused = frozenset(asked_controls(self._knowledge, first[0].topic)) - frozenset(controls)
        kept = tuple(one for one in told.controls if f"{one.framework}:{one.control}" not in refused)
        return replace(told, controls=kept, look=shown)

    def told(self, candidates: tuple[Candidate, ...], basis: LikelyBasis) -> Likely:
        """Put candidates, the chosen one first, into what is told."""
        if not candidates or (basis == "retrieved" and not self._claims(candidates)):
            return Likely(claimed=False, basis=basis)
        first = candidates[0].topic
        return Likely(
            claimed=True,
            basis=basis,
            topics=tuple(
                LikelyTopic(
                    one.topic, self._knowledge.topics[one.topic].title, round(100 * one.score), one.evidence[:_EVIDENCE]
                )
                for one in candidates[:SHOWN]
            ),
            controls=tuple(
                LikelyControl(ref.framework, ref.control, ref.title, basis)
                for ref in self._knowledge.topics[first].controls
                if ref.caution is None
            ),
            look=self.look(first),
        )

    def _claims(self, candidates: Sequence[Candidate]) -> bool:
        """Say whether the first topic is likelier than none of them; by one common word alone it has to be sure."""
        first = candidates[0]
        none = 1 - sum(one.score for one in candidates[:RANKED])
        is_thin = len(first.evidence) == 1 and not is_name(first.evidence[0])
        return first.score > (_SURE if is_thin else none)

    def look(self, topic: str) -> FirstLook | None:
        """Give the look with the longest beginning of a topic's id."""
        key = look_for(self._knowledge, topic)
        return None if key is None else self.look_of(key)

    def look_of(self, key: str) -> FirstLook:
        """Give a look of the knowledge."""
        look = self._knowledge.looks[key]
        return FirstLook(key, look.subject, look.summary, look.command)


def asked_controls(knowledge: Knowledge, topic: str) -> list[str]:
    """List the controls of a topic that a model is asked about, as ``framework:id``: its strongest claims."""
    room = dict(_ASKED_CONTROLS)
    taken: list[str] = []
    for ref in knowledge.topics[topic].controls:
        if ref.caution is None and room.get(ref.framework, 0) > 0:
            room[ref.framework] -= 1
            taken.append(f"{ref.framework}:{ref.control}")
    return taken


def look_for(knowledge: Knowledge, topic: str) -> str | None:
    """Name the look with the longest beginning of a topic's id."""
    fitting = [
        (-len(start), key) for key, look in knowledge.looks.items() for start in look.topics if topic.startswith(start)
    ]
    return min(fitting)[1] if fitting else None
