"""The weights of the search: made from the findings that are here, and good on an author that they do not know."""

import orjson
import pytest

from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.retrieval.ranking import FILE, seal
from trainer.data.ranking import WRITTEN, Lists, cross_checked, dump, learn, measure, without


@pytest.fixture(scope="module")
def lists() -> Lists:
    return measure(load_knowledge(load_features), WRITTEN)[0]


def test_the_shipped_weights_are_those_of_the_findings_that_are_here(lists: Lists) -> None:
    made, shipped = orjson.loads(dump(learn(lists))), orjson.loads(FILE.read_bytes())
    assert made["measures"] == shipped["measures"]
    for mine, theirs in zip(made["hidden"], shipped["hidden"], strict=True):  # processors round otherwise
        assert mine == pytest.approx(theirs, abs=2e-3), "make ranking"
    assert made["out"] == pytest.approx(shipped["out"], abs=2e-3)
    assert shipped["digest"] == seal(shipped["hidden"], shipped["out"])


def test_an_author_whom_it_did_not_learn_from_is_understood() -> None:
    for name, quality in cross_checked(*measure(load_knowledge(load_features), WRITTEN)):
        assert quality.first > 0.78 and quality.three > 0.82 and quality.silent > 0.7, (name, quality)


def test_findings_of_an_author_are_searched_without_their_own_phrases() -> None:
    knowledge = load_knowledge(load_features)
    for file in WRITTEN:
        titles = {entry["title"] for entry in orjson.loads(file.read_bytes())}
        left = without(knowledge, titles)
        phrases = {one for group in (left.aliases, left.off_topic) for listed in group.values() for one in listed}
        assert not phrases & titles
        assert len(phrases) > 1_000  # those of the others are there
