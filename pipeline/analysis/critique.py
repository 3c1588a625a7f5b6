"""What is wrong with an answer beyond what a grammar can hold."""

import re

from pipeline.analysis.claims import DIMENSIONS, unsupported
from pipeline.analysis.prompt import MAX_ASSESSMENT, MAX_IMPACT, MIN_TEXT, Case
from pipeline.analysis.question import Answer
from pipeline.finding import LEVELS

CRITIQUE_VERSION = "critique/2"  # part of every analysis key of a model: a change of what is refused recomputes

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
CITED = re.compile(r"\bT\d{4}(?:\.\d{3})?\b|\bCVE-\d+|\b\d+(?:\.\d+)+\b|\b[A-Z]{2}-\d+\b")
_SETTING = re.compile(
    r"\b(?:kernel|net|fs|vm|user)(?:\.[a-z0-9_]+)*\.([a-z0-9_]+)|\b([A-Z][A-Za-z]{3,})="
)  # sysctl, systemd
_WORD = re.compile(r"[a-z]+")
_REPEATED = 5  # as many words in a row, twice, are a loop of the model's
_DOUBT = frozenset(
    {
        "artefact", "artefacts", "cannot", "explained", "false", "harmless", "likely", "mistake", "mistaken", "misread",
        "misreads", "probably", "scanner", "scanners", "wrong",
    }
)  # fmt: skip
_SURE_OF_HARM = re.compile(r"\b(?:is|are) (?:certainly|definitely)\b")


# What a model is told of a refused answer: a word for each reason; the dimension for what the case does not support.
_SUPPORT = re.compile(r"an? ([a-z]+) that the case does not support")
_REFUSALS = {
    "level below the floor": "level",
    "level out of its bounds": "level",
    "an action that does not fit": "action",
    "an action where nothing is to be done": "action",
    "a control or technique that is no candidate": "distractor",
    "a control that the chosen topic is not mapped to": "control",
    "a topic that is no candidate": "topic",
    "a look that is no candidate": "look",
    "a placeholder that the finding does not have": "slot",
    "text that repeats itself": "repetition",
    "a number or an id that the case does not hold": "number",
    "a setting that the case is not about": "setting",
    "words that the finding does not have": "words",
    "no word of the scanner's probable mistake": "doubt",
    "certainty where the scanner is probably wrong": "certainty",
}
_NO_ANSWER = "form"  # too long, broken off, or no answer at all


# All words that there are; those of `DIMENSIONS` stand for themselves.
REFUSALS = tuple(sorted({*_REFUSALS.values(), *DIMENSIONS, _NO_ANSWER}))


def refusal(reason: str | None) -> str:
    """Give the word that a model is told of a refused answer; None is where there was no answer to refuse."""
    found = _SUPPORT.fullmatch(reason or "")
    return found[1] if found is not None else _REFUSALS.get(reason or "", _NO_ANSWER)


def critique(case: Case, answer: Answer) -> str | None:
    """Say what is wrong with an answer beyond what a grammar can hold, or None when it stands."""
    if LEVELS.index(answer.level) < LEVELS.index(case.floor):
        return "level below the floor"
    if answer.remediation is not None and answer.remediation not in case.actions:
        return "an action that does not fit"
    if not set(answer.controls) <= set(case.controls) or not set(answer.techniques) <= set(case.techniques):
        return "a control or technique that is no candidate"
    if (wrong := _overlong(answer)) is not None:
        return wrong
    both = f"{answer.assessment} {answer.impact}"
    for name in _PLACEHOLDER.findall(both):
        if name not in case.placeholders:
            return "a placeholder that the finding does not have"
    if answer.assessment == answer.impact or _loops(both):
        return "text that repeats itself"
    known = {*case.features.values(), *case.techniques, *case.controls, case.title, case.class_id.replace("_", ".")}
    if any(not any(cited in each for each in known) for cited in CITED.findall(both)):
        return "a number or an id that the case does not hold"
    if any(not _is_about(case, name) for pair in _SETTING.findall(both) for name in pair if name):
        return "a setting that the case is not about"
    said = unsupported(case, both)
    if said is not None:
        return f"a {said} that the case does not support"
    return _contradiction(case, answer)


def _contradiction(case: Case, answer: Answer) -> str | None:
    if case.status in ("passed", "accepted", "false_positive") and answer.remediation is not None:
        return "an action where nothing is to be done"
    if case.artefact is None:
        return None
    words = set(_WORD.findall(f"{answer.assessment} {answer.impact}".lower()))
    if not words & _DOUBT:
        return "no word of the scanner's probable mistake"
    if _SURE_OF_HARM.search(answer.assessment) and case.artefact[1] != "cannot_tell":
        return "certainty where the scanner is probably wrong"
    return None


def _is_about(case: Case, setting: str) -> bool:
    """Say whether class, title and features name a setting; a class may shorten what the kernel calls it."""
    known = f"{case.class_id} {case.title} {' '.join(case.features.values())} {' '.join(case.candidates)}"
    words = setting.split("_")
    return 2 * sum(word in known for word in words) > len(words)


def broken_text(answer: Answer) -> str | None:
    """Say what is wrong with the form of an answer's sentences, or None."""
    if (wrong := _overlong(answer)) is not None:
        return wrong
    if answer.assessment == answer.impact or _loops(f"{answer.assessment} {answer.impact}"):
        return "text that repeats itself"
    return None


def _overlong(answer: Answer) -> str | None:
    for name, text, limit in (
        ("assessment", answer.assessment, MAX_ASSESSMENT),
        ("impact", answer.impact, MAX_IMPACT),
    ):
        if not MIN_TEXT <= len(text) <= limit:
            return f"{name} of {len(text)} characters"
        if not text.endswith(".") or "  " in text:
            return f"{name} that breaks off"
    return None


def _loops(text: str) -> bool:
    words = _WORD.findall(text.lower())
    runs = [tuple(words[start : start + _REPEATED]) for start in range(len(words) - _REPEATED + 1)]
    return len(runs) != len(set(runs))
