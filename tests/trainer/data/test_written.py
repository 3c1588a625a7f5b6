"""The knowledge's own texts as answers: whole sentences, with placeholders, that the product would take."""

from dataclasses import replace
from functools import cache

import pytest

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import Case, parse_response, render_response
from pipeline.analysis.question import Answer
from tests.pipeline.sessions import SCANS, knowledge, resources
from trainer.data.cases import Asked, questions
from trainer.data.written import in_written_words


@cache
def asked() -> tuple[Asked, ...]:
    return tuple(questions((SCANS / "micro-hardening.json").read_bytes(), resources()))


def own(case: Case) -> Answer:
    return Answer(assessment="Own words.", impact="And an impact.", level=case.floor)


def test_an_answer_gets_the_words_of_the_knowledge_and_keeps_the_rest() -> None:
    maker = CaseMaker(knowledge())
    taken = 0
    for one in asked():
        case = maker.case(one.question)
        said = in_written_words(case, own(case), one.written)
        assert replace(said, assessment="", impact="") == replace(own(case), assessment="", impact="")
        if said == own(case):
            continue
        taken += 1
        assert parse_response(render_response(said), case) == said and critique(case, said) is None
        texts = [text for pair in one.written for text in pair]
        assert any(text.startswith(said.assessment) for text in texts)
        assert any(text.startswith(said.impact) for text in texts)
    assert taken > 0.5 * len(asked())


@pytest.mark.parametrize(
    ("assessment", "why"),
    [
        ("It belongs to {uid} of the host.", "a value that the case has no placeholder for"),
        ('It says "yes" to all.', "a sign that an answer cannot hold"),
        ("A" * 300 + ".", "a sentence that is too long"),
        ("The value is 3 here (value 3).", "what the case does not support"),
    ],
)
def test_its_own_words_stay_where_those_do_not_fit(assessment: str, why: str) -> None:
    case = Case("suid_sgid.unexpected", "files", "Set-id file", "open", "low", {"place": "srv"}, placeholders=("path",))
    good = ("{path} is set-id.", "Look at it.")
    assert in_written_words(case, own(case), [(assessment, "Look at it.")]) == own(case), why
    assert in_written_words(case, own(case), [(assessment, "Look at it."), good]).assessment == good[0]
    settled = replace(case, status="accepted")
    assert in_written_words(settled, own(case), [good]) == own(case)


def test_a_text_that_is_too_long_loses_its_last_sentences() -> None:
    case = Case("suid_sgid.unexpected", "files", "Set-id file", "open", "low", {}, placeholders=("path",))
    long = "{path} is set-id. " + " ".join(f"Sentence {word} says {word * 30} of it." for word in "abcdefgh")
    said = in_written_words(case, own(case), [(long, "Look at it.")])
    assert said.assessment.startswith("{path} is set-id. Sentence a says") and said.assessment.endswith("of it.")
    assert len(said.assessment) <= 240 < len(long)
