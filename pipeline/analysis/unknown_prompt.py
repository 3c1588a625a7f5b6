"""What a model is shown of a finding that no class knows, what it may answer, and what is wrong with an answer.

It chooses among the topics that were retrieved, a first look and controls, and writes two sentences. It sees the bag of
filtered words (`pipeline/retrieval/filter.py`), never the finding's text, and its sentences hold no placeholder and no
sign that means something to a shell.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.analysis.case import MAX_BY_FRAMEWORK
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
from pipeline.retrieval.retriever import look_for

QUESTION = "unknown/1"  # in the `questions` of a model's record: it was trained on these

NONE = "0"  # stands for: none of these topics
MAX_WORDS = 32
MAX_CONTROLS = 12

_TEXT = r"^[A-Z][A-Za-z0-9 ,'()-]*(?:[.;:] ?[A-Za-z0-9 ,'()-]+)*\.$"


@dataclass(slots=True, frozen=True)
class UnknownCase:
    """What a model is shown; closed vocabulary only.

    Attributes:
        tokens: words, names and kinds that are left of the finding's texts.
        topics: ids, the likeliest first; the prompt numbers them from 1.
        titles: theirs.
        controls: ``framework:id``, those of all topics, sorted.
        controls_of: for each topic those of `controls` that it is mapped to.
        looks: ids of the first looks that fit any of the topics, sorted.
        floor, ceiling: the least and the highest level that an answer may give.
    """

    tokens: tuple[str, ...]
    topics: tuple[str, ...]
    titles: tuple[str, ...]
    controls: tuple[str, ...]
    controls_of: tuple[frozenset[str], ...]
    looks: tuple[str, ...]
    floor: Level
    ceiling: Level


def unknown_case(question: Question, knowledge: Knowledge) -> UnknownCase:
    """Make the case of a question about a finding that no class knows.

    Raises:
        ValueError: if the question is about another.
    """
    asked = question.unknown
    if asked is None:
        raise ValueError(f"a question about {question.class_id}")
    mapped = tuple(_foremost(knowledge, topic) for topic in asked.topics)
    room = list(dict.fromkeys(control for controls in mapped for control in controls))[:MAX_CONTROLS]
    return UnknownCase(
        tokens=asked.tokens[:MAX_WORDS],
        topics=asked.topics,
        titles=tuple(knowledge.topics[topic].title for topic in asked.topics),
        controls=tuple(sorted(room)),
        controls_of=tuple(frozenset(controls) & frozenset(room) for controls in mapped),
        looks=tuple(sorted({look for topic in asked.topics if (look := look_for(knowledge, topic)) is not None})),
        floor=question.floor,
        ceiling=asked.ceiling,
    )


def render_unknown(case: UnknownCase) -> str:
    """Write the instruction; one case, one text."""
    body: dict[str, Any] = {
        "class": "unknown",
        "words": listed(case.tokens),
        "topics": {str(number): title for number, title in enumerate(case.titles, start=1)},
        "looks": listed(case.looks),
        "controls": listed(map(shorten, case.controls)),
        "floor": case.floor,
        "ceiling": case.ceiling,
    }
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
    """Give the JSON schema of all answers to a case; the order of the keys is part of it."""
    floor, ceiling = LEVELS.index(case.floor), LEVELS.index(case.ceiling)
    properties: dict[str, Any] = {
        "topic": {"enum": [*(str(number) for number in range(1, len(case.topics) + 1)), NONE]},
        "level": {"enum": list(LEVELS[floor : ceiling + 1])},
        "assessment": {"type": "string", "minLength": MIN_TEXT, "maxLength": MAX_ASSESSMENT, "pattern": _TEXT},
        "impact": {"type": "string", "minLength": MIN_TEXT, "maxLength": MAX_IMPACT, "pattern": _TEXT},
        "look": {"enum": [*case.looks, None]},
        "controls": subset(list(map(shorten, case.controls))),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse_unknown(text: str, case: UnknownCase) -> Answer:
    """Read a model's answer, and hold it to the case again.

    Raises:
        BadResponse: if it is not an answer to this case.
    """
    schema = unknown_schema(case)
    body = read_answer(text, schema["required"])
    for name, rule in schema["properties"].items():
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
        topic=None if body["topic"] == NONE else case.topics[int(body["topic"]) - 1],
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
    both = f"{answer.assessment} {answer.impact}"
    if any(not any(cited in each for each in known) for cited in CITED.findall(both)):
        return "a number or an id that the case does not hold"
    return broken_text(answer)


def _foremost(knowledge: Knowledge, topic: str) -> list[str]:
    """List the controls of a topic that a prompt has room for, the strongest claims of each framework."""
    room = dict(MAX_BY_FRAMEWORK)
    taken: list[str] = []
    for ref in knowledge.topics[topic].controls:
        if ref.caution is None and room.get(ref.framework, 0) > 0:
            room[ref.framework] -= 1
            taken.append(f"{ref.framework}:{ref.control}")
    return taken
