"""What a model is shown of a finding, what it may answer, and what is wrong with an answer.

Nothing here knows a value that a host's owner chose: a `Case` holds words of our own lists only, and the text
that comes back holds placeholders (``{path}``) where a value belongs.

Lists stand in one string, each item after a blank: a tokenizer made for this text then spends one token on an
item, the same one in prompt and answer. What is common to all findings of a class stands first, so that an engine
which keeps the tokens of the last prompt computes it once.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.analysis.question import Answer
from pipeline.finding import LEVELS, Level, Status

PROMPT_VERSION = "prompt/1"  # part of every analysis key: a change of prompt, schema or critique recomputes

INSTRUCTION = "### Instruction:\nAnalyze the following security finding and provide an assessment:\n"
RESPONSE = "\n### Response:\n"

MAX_ASSESSMENT = 240  # characters; the teacher keeps to 200, so that a model is seldom cut
MAX_IMPACT = 160
MIN_TEXT = 5  # "None."

_SHORT = {"nist_800_53_r5": "n53", "nist_csf_2_0": "csf", "pci_dss_4_0": "pci", "hipaa": "hip"}

# Printable ASCII that stands in a JSON string as it is, without the braces of placeholders.
_PLAIN = r"[ !#-\[\]-z|~]"
_FIRST = "[A-Za-z0-9/]"
_TEXT = re.compile(rf"(?:{_FIRST}|\{{[^{{}}]+\}})(?:{_PLAIN}|\{{[^{{}}]+\}})*\.")
_NAMED = re.compile(r"\{([^{}]+)\}")
_KEYS = ("level", "assessment", "impact", "action", "controls", "techniques")


class BadResponse(ValueError):
    """Raised when a model's text is not an answer to the case: cut short, or made without its grammar."""


@dataclass(slots=True, frozen=True)
class Case:
    """What a model is shown of a question; closed vocabulary only.

    Attributes:
        candidates: ids of the classes that remain possible where `class_id` is ``ambiguous``.
        title: the class's own, from the knowledge.
        floor: the lowest level that an answer may give.
        placeholders: names of the slots that every finding with this question has, sorted.
        context: ids of correlation rules that hold around the finding, sorted; ``threat_intel`` for an indicator.
        artefact: (id, degree) of what the scanner probably gets wrong here.
        controls: ``framework:id``, sorted; those that the knowledge maps, and distractors.
        techniques: ATT&CK ids, likewise.
        actions: ids of remediations that fit, sorted; `barred` are further ones that would break something.
        refused: asked again, what was wrong with the first answer, in a word.
    """

    class_id: str
    category: str
    title: str
    status: Status
    floor: Level
    features: dict[str, str]
    candidates: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    artefact: tuple[str, str] | None = None
    controls: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    refused: str | None = None


def render_prompt(case: Case) -> str:
    """Write the instruction that a model was trained on; one case, one text."""
    body: dict[str, Any] = {
        "class": case.class_id,
        "title": case.title,
        "category": case.category,
        "controls": listed(map(shorten, case.controls)),
        "techniques": listed(case.techniques),
        "slots": listed(case.placeholders),
        "status": case.status,
        "actions": listed(case.actions),
        "floor": case.floor,
        "features": dict(sorted(case.features.items())),
    }
    # What most cases lack costs tokens only where it is there.
    if case.candidates:
        body["candidates"] = listed(case.candidates)
    if case.context:
        body["context"] = listed(case.context)
    if case.artefact is not None:
        body["artefact"] = listed(case.artefact)
    if case.barred:
        body["barred"] = listed(case.barred)
    if case.refused is not None:
        body["refused"] = case.refused
    return f"{INSTRUCTION}{orjson.dumps(body).decode()}{RESPONSE}"


def render_response(answer: Answer) -> str:
    """Write an answer as a model gives it."""
    return orjson.dumps(
        {
            "level": answer.level,
            "assessment": answer.assessment,
            "impact": answer.impact,
            "action": answer.remediation,
            "controls": listed(map(shorten, answer.controls)),
            "techniques": listed(answer.techniques),
        }
    ).decode()


