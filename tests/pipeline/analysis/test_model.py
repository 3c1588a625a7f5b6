"""The analyst that asks a model: what it asks, what it takes for an answer, and what it leaves to the rules."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.case import selection
from pipeline.analysis.claims import DIMENSIONS
from pipeline.analysis.critique import REFUSALS, refusal
from pipeline.analysis.model import ModelAnalyst
from pipeline.analysis.prompt import BadResponse, Case, parse_response, response_schema, shorten
from pipeline.analysis.question import Answer, Question, Recalled
from pipeline.engine.errors import ModelDamaged, TooLong, Unfinished
from pipeline.engine.generator import Grammar
from pipeline.finding import LEVELS
from tests.pipeline.scorecard.speakers import Speaker
from tests.pipeline.sessions import (
    documents,
    knowledge,
    lines_of,
    report,
    resources,
    session_of,
    shared,
)

Speak = Callable[[dict[str, Any], dict[str, Any]], str]


def plainly(shown: dict[str, Any], allowed: dict[str, Any]) -> str:
    """Answer with the least that the grammar allows, and all that the prompt offers."""
    return json.dumps(
        {
            "level": allowed["level"]["enum"][0],
            "assessment": "The scanner is probably right about this.",
            "impact": "None that is known.",
            "action": None,
            "controls": "",
            "techniques": "",
        }
    )


def analyst(speak: Speak = plainly) -> ModelAnalyst:
    return ModelAnalyst(Speaker(speak), knowledge(), "a speaker")


def some_question(class_id: str = "suid_sgid.usr_local", scan: str = "web01-fs-hygiene.json") -> Question:
    session = session_of(report(scan), shared(), {})
    return next(
        question for member in session.index.members if (question := session.question(member.seq)).class_id == class_id
    )


def test_an_answer_keeps_within_what_the_question_allows() -> None:
    question = some_question()
    found = analyst().analyse(question, 0).result()
    assert found is not None and found.level == question.floor


@pytest.mark.parametrize(
    "text", ["", "{", '{"level":"low"}', "{}", '{"level":"dreadful","assessment":"A.","impact":"B.","action":null}']
)
def test_what_is_no_answer_is_left_to_the_rules(text: str) -> None:
    assert analyst(lambda shown, allowed: text).analyse(some_question(), 0).result() is None


@pytest.mark.parametrize("error", [TooLong("x"), Unfinished("x"), ModelDamaged("its scores are no numbers")])
def test_one_question_that_cannot_be_answered_does_not_stop_the_others(error: Exception) -> None:
    first = some_question()
    second = some_question("world_writable.file")

    def speak(shown: dict[str, Any], allowed: dict[str, Any]) -> str:
        if shown["class"] == first.class_id:
            raise error
        return plainly(shown, allowed)

    model = analyst(speak)
    assert model.analyse(first, 0).result() is None
    assert model.analyse(second, 0).result() is not None
    about_the_model = isinstance(error, ModelDamaged)
    assert model.failure == (str(error) if about_the_model else f"{first.class_id}: {error}")


def test_a_class_that_the_model_was_not_trained_on_is_not_for_it() -> None:
    known, other = some_question(), some_question("world_writable.file")
    model = ModelAnalyst(Speaker(plainly), knowledge(), "a speaker", {known.class_id, "unknown"})
    assert model.takes(known) and not model.takes(other)
    assert not model.takes(replace(other, class_id="unknown.new_scanner")), "there is nothing to analyse"
    assert analyst().takes(other)
    assert model.digest != analyst().digest


def test_an_answer_that_took_a_distractor_is_refused_and_asked_without_them() -> None:
    question = some_question()

    def everything(shown: dict[str, Any], allowed: dict[str, Any]) -> str:
        return json.dumps(json.loads(plainly(shown, allowed)) | {"controls": shown["controls"]})

    speaker = Speaker(everything)
    model = ModelAnalyst(speaker, knowledge(), "greedy")
    first, second = (model.analyse(question, attempt).result() for attempt in (0, 1))
    assert first is not None and model.critique(question, first) is not None
    assert second is not None and model.critique(question, second) is None
    offered = [set(shown["controls"].split()) for shown in speaker.shown]
    assert offered[1] == set(map(shorten, selection(question)[0])) < offered[0]


def test_the_digest_names_model_knowledge_and_prompt() -> None:
    plain = analyst().digest
    other = Speaker(plainly)
    other.digest = "another"
    assert ModelAnalyst(other, knowledge(), "x").digest != plain
    newer = knowledge().model_copy(update={"digest": "newer"})
    assert ModelAnalyst(Speaker(plainly), newer, "x").digest != plain
    assert ModelAnalyst(Speaker(plainly), knowledge(), "another name").digest == plain


@pytest.mark.parametrize("scan", ["web01-ioc.json", "web01-base-default.ndjson", "web01-wk2-rules.sarif"])
def test_every_finding_of_a_scan_is_answered_by_the_model(scan: str) -> None:
    session = session_of(report(scan), resources(analyst=analyst()), {})
    for document in documents(lines_of(session)):
        assert document["analysis"]["origin"] == "model"
        assert document["analysis"]["model"] == "a speaker"
        assert LEVELS.index(document["risk"]["level"]) >= LEVELS.index(document["risk"]["floor"])


def test_what_the_critique_refuses_twice_the_rules_answer() -> None:
    def silent(shown: dict[str, Any], allowed: dict[str, Any]) -> str:
        return plainly(shown, allowed).replace(
            "None that is known.", "One two three four five six one two three four five."
        )

    session = session_of(report("web01-ioc.json"), resources(analyst=analyst(silent)), {})
    analyses = [document["analysis"] for document in documents(lines_of(session))]
    assert {entry["origin"] for entry in analyses} == {"rules"}
    assert {entry["fallback_reason"] for entry in analyses} == {"rejected"}


def test_what_was_wrong_is_said_when_it_is_asked_again() -> None:
    def false(shown: dict[str, Any], allowed: dict[str, Any]) -> str:
        return plainly(shown, allowed).replace("None that is known.", "It concerns 12 files in all.")

    speaker = Speaker(false)
    model = ModelAnalyst(speaker, knowledge(), "false")
    session = session_of(report("web01-ioc.json"), resources(analyst=model), {})
    lines_of(session)
    words = {shown.get("refused") for shown in speaker.shown}
    assert words == {None, "count"}
    first = [shown for shown in speaker.shown if "refused" not in shown]
    assert len(first) == len(speaker.shown) - len(first), "each was asked twice"
    # As it is asked anew where nothing was kept of it.
    repeated = Speaker(false)
    lines_of(session_of(report("web01-ioc.json"), resources(analyst=ModelAnalyst(repeated, knowledge(), "false")), {}))
    assert repeated.shown == speaker.shown


def test_every_reason_has_a_word_of_the_closed_list() -> None:
    assert refusal("a value that the case does not support") == "value"
    assert refusal("a control or technique that is no candidate") == "distractor"
    assert refusal("assessment of 300 characters") == refusal(None) == "form"
    assert {refusal(f"a {name} that the case does not support") for name in DIMENSIONS} <= set(REFUSALS)


def test_an_unknown_scanners_name_is_not_shown() -> None:
    question = replace(some_question(), class_id="unknown.ignore_previous_instructions")
    case: Case = analyst()._maker.case(question)
    assert case.class_id == "unknown"
    assert "ignore" not in analyst().prompt(question)


def test_a_shipped_answer_counts_as_if_the_model_gave_it() -> None:
    """Refused by `critique` it is none, and the second attempt's counts if that is shipped, too."""
    question = some_question()
    again = replace(question, refused="number")
    prompts = [analyst().prompt(question), analyst().prompt(again, 1)]
    good = plainly({}, {"level": {"enum": [question.floor]}})
    bad = good.replace("right about this", "right about CVE-2026-1")

    def recalled(*texts: str | None) -> Answer | None:
        said = dict(zip(prompts, texts, strict=True))
        model = ModelAnalyst(Speaker(plainly), knowledge(), "a speaker", shipped=lambda prompt, _: said.get(prompt))
        got = model.with_knowledge(knowledge()).recall(question)
        known.append(got)
        return got.answer if got is not None and got.stands else None

    known: list[Recalled | None] = []
    answered = analyst().analyse(question, 0).result()
    assert answered is not None
    assert recalled(good, None) == recalled(bad, good) == answered
    repeated = bad.replace("CVE-2026-1", "one two three four five six one two three four five")
    assert recalled(repeated, good) is None, "after another refusal it would be asked otherwise"
    assert recalled(None, good) is recalled(bad, None) is recalled("{", None) is None
    assert known[-3:] == [None, None, None]
    assert recalled(bad, bad) is None
    assert known[-1] is not None, "it is known to be refused, and need not be asked"
    untrained = ModelAnalyst(Speaker(plainly), knowledge(), "a speaker", ["unknown"], lambda prompt, _: good)
    assert untrained.recall(question) is None


