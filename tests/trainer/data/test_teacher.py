"""What the teacher says: right by the rules, different by the seed, and never beyond the case."""

import re
from dataclasses import replace

import pytest

from pipeline.analysis.case import CaseMaker, selection
from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import parse_response, render_response
from tests.trainer.data.test_world import asked, knowledge
from trainer.data.phrases import BadPhrase, load_material
from trainer.data.rubric import rule
from trainer.data.teacher import Teacher


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher(knowledge())


def test_every_case_has_an_answer_that_stands(teacher: Teacher) -> None:
    maker = CaseMaker(knowledge())
    for one in asked():
        case = maker.case(one.question)
        answer = teacher.answer(case, one.question, seed=1)
        assert critique(case, answer) is None
        assert parse_response(render_response(answer), case) == answer


def test_the_same_seed_gives_the_same_words_and_another_seed_others(teacher: Teacher) -> None:
    maker = CaseMaker(knowledge())
    few = asked()[:400]
    said = [teacher.answer(maker.case(one.question), one.question, seed=1) for one in few]
    assert said == [teacher.answer(maker.case(one.question), one.question, seed=1) for one in few]
    others = [teacher.answer(maker.case(one.question), one.question, seed=2) for one in few]
    changed = sum(mine.assessment != other.assessment for mine, other in zip(said, others, strict=True))
    assert changed > len(few) / 2
    for mine, other in zip(said, others, strict=True):  # what is said does not vary, only how
        assert replace(mine, assessment="", impact="") == replace(other, assessment="", impact="")


def test_every_expansion_of_every_sentence_is_one_that_an_answer_can_hold() -> None:
    material = load_material()
    maker = CaseMaker(knowledge())
    seen = set()
    for one in asked():
        case = maker.case(one.question)
        texts = material.texts(case)
        mark = (id(texts), case.placeholders, tuple(sorted(case.features.items())))
        if mark in seen:
            continue
        seen.add(mark)
        for part, limit in (("what", 150), ("so", 120), ("impact", 140)):
            versions = material.say(texts[part], case, None)
            assert versions, f"{case.class_id}: no {part} for {case.features}"
            for text in versions:
                assert len(text) <= limit, f"{case.class_id}: {len(text)} characters: {text}"
                assert re.fullmatch(r"[A-Za-z0-9/{][ !#-\[\]-~]*\.", text), text
                assert not re.search(r"[<>\[\]|]| [.,](?!\w)|\.\.", text), text


def test_every_rule_of_the_material_is_used() -> None:
    """A rule that an earlier one hides, or whose class or feature is misspelt, is a mistake in the material."""
    material = load_material()
    classes = {*knowledge().classes, "ambiguous", "unknown"}
    for entry in material.rules:
        for pattern in entry.of:
            expression = re.compile(pattern.replace(".", r"\.").replace("*", ".*"))
            assert any(expression.fullmatch(name) for name in classes), f"no class is called {pattern}"
    for class_id in material.terms:
        assert class_id in classes
    for name in (*material.doubts, *material.mistakes):
        assert name == "*" or name in knowledge().artefacts, name
    assert set(material.contexts) == {*knowledge().correlations, "*", "threat_intel"}


def test_a_sentence_that_yaml_cut_in_two_is_refused(tmp_path: object) -> None:
    path = tmp_path / "x.yaml"  # type: ignore[operator]
    path.write_text("said: [{of: ['x'], what: [One, two.], so: [Yes.], impact: [None.]}]")
    with pytest.raises(BadPhrase, match="no whole sentence"):
        load_material(tmp_path)  # type: ignore[arg-type]


class TestRuling:
    def test_the_right_level_is_the_one_that_the_rules_set(self) -> None:
        maker = CaseMaker(knowledge())
        for one in asked():
            case = maker.case(one.question)
            ruling = rule(case, one.question, knowledge())
            assert (ruling.level, ruling.because) == (case.floor, None)

    def test_controls_are_those_that_the_knowledge_maps_where_there_is_evidence(self) -> None:
        maker = CaseMaker(knowledge())
        some = 0
        for one in asked():
            ruling = rule(maker.case(one.question), one.question, knowledge())
            assert set(ruling.controls) <= set(selection(one.question)[0])
            if one.question.status not in ("open", "passed"):
                assert ruling.controls == () and ruling.techniques == ()
            some += bool(ruling.controls)
        assert some > len(asked()) / 3

    def test_the_action_fits_and_is_not_barred(self) -> None:
        maker = CaseMaker(knowledge())
        for one in asked():
            case = maker.case(one.question)
            action = rule(case, one.question, knowledge()).action
            assert action is None or (action in case.actions and action not in case.barred)
            if case.status == "passed":
                assert action is None
