"""Makes a data set: reports of made-up hosts, read and judged as in the product, answered by the teacher."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.critique import REFUSALS
from pipeline.analysis.prompt import PROMPT_VERSION, render_prompt, render_response
from pipeline.analysis.question import Question
from pipeline.intel.match import load_intel
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from trainer.data.cases import desks, questions
from trainer.data.dataset import HIDDEN_FOLD, REPORTS, TaughtCase, write_dataset
from trainer.data.split import CLASS_HOLDOUT, VALID_SHARE, split_situations
from trainer.data.teacher import Teacher
from trainer.data.unknown.examples import unknown_examples
from trainer.data.world.host import make_host
from trainer.data.world.report import write_report
from trainer.data.written import in_written_words

_CASES_A_REPORT = 60  # new questions that a report gives on average, over the first few hundred; sets their number
_FEWEST_REPORTS, _MOST_REPORTS = 24, 1200
_ASKED_AGAIN = 20
_INDICATORS = ("203.0.113.9", "/tmp/kinsing", "/var/tmp/xmrig", "/dev/shm/.x", "/usr/local/bin/updater", "/tmp/.x/run")  # noqa: S108

Words = Literal["phrases", "knowledge"]
Progress = Callable[[str, int, int], None]


@dataclass(slots=True, frozen=True)
class Result:
    """What was made."""

    digest: str
    reports: int
    situations: int
    splits: dict[str, int]


def synthesise(
    directory: Path,
    knowledge: Knowledge,
    seed: int,
    size: int,
    progress: Progress = lambda step, done, total: None,
    *,
    unknown_share: float = 0.0,
    hide_fold: int | None = None,
    words: Words = "phrases",
) -> Result:
    """Write `size` cases into a directory, with the reports that they come from; same seed, same bytes.

    Classes get cases in proportion to the square root of how many questions they raise, so that the many settings of
    services do not drown a class with one situation; a question that is used again gets other distractors and another
    wording.

    Args:
        unknown_share: of examples about findings that no class knows among all; they come on top of the cases.
        words: of the answers to cases of known classes: the teacher's short phrases, or those of the knowledge where
            it has some that fit (`in_written_words`).
        hide_fold: classes of this fold are in none of those examples (`unknown_examples`).
    """
    reports = min(max(size // _CASES_A_REPORT, _FEWEST_REPORTS), _MOST_REPORTS)
    (directory / REPORTS).mkdir(parents=True, exist_ok=True)
    indicators = directory / "indicators.txt"
    indicators.write_text("".join(f"{line}\n" for line in _INDICATORS), encoding="utf-8")
    ways = desks(knowledge, load_intel([indicators]))
    asked: dict[str, tuple[Question, str]] = {}
    written: dict[str, tuple[tuple[str, str], ...]] = {}
    missing = set(knowledge.classes)
    number = 0
    while number < reports or (missing and number < _MOST_REPORTS):
        name, data = write_report(make_host(knowledge, seed, number))
        (directory / REPORTS / name).write_bytes(data)
        for one in questions(data, ways[_way(number, len(ways))]):
            asked.setdefault(one.question.key, (one.question, one.severity))
            written.setdefault(one.question.key, one.written)
            missing.discard(one.question.class_id)
        number += 1
        progress("reports", number, max(reports, number))
    reports = number
    splits = split_situations(
        ((question.situation, question.class_id, severity) for question, severity in asked.values()), seed
    )
    maker, teacher = CaseMaker(knowledge), Teacher(knowledge)
    chosen = _draw(asked, size, seed)

    def examples() -> Iterator[TaughtCase]:
        for number, (question, severity, wording) in enumerate(chosen):
            # The first wording has the distractors of the product; the others teach to look.
            word = _refused(question, seed, wording) if splits[question.situation] == "train" else None
            if word is None:
                case = maker.case(question, salt=f"{seed}/{wording}" if wording else "")
            else:
                case = maker.case(replace(question, refused=word), attempt=1)
            answer = teacher.answer(case, question, seed + wording)
            if words == "knowledge":
                answer = in_written_words(case, answer, written[question.key])
            yield TaughtCase(
                prompt=render_prompt(case),
                response=render_response(answer),
                class_id=case.class_id,
                severity=severity,
                situation=question.situation,
                split=splits[question.situation],
                case=case,
                wording=wording,
            )
            progress("cases", number + 1, len(chosen))

    more = round(size * unknown_share / (1 - unknown_share))
    unknown = list(unknown_examples(knowledge, seed, more, hide_fold, progress)) if more else []
    used = {question.situation for question, _, _ in chosen}
    name = write_dataset(
        directory,
        examples(),
        {
            "seed": seed, "size": len(chosen), "reports": reports, "questions": len(asked), "situations": len(used),
            "knowledge": knowledge.digest, "prompt": PROMPT_VERSION, "valid_share": VALID_SHARE,
            "class_holdout": CLASS_HOLDOUT, "words": words, **({} if hide_fold is None else {HIDDEN_FOLD: hide_fold}),
        },
        unknown,
    )  # fmt: skip
    counts: Counter[str] = Counter(splits[question.situation] for question, _, _ in chosen)
    counts.update(f"unknown-{one.split}" for one in unknown)
    return Result(name, reports, len(used), dict(sorted(counts.items())))


def _refused(question: Question, seed: int, wording: int) -> str | None:
    """Let one case in twenty be asked as if an answer had been refused, so that a model learns to read that."""
    drawn = int(digest("refused", seed, question.key, wording)[:8], 16)
    return None if drawn % _ASKED_AGAIN else REFUSALS[drawn // _ASKED_AGAIN % len(REFUSALS)]


def _way(number: int, ways: int) -> int:
    """Let most hosts belong to an operator without wishes; each of the other ways gets its share."""
    return 0 if number % 2 == 0 else 1 + (number // 2) % (ways - 1)


def _draw(asked: dict[str, tuple[Question, str]], size: int, seed: int) -> Sequence[tuple[Question, str, int]]:
    by_class: dict[str, list[tuple[Question, str]]] = {}
    for key in sorted(asked, key=lambda one: digest("draw", seed, one)):
        question, severity = asked[key]
        by_class.setdefault("unknown" if question.class_id.startswith("unknown.") else question.class_id, []).append(
            (question, severity)
        )
    weights = {name: len(members) ** 0.5 for name, members in sorted(by_class.items())}
    total = sum(weights.values())
    chosen: list[tuple[Question, str, int]] = []
    for name, weight in weights.items():
        members = by_class[name]
        for number in range(max(1, round(size * weight / total))):
            question, severity = members[number % len(members)]
            chosen.append((question, severity, number // len(members)))
    # In an order that says nothing, so that any beginning of the file is a fair sample.
    chosen.sort(key=lambda entry: digest("order", seed, entry[0].key, entry[2]))
    return chosen[:size]