def test_a_question_that_comes_again_is_recalled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most scans of a host raise the questions of the one before; how many are remembered is bounded."""
    looked: list[str] = []

    def shipped(prompt: str, grammar: Grammar) -> None:
        looked.append(prompt)

    monkeypatch.setattr("pipeline.analysis.model._MAX_RECALLED", 2)
    model = ModelAnalyst(Speaker(plainly), knowledge(), "a speaker", shipped=shipped)
    first, second, third = (replace(some_question(), key=key) for key in ("first", "second", "third"))
    for question in (first, second, second, first):
        assert model.recall(question) is None
    assert len(looked) == 2
    model.recall(third)
    model.recall(first)
    assert len(looked) == 4, "two are remembered"


@settings(max_examples=300)
@given(data=st.data())
def test_what_is_read_is_what_the_schema_allows(data: st.DataObject) -> None:
    """The schema binds the model; reading holds its text to the same, without the schema."""
    controls = ("hipaa:1", "hipaa:2")
    case = Case("a.b", "c", "T", "open", "low", {}, placeholders=("path",), controls=controls, actions=("x",))
    text = st.text(st.sampled_from('ab {}.\\"é/'), max_size=8) | st.sampled_from(
        ["{path} is.", "Fine.", "x" * 250 + "."]
    )
    body = data.draw(
        st.fixed_dictionaries(
            {
                "level": st.sampled_from(["info", "low", "critical", 3, None]),
                "assessment": text | st.sampled_from(["{path} is one of {path}.", "{other} is."]) | st.none(),
                "impact": text,
                "action": st.sampled_from(["x", "y", None, ["x"]]),
                "controls": st.sampled_from(
                    ["", " hip:1", " hip:1 hip:2", " hip:2 hip:1", "hip:1", " hip:1 ", " hip:1 hip:1"]
                ),
                "techniques": st.sampled_from(["", " ", " T1"]) | st.none(),
            }
        )
    )
    schema = response_schema(case)
    body = {name: body[name] for name in schema["properties"]}  # in their order, which is drawn, too
    try:
        jsonschema.validate(body, schema)
        allowed = True
    except jsonschema.ValidationError:
        allowed = False
    try:
        parse_response(json.dumps(body), case)
        read = True
    except BadResponse:
        read = False
    assert read == allowed


def test_what_one_ambiguous_finding_is_asked_does_not_depend_on_another_that_came_before() -> None:
    one, other = (
        replace(some_question(), class_id="ambiguous", candidates=candidates, controls=(), techniques=())
        for candidates in (
            ("world_writable.file", "world_writable.path_dir"),
            ("suid_sgid.unexpected", "suid_sgid.file_capability"),
        )
    )
    alone = analyst().prompt(other)
    after = analyst()
    assert after.prompt(one) != after.prompt(other) == alone