def response_schema(case: Case) -> dict[str, Any]:
    """Give the JSON schema of all answers to a case; the order of the keys is part of it.

    Lists are strings whose pattern takes each candidate once, in the order of the prompt.
    """
    text = _text_pattern(case.placeholders)
    properties: dict[str, Any] = {
        "level": {"enum": list(LEVELS[LEVELS.index(case.floor) :])},
        "assessment": {"type": "string", "minLength": MIN_TEXT, "maxLength": MAX_ASSESSMENT, "pattern": text},
        "impact": {"type": "string", "minLength": MIN_TEXT, "maxLength": MAX_IMPACT, "pattern": text},
        "action": {"enum": [*case.actions, None]},
        "controls": subset(list(map(shorten, case.controls))),
        "techniques": subset(case.techniques),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(_KEYS),
        "additionalProperties": False,
    }


def read_answer(text: str, keys: Sequence[str]) -> dict[str, Any]:
    """Read the object of an answer.

    Raises:
        BadResponse: if it is not JSON, or has not these keys in this order.
    """
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadResponse(f"not JSON: {error}") from error
    if not isinstance(body, dict) or tuple(body) != tuple(keys):
        raise BadResponse("not an object with the keys of an answer, in their order")
    return body


def parse_response(text: str, case: Case) -> Answer:
    """Read a model's answer, and hold it to the case again; the grammar is no proof.

    Raises:
        BadResponse: if it is not an answer to this case.
    """
    body = read_answer(text, _KEYS)
    if body["level"] not in LEVELS[LEVELS.index(case.floor) :]:
        raise BadResponse("level: not one of the candidates")
    if body["action"] not in (*case.actions, None):
        raise BadResponse("action: not one of the candidates")
    full = {shorten(control): control for control in case.controls}
    for name, fits in (
        ("assessment", _is_text(body["assessment"], case, MAX_ASSESSMENT)),
        ("impact", _is_text(body["impact"], case, MAX_IMPACT)),
        ("controls", _is_subset(body["controls"], full)),
        ("techniques", _is_subset(body["techniques"], case.techniques)),
    ):
        if not fits:
            raise BadResponse(f"{name}: not of the form that the case allows")
    return Answer(
        assessment=body["assessment"],
        impact=body["impact"],
        level=body["level"],
        techniques=tuple(body["techniques"].split()),
        controls=tuple(full[name] for name in body["controls"].split()),
        remediation=body["action"],
    )


def shorten(control: str) -> str:
    """Give the form of ``framework:id`` that prompts use."""
    framework, _, name = control.partition(":")
    return f"{_SHORT.get(framework, framework)}:{name}"


def _text_pattern(placeholders: Sequence[str]) -> str:
    named = "|".join(rf"\{{{name}\}}" for name in placeholders)
    first, further = (f"(?:{_FIRST}|{named})", f"(?:{_PLAIN}|{named})") if named else (_FIRST, _PLAIN)
    return rf"^{first}{further}*\.$"


def subset(items: Sequence[str]) -> dict[str, Any]:
    """Take each item once at most, in order, as `listed` writes them."""
    return {"type": "string", "pattern": "^" + "".join(f"(?: {re.escape(item)})?" for item in items) + "$"}


def _is_text(value: object, case: Case, most: int) -> bool:
    """Say what the pattern of `response_schema` would, without compiling one for each case."""
    if not isinstance(value, str) or not MIN_TEXT <= len(value) <= most or _TEXT.fullmatch(value) is None:
        return False
    return all(name in case.placeholders for name in _NAMED.findall(value))


def _is_subset(value: object, items: Iterable[str]) -> bool:
    if not isinstance(value, str):
        return False
    chosen = frozenset(value.split())
    return value == listed(item for item in items if item in chosen)


def listed(items: Any) -> str:
    """Write a list as prompts have it: each item after a blank."""
    return "".join(f" {item}" for item in items)
