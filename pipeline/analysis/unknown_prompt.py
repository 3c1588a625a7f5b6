"""What a model is shown of a finding that no class knows, what it may answer, and what is wrong with an answer.

It chooses among the topics that were retrieved, a first look and controls, and writes two sentences. It sees the bag of
filtered words (`pipeline/retrieval/filter.py`), never the finding's text, and its sentences hold no sign that means
something to a shell, and one placeholder at most: for the words that the finding shares with the chosen topic.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.analysis.critique import CITED, broken_text
from pipeline.analysis.prompt import (
    INSTRUCTION,
    MAX_ASSESSMENT,
    MAX_IMPACT,
    MIN_TEXT,
    RESPONSE,
    BadResponse,
    listed,
    read_answer,
    shorten,
    subset,
)
from pipeline.analysis.question import Answer, Question
from pipeline.finding import LEVELS, Level
from pipeline.knowledge.schema import Knowledge
from pipeline.retrieval.retriever import asked_controls, look_for

QUESTION = "unknown/2"  # in the `questions` of a model's record: it was trained on these

NONE = "0"  # stands for: none of these topics
MAX_WORDS = 32

SLOT = "words"  # of an assessment: what the finding has of the chosen topic's words is put in there
_KEYS = ("topic", "level", "assessment", "impact", "look", "controls")
_PLAIN_TEXT = r"^[A-Z][A-Za-z0-9 ,'()-]*(?:[.;:] ?[A-Za-z0-9 ,'()-]+)*\.$"
_TEXT = r"^[A-Z](?:[A-Za-z0-9 ,'()-]|\{words\})*(?:[.;:] ?(?:[A-Za-z0-9 ,'()-]|\{words\})+)*\.$"
_SPOKEN = re.compile(r"\b[Ss]peaks? of ([^.;:]+)")


@dataclass(slots=True, frozen=True)
class UnknownCase:
    """What a model is shown; closed vocabulary only.

    Attributes:
        tokens: words, names and kinds that are left of the finding's texts.
        topics: ids, the likeliest first; the prompt numbers them from 1.
        titles: theirs.
        scores: how likely the finding is about each topic, in per cent, rounded to fives.
        controls: ``framework:id``, those of all topics, sorted.
        controls_of: for each topic those that it is mapped to and that there is room for.
        looks: ids of the first looks that fit any of the topics, sorted.
        look_of: for each topic the first look that fits it, or None.
        floor, ceiling: the least and the highest level that an answer may give.
        refused: asked again, what was wrong with the first answer, in a word.
    """

    tokens: tuple[str, ...]
    topics: tuple[str, ...]
    titles: tuple[str, ...]
    scores: tuple[int, ...]
    controls: tuple[str, ...]
    controls_of: tuple[frozenset[str], ...]
    looks: tuple[str, ...]
    look_of: tuple[str | None, ...]
    floor: Level
    ceiling: Level
    refused: str | None = None


def unknown_case(question: Question, knowledge: Knowledge) -> UnknownCase:
    """Make the case of a question about a finding that no class knows.

    Raises:
        ValueError: if the question is about another.
    """
    asked = question.unknown
    if asked is None:
        raise ValueError(f"a question about {question.class_id}")
    controls_of = tuple(frozenset(asked_controls(knowledge, topic)) for topic in asked.topics)
    look_of = tuple(look_for(knowledge, topic) for topic in asked.topics)
    return UnknownCase(
        tokens=asked.tokens[:MAX_WORDS],
        topics=asked.topics,
        titles=tuple(knowledge.topics[topic].title for topic in asked.topics),
        scores=asked.scores,
        controls=tuple(sorted(frozenset[str]().union(*controls_of))),
        controls_of=controls_of,
        looks=tuple(sorted({look for look in look_of if look is not None})),
        look_of=look_of,
        floor=question.floor,
        ceiling=asked.ceiling,
        refused=question.refused,
    )


def render_unknown(case: UnknownCase) -> str:
    """Write the instruction; one case, one text."""
    body: dict[str, Any] = {
        "class": "unknown",
        "words": listed(case.tokens),
        "topics": {
            str(number): {
                "title": title,
                "score": score,
                "look": look,
                "controls": listed(map(shorten, sorted(controls))),
            }
            for number, (title, score, look, controls) in enumerate(
                zip(case.titles, case.scores, case.look_of, case.controls_of, strict=True), start=1
            )
        },
        "floor": case.floor,
        "ceiling": case.ceiling,
    }
    if case.refused is not None:
        body["refused"] = case.refused
    return f"{INSTRUCTION}{orjson.dumps(body).decode()}{RESPONSE}"


def render_unknown_response(case: UnknownCase, answer: Answer) -> str:
    """Write an answer as a model gives it."""
    number = NONE if answer.topic is None else str(case.topics.index(answer.topic) + 1)
    return orjson.dumps(
        {
            "topic": number,
            "level": answer.level,
            "assessment": answer.assessment,
            "impact": answer.impact,
            "look": answer.look,
            "controls": listed(map(shorten, answer.controls)),
        }
    ).decode()


def unknown_schema(case: UnknownCase) -> dict[str, Any]:
    """Give the JSON schema of all answers to a case; the order of the keys is part of it.

    What may follow a topic is its own look and its own controls, so that there is nothing to be copied wrongly.
    """
    return {
        "anyOf": [
            {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
            for properties in _properties(case).values()
        ]
    }


def _properties(case: UnknownCase) -> dict[str, dict[str, Any]]:
    """Give the schema of each key of an answer, by the number of the topic that it chooses."""
    levels = list(LEVELS[LEVELS.index(case.floor) : LEVELS.index(case.ceiling) + 1])
    choices: dict[str, tuple[Sequence[str], frozenset[str]]] = {
        str(number): ((look,) if look is not None else (), controls)
        for number, (look, controls) in enumerate(zip(case.look_of, case.controls_of, strict=True), start=1)
    }
    choices[NONE] = (case.looks, frozenset())
    return {
        number: {
            "topic": {"enum": [number]},
            "level": {"enum": levels},
            "assessment": {"type": "string", "minLength": MIN_TEXT, "maxLength": MAX_ASSESSMENT,
                           "pattern": _PLAIN_TEXT if number == NONE else _TEXT},
            "impact": {"type": "string", "minLength": MIN_TEXT, "maxLength": MAX_IMPACT, "pattern": _PLAIN_TEXT},
            "look": {"enum": [*looks, None]},
            "controls": subset([shorten(control) for control in case.controls if control in controls]),
        }
        for number, (looks, controls) in choices.items()
    }  # fmt: skip


def parse_unknown(text: str, case: UnknownCase) -> Answer:
    """Read a model's answer, and hold it to the case again.

    Raises:
        BadResponse: if it is not an answer to this case.
    """
    body = read_answer(text, _KEYS)
    properties = _properties(case)
    number = body["topic"]
    if not isinstance(number, str) or number not in properties:
        raise BadResponse("topic: not one of the candidates")
    for name, rule in properties[number].items():
        value = body[name]
        if "enum" in rule:
            if value not in rule["enum"]:
                raise BadResponse(f"{name}: not one of the candidates")
        elif not isinstance(value, str) or re.fullmatch(rule["pattern"], value) is None:
            raise BadResponse(f"{name}: not of the form that the case allows")
        elif not rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", len(value)):
            raise BadResponse(f"{name}: {len(value)} characters are too few or too many")
    full = {shorten(control): control for control in case.controls}
    return Answer(
        assessment=body["assessment"],
        impact=body["impact"],
        level=body["level"],
        controls=tuple(full[name] for name in body["controls"].split()),
        topic=None if number == NONE else case.topics[int(number) - 1],
        look=body["look"],
    )


def critique_unknown(case: UnknownCase, answer: Answer) -> str | None:
    """Say what is wrong with an answer beyond what a grammar can hold, or None when it stands."""
    if not LEVELS.index(case.floor) <= LEVELS.index(answer.level) <= LEVELS.index(case.ceiling):
        return "level out of its bounds"
    if answer.topic is not None and answer.topic not in case.topics:
        return "a topic that is no candidate"
    if answer.look is not None and answer.look not in case.looks:
        return "a look that is no candidate"
    allowed = frozenset[str]() if answer.topic is None else case.controls_of[case.topics.index(answer.topic)]
    if not set(answer.controls) <= allowed:
        return "a control that the chosen topic is not mapped to"
    known = {*case.tokens, *case.titles}
    if f"{{{SLOT}}}" in answer.impact or (answer.topic is None and f"{{{SLOT}}}" in answer.assessment):
        return "a placeholder that the finding does not have"
    both = f"{answer.assessment} {answer.impact}"
    if any(not any(cited in each for each in known) for cited in CITED.findall(both)):
        return "a number or an id that the case does not hold"
    spoken = re.split(r", | and |,", ", ".join(_SPOKEN.findall(both)))
    if any(word and word not in case.tokens and word != f"{{{SLOT}}}" for word in spoken):
        return "words that the finding does not have"
    return broken_text(answer)
