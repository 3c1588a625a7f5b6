"""How topics are weighed: weights that are whole or not used, and as good as the documents say."""

from pathlib import Path

import pytest

from pipeline.retrieval.ranking import FILE, MEASURES, RANKED, Found, Ranking, RankingDamaged, measures
from pipeline.retrieval.retriever import Retriever
from pipeline.scorecard.hidden_answers import EIGHTY, HUNDRED_TWENTY, kinds
from tests.pipeline.retrieval.closed import retriever
from tests.pipeline.sessions import documents, lines_of, made_up, resources, session_of
from tests.pipeline.unknown import finding


def altered(tmp_path: Path, change: str) -> Path:
    file = tmp_path / "ranking.json"
    body = FILE.read_bytes()
    if change == "another weight":
        file.write_bytes(body.replace(b'"hidden":[[', b'"hidden":[[9'))
    elif change == "other measures":
        file.write_bytes(body.replace(b'"titled"', b'"entitled"'))
    elif change == "cut":
        file.write_bytes(body[:-100])
    elif change == "a list":
        file.write_bytes(b"[]")
    return file


@pytest.mark.parametrize("change", ["missing", "another weight", "other measures", "cut", "a list"])
def test_damaged_weights_are_named_in_a_line_and_never_used(tmp_path: Path, change: str) -> None:
    file = altered(tmp_path, change)
    with pytest.raises(RankingDamaged) as caught:
        Ranking.read(file)
    said = str(caught.value)
    assert str(file) in said and "install the package again" in said and "\n" not in said


def test_with_damaged_weights_the_rules_answer_as_before(tmp_path: Path) -> None:
    on = resources()
    on.retriever = Retriever(on.knowledge, ranking=altered(tmp_path, "cut"))
    (line,) = documents(lines_of(session_of(made_up([finding("docker:socket")]), on, {})))
    assert "likely" not in line
    assert line["analysis"]["assessment"].startswith("No knowledge of this kind of finding")
    assert on.retriever.failure is not None and on.retriever.check() == on.retriever.failure


@pytest.mark.parametrize(("file", "first", "silent"), [(EIGHTY, 0.8, 0.85), (HUNDRED_TWENTY, 0.88, 0.9)])
def test_it_is_as_good_on_findings_of_others_as_the_scorecard_says(file: Path, first: float, silent: float) -> None:
    right: list[bool] = []
    quiet: list[bool] = []
    for one in kinds(file):
        likely = retriever().likely(one.raw)
        assert likely is not None
        if one.topics:
            right.append(likely.claimed and likely.topics[0].topic in one.topics)
        else:
            quiet.append(not likely.claimed)
    assert sum(right) / len(right) >= first
    assert sum(quiet) / len(quiet) >= silent


def test_what_is_measured_is_finite_and_of_small_numbers() -> None:
    for one in kinds(EIGHTY):
        words = retriever().words(one.raw)
        assert words is not None
        found = retriever().found(words, RANKED)
        for number in range(len(found.matches)):
            measured = measures(found, number)
            assert len(measured) == len(MEASURES)
            assert all(-10 < value < 10 for value in measured), dict(zip(MEASURES, measured, strict=True))


def test_shares_of_what_was_found_add_up_to_less_than_one() -> None:
    ranking = Ranking.read()
    assert ranking.probabilities(Found()) == []
    for one in kinds(EIGHTY):
        words = retriever().words(one.raw)
        assert words is not None
        shares = ranking.probabilities(retriever().found(words, RANKED))
        assert all(0 <= share <= 1 for share in shares) and sum(shares) <= 1.001
