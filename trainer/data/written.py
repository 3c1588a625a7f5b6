"""The handwritten texts of the knowledge as answers: with placeholders for values, and as long as an answer may be."""

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import (
    MAX_ASSESSMENT,
    MAX_IMPACT,
    BadResponse,
    Case,
    parse_response,
    render_response,
)
from pipeline.analysis.question import Answer

_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z{/])")


def in_written_words(case: Case, answer: Answer, written: Sequence[tuple[str, str]]) -> Answer:
    """Give a right answer the words that the knowledge has for its finding, or leave its own.

    Whole sentences are kept from the first on, as many as an answer has room for. Its own words stay where an operator
    has settled the finding, where a text needs a value that the case has no placeholder for, or a sign that an answer
    cannot hold, and where `critique` would refuse it.
    """
    if case.status in ("accepted", "false_positive"):
        return answer
    for assessment, impact in written:
        said = replace(answer, assessment=_cut(assessment, MAX_ASSESSMENT), impact=_cut(impact, MAX_IMPACT))
        try:
            if parse_response(render_response(said), case) == said and critique(case, said) is None:
                return said
        except BadResponse:
            continue
    return answer


def _cut(text: str, most: int) -> str:
    """Keep as many whole sentences as there is room for; none is an empty text."""
    kept = ""
    for sentence in _SENTENCE.split(text):
        longer = f"{kept} {sentence}".strip()
        if len(longer) > most:
            break
        kept = longer
    return kept
