"""Has cases answered as the product does, once each, and compares with what is right."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.analysis.critique import critique
from pipeline.analysis.model import MAX_TOKENS
from pipeline.analysis.prompt import BadResponse, Case, parse_response, render_prompt, response_schema
from pipeline.analysis.question import Answer
from pipeline.engine.errors import EngineError
from pipeline.engine.generator import Generator, Grammar
from pipeline.scorecard.cases import GoldCase
from pipeline.scorecard.measures import Selection, accuracy, mean, percentile, selection, share, weighted_kappa
from pipeline.scorecard.nearest import Nearest

Respond = Callable[[Case], str]  # may raise EngineError
Advance = Callable[[int], None]  # is told how many cases are done

_NUMBER = re.compile(r"\d+")


@dataclass(slots=True, frozen=True)
class Agreement:
    """How far answers agree with what is right, in what is not words."""

    selection: Selection
    controls: Selection
    techniques: Selection
    level_kappa: float
    level: float
    action: float

    def as_json(self) -> dict[str, Any]:
        """Give plain values by name."""
        return asdict(self)


@dataclass(slots=True, frozen=True)
class Response:
    """What a model said to a case.

    Attributes:
        text: as it came; empty where nothing came.
        answer: None where the text is no answer.
        wrong: what is wrong with it, or why there is none; without the numbers, so that equal reasons are counted
            together.
    """

    text: str
    answer: Answer | None
    wrong: str | None
    milliseconds: float


@dataclass(slots=True, frozen=True)
class Scorecard:
    """The scores of one model on one holdout.

    Attributes:
        valid: share of cases with an answer of the right form.
        grounded: share of cases with an answer that `critique` lets stand.
        errors: reason → count, the most frequent first.
        characters: mean length of a response.
        answers: digest of all responses in order.
        baseline: what selecting as the nearest known class does gives.
    """

    cases: int
    valid: float
    grounded: float
    agreement: Agreement
    errors: dict[str, int]
    characters: float
    ms_p50: float
    ms_p95: float
    answers: str
    baseline: Agreement | None

    def as_json(self) -> dict[str, Any]:
        """Give plain values by name; times alone differ between two runs."""
        return {
            "cases": self.cases,
            "valid": self.valid,
            "grounded": self.grounded,
            **self.agreement.as_json(),
            "errors": self.errors,
            "characters": self.characters,
            "answers": self.answers,
            "baseline": self.baseline.as_json() if self.baseline is not None else None,
            "milliseconds": {"p50": self.ms_p50, "p95": self.ms_p95},
        }


def respond_with(generator: Generator) -> Respond:
    """Ask a model as the product does: greedily, under the grammar of the case."""
    return lambda case: generator.generate(render_prompt(case), Grammar.of(response_schema(case)), MAX_TOKENS)


def evaluate(
    respond: Respond,
    cases: Sequence[GoldCase],
    nearest: Nearest | None = None,
    advance: Advance = lambda done: None,
) -> Scorecard:
    """Score a model on a holdout."""
    return scorecard(cases, respond_all(respond, [one.case for one in cases], advance), nearest)


def respond_all(respond: Respond, cases: Sequence[Case], advance: Advance = lambda done: None) -> tuple[Response, ...]:
    """Have each case answered once, in order."""
    responses = []
    for number, case in enumerate(cases, start=1):
        responses.append(_respond(respond, case))
        advance(number)
    return tuple(responses)


def scorecard(cases: Sequence[GoldCase], responses: Sequence[Response], nearest: Nearest | None = None) -> Scorecard:
    """Compare responses with what is right."""
    errors = Counter(one.wrong for one in responses if one.wrong is not None)
    times = [one.milliseconds for one in responses]
    return Scorecard(
        cases=len(cases),
        valid=share(one.answer is not None for one in responses),
        grounded=share(one.wrong is None for one in responses),
        agreement=agreement(cases, [one.answer for one in responses]),
        errors=dict(sorted(errors.items(), key=lambda entry: (-entry[1], entry[0]))),
        characters=mean([len(one.text) for one in responses]),
        ms_p50=percentile(times, 50),
        ms_p95=percentile(times, 95),
        answers=digest_of(responses),
        baseline=agreement(cases, [nearest.answer(one.case) for one in cases]) if nearest is not None else None,
    )


def agreement(cases: Sequence[GoldCase], answers: Sequence[Answer | None]) -> Agreement:
    """Compare answers with the right ones.

    A case without an answer counts as nothing selected, the floor for a level (what the rules would say), and a wrong
    action.
    """
    pairs = [(one.answer, given) for one, given in zip(cases, answers, strict=True)]
    controls = [(right.controls, given.controls if given else ()) for right, given in pairs]
    techniques = [(right.techniques, given.techniques if given else ()) for right, given in pairs]
    levels = [
        (right.level, given.level if given else one.case.floor)
        for one, (right, given) in zip(cases, pairs, strict=True)
    ]
    return Agreement(
        selection=selection([*controls, *techniques]),
        controls=selection(controls),
        techniques=selection(techniques),
        level_kappa=weighted_kappa(levels),
        level=accuracy(levels),
        action=share(given is not None and right.remediation == given.remediation for right, given in pairs),
    )


def digest_of(responses: Sequence[Response]) -> str:
    """Name what was said: equal digests, equal responses in equal order."""
    total = hashlib.sha256()
    for one in responses:
        said = (one.text or f"\0{one.wrong}").encode()
        total.update(len(said).to_bytes(8, "big") + said)
    return total.hexdigest()


def _respond(respond: Respond, case: Case) -> Response:
    text, answer = "", None
    begin = time.perf_counter()
    try:
        text = respond(case)
    except EngineError as error:
        wrong: str | None = f"no answer: {type(error).__name__}"
    else:
        try:
            answer = parse_response(text, case)
            wrong = critique(case, answer)
        except BadResponse as error:
            wrong = f"no answer: {str(error).partition(':')[0]}"
    taken = 1000 * (time.perf_counter() - begin)
    return Response(text, answer, _NUMBER.sub("N", wrong) if wrong is not None else None, taken)
