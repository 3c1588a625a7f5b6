"""Keeps a model's answers by analysis key: as drafts until they are checked, then for good."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from pipeline.analysis.question import MAX_ATTEMPTS, AnalysisStore, Answer, Question, Recalled
from pipeline.finding import LEVELS


@dataclass(slots=True, frozen=True)
class CachedAnswer:
    """An answer as it is kept.

    Attributes:
        attempt: which asking it answers, from 0. A draft of the last attempt that was not accepted stays: the model
            is deterministic, so asking it again would only give what was refused before.
        accepted: `critique` let it stand.
    """

    answer: Answer
    attempt: int
    accepted: bool


class MemoryStore:
    """An `AnalysisStore` that lasts as long as the process."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Give those that are known."""
        return {key: self.rows[key] for key in keys if key in self.rows}

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        """Keep them."""
        self.rows.update(analyses)


class Answers:
    """Answers in memory, over a durable store if there is one.

    There is one entry a key, written when the answer is produced and again when it is accepted, so that whatever
    interrupts a batch, no answer is lost and none is asked for twice.
    """

    def __init__(self, store: AnalysisStore | None) -> None:
        self._store = store
        self._kept: dict[str, CachedAnswer] = {}
        self._sought: set[str] = set()  # in vain, where `find` looks

    def find(self, questions: Iterable[Question], recall: Callable[[Question], Recalled | None]) -> None:
        """Take what `recall` gives of these questions; each is looked for once, and none is stored."""
        for question in questions:
            if question.key in self._kept or question.key in self._sought:
                continue
            recalled = recall(question)
            if recalled is None:
                self._sought.add(question.key)
            else:
                attempt = 0 if recalled.stands else MAX_ATTEMPTS - 1
                self._kept[question.key] = CachedAnswer(recalled.answer, attempt, accepted=recalled.stands)

    def load(self, keys: Iterable[str]) -> None:
        """Fetch what the store has of these keys."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._kept]
        if self._store is None or not wanted:
            return
        for key, data in self._store.cached_analyses(wanted).items():
            kept = decode(data)
            if kept is not None:
                self._kept[key] = kept

    def get(self, key: str) -> CachedAnswer | None:
        """Give an answer that was loaded or put, accepted or not."""
        return self._kept.get(key)

    def accepted(self, key: str) -> Answer | None:
        """Give an answer that stands."""
        kept = self._kept.get(key)
        return kept.answer if kept is not None and kept.accepted else None

    def put(self, entries: Mapping[str, CachedAnswer]) -> None:
        """Keep answers by key, durably where there is a store."""
        self._kept.update(entries)
        if self._store is not None and entries:
            self._store.store_analyses({key: encode(kept) for key, kept in entries.items()})


def encode(kept: CachedAnswer) -> bytes:
    """Write an entry of the store."""
    return orjson.dumps(asdict(kept), option=orjson.OPT_SORT_KEYS)


def decode(data: bytes) -> CachedAnswer | None:
    """Read an entry of the store; what cannot be read was never answered."""
    try:
        entry: dict[str, Any] = orjson.loads(data)
        answer: dict[str, Any] = entry["answer"]
        texts = answer["assessment"], answer["impact"]
        if answer["level"] not in LEVELS or not all(isinstance(text, str) for text in texts):
            return None
        return CachedAnswer(
            answer=Answer(
                **{**answer, "techniques": tuple(answer["techniques"]), "controls": tuple(answer["controls"])}
            ),
            attempt=int(entry["attempt"]),
            accepted=entry["accepted"] is True,
        )
    except (ValueError, KeyError, TypeError):
        return None
