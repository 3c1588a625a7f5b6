"""The closed list as the product has it, and what else may come out of the filter."""

from functools import lru_cache

from pipeline.retrieval.filter import KINDS, MODES, WordFilter
from pipeline.retrieval.retriever import Retriever
from pipeline.retrieval.vocabulary import Vocabulary
from tests.pipeline.sessions import knowledge


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    return Vocabulary.load(knowledge())


@lru_cache(maxsize=1)
def word_filter() -> WordFilter:
    return WordFilter(vocabulary())


@lru_cache(maxsize=1)
def retriever() -> Retriever:
    return Retriever(knowledge())


@lru_cache(maxsize=1)
def allowed() -> frozenset[str]:
    known = vocabulary()
    return frozenset({*known.words, *known.names.values(), *known.places, *KINDS, *MODES})
