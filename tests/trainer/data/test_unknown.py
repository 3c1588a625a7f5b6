"""Examples of findings that no class knows: right by the product's own rules, and blind to what is measured."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.analysis.prompt import shorten
from pipeline.analysis.unknown_prompt import QUESTION
from pipeline.finding import LEVELS
from pipeline.retrieval.retriever import asked_controls
from pipeline.scorecard.hidden import folds
from pipeline.scorecard.hidden_answers import kinds
from pipeline.scorecard.payloads import HOSTILE
from tests.pipeline.retrieval.closed import allowed
from tests.pipeline.sessions import knowledge
from tests.trainer.small import taught_cases
from trainer.data.dataset import Example, dataset_digest, hidden_fold, write_dataset
from trainer.data.examples import classes_of, questions_of, read_split, read_training
from trainer.data.unknown.examples import unknown_examples
from trainer.data.unknown.findings import of_none, topics_of
from trainer.data.unknown.material import load_unknown_material

FOLD = 1
SIZE = 500


@pytest.fixture(scope="module")
def blind() -> list[Example]:
    """Examples without a fold."""
    return list(unknown_examples(knowledge(), 3, SIZE, FOLD))


@pytest.fixture(scope="module")
def seeing() -> list[Example]:
    """Examples of all folds."""
    return list(unknown_examples(knowledge(), 3, SIZE, None))


def bodies(example: Example) -> tuple[dict[str, Any], dict[str, Any]]:
    asked = example.prompt.split("\n", 2)[2].rsplit("\n### Response", 1)[0]
    return orjson.loads(asked), orjson.loads(example.response)


def right_titles(examples: list[Example]) -> set[str]:
    return {asked["topics"][said["topic"]]["title"] for asked, said in map(bodies, examples) if said["topic"] != "0"}


def test_the_same_seed_gives_the_same_examples(blind: list[Example]) -> None:
    assert list(unknown_examples(knowledge(), 3, SIZE, FOLD)) == blind
    assert list(unknown_examples(knowledge(), 4, SIZE, FOLD)) != blind
    assert len(blind) > 0.9 * SIZE


def test_an_answer_is_one_of_those_that_its_prompt_offers(seeing: list[Example]) -> None:
    topics = {spec.title: topic for topic, spec in knowledge().topics.items()}
    for example in seeing:
        asked, said = bodies(example)
        chosen = asked["topics"].get(said["topic"])
        assert LEVELS.index(asked["floor"]) <= LEVELS.index(said["level"]) <= LEVELS.index(asked["ceiling"])
        assert (chosen is None) == (said["topic"] == "0")
        if chosen is None:
            assert said["look"] is None and said["controls"] == "" and said["level"] == asked["floor"]
        else:
            assert (said["look"], said["controls"]) == (chosen["look"], chosen["controls"])
            assert said["controls"].split() == [
                shorten(one) for one in sorted(asked_controls(knowledge(), topics[chosen["title"]]))
            ]


def test_a_class_of_the_hidden_fold_teaches_nothing(blind: list[Example], seeing: list[Example]) -> None:
    hidden = set(folds(knowledge())[FOLD])
    named = {knowledge().topics[topic].title for topic in topics_of(knowledge(), hidden)}
    assert not hidden & {example.situation for example in blind}
    assert not named & right_titles(blind)
    # Both occur where nothing is hidden.
    assert hidden & {example.situation for example in seeing}
    assert named & right_titles(seeing)


def test_none_is_right_where_the_topic_is_no_candidate_and_where_there_is_none(seeing: list[Example]) -> None:
    none = [example for example in seeing if bodies(example)[1]["topic"] == "0"]
    assert 0.2 < len(none) / len(seeing) < 0.5
    assert any(example.situation.startswith("none.") for example in none)
    known = [example for example in none if not example.situation.startswith("none.")]
    assert known
    for example in known:
        offered = {one["title"] for one in bodies(example)[0]["topics"].values()}
        spec = knowledge().classes.get(example.situation)
        right = topics_of(knowledge(), [example.situation]) if spec is not None else {example.situation}
        assert len(right) > 1 or not offered & {knowledge().topics[topic].title for topic in right}


def test_no_text_of_a_finding_leaves_the_filter(seeing: list[Example]) -> None:
    words = {word for example in seeing for word in bodies(example)[0]["words"].split()}
    assert words <= allowed()
    pieces = {text[:12] for text in HOSTILE.values() if len(text) >= 12}
    assert not [piece for piece in pieces for example in seeing if piece in example.prompt + example.response]


def test_nothing_that_the_scorecard_asks_is_taught() -> None:
    taught = {(one.raw.title or "").lower() for one in of_none(load_unknown_material(knowledge()))}
    asked = {(one.raw.title or "").lower() for one in kinds()}
    assert len(taught) > 40 and not taught & asked
    families = {"ssh", "sudo", "cron", "certificate", "repository", "gpgcheck", "password never"}
    aside = load_unknown_material(knowledge()).none
    assert not [text for text in aside for family in families if family in " ".join(text).lower().split()]


def test_both_kinds_are_read_as_one_split(tmp_path: Path, blind: list[Example]) -> None:
    known = [*taught_cases(60, "train"), *taught_cases(6, "valid"), *taught_cases(2, "holdout")]
    plain, mixed = tmp_path / "plain", tmp_path / "mixed"
    for directory, more in ((plain, []), (mixed, blind)):
        directory.mkdir()
        write_dataset(directory, known, {"seed": 0, "hidden_fold": FOLD}, more)
    train = read_training(mixed, "train")
    unknown = [one for one in train if one.class_id.startswith("unknown.")]
    assert len(train) == 60 + len(unknown) and unknown == [one for one in blind if one.split == "train"]
    first = train[: len(train) // 4]
    share = sum(one.class_id.startswith("unknown.") for one in first) / len(first)
    assert abs(share - len(unknown) / len(train)) < 0.05
    assert [one for one in read_split(mixed, "valid") if one.class_id.startswith("unknown.")]
    assert classes_of(train) == classes_of(read_training(plain, "train"))
    assert (questions_of(train), questions_of(read_training(plain, "train"))) == ([QUESTION], [])
    assert dataset_digest(plain) != dataset_digest(mixed)
    assert hidden_fold(mixed) == FOLD and hidden_fold(tmp_path) is None
