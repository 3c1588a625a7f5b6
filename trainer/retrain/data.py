"""The data of a retraining: lessons and a replay sample to train on, and the held-out verdicts to be measured on.

A replay sample keeps a model from forgetting what the verdicts are not about. It says nothing where reviewers have
spoken: cases of the same scanner, status and features as a situation that was corrected stay out of it, whatever their
class, since a model that is shown the rules' answer there learns that the correction is an exception. What stands
there in its place is the correction, carried to situations of made-up hosts (`trainer.retrain.carrying`).
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.prompt import Case, render_prompt, render_response
from pipeline.analysis.question import Question
from pipeline.finding import LEVELS
from pipeline.graph.resources import Resources
from pipeline.intel.match import load_intel
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.review.chain import Head
from pipeline.review.verdict import Verdict
from pipeline.rules.policy import Policy
from pipeline.rules.signs import Subject, strongest
from pipeline.scorecard.cases import GoldCase, read_gold, write_gold
from pipeline.scorecard.holdouts import Holdouts, read_holdouts
from trainer.data.cases import questions
from trainer.data.dataset import (
    HIDDEN_FOLD,
    REPORTS,
    SPLITS,
    Example,
    TaughtCase,
    read_cases,
    read_unknown,
    write_dataset,
)
from trainer.data.phrases import Material as PhraseBook
from trainer.data.phrases import load_material
from trainer.data.rubric import rule
from trainer.data.synth import synthesise
from trainer.data.teacher import Teacher
from trainer.retrain.carrying import carry, contrast, is_like
from trainer.retrain.decided import Decided, decided
from trainer.retrain.gather import Gathered, Pool, gather
from trainer.retrain.lessons import Lesson, TeachesNothing, case_and_answer
from trainer.retrain.retained import Said, Vocabulary
from trainer.retrain.split import held_out
from trainer.settings import RetrainSettings

LESSONS = "lessons.jsonl"
HELD_OUT = "held-out.jsonl.gz"
DECIDED = "decided.json"
FACTS = "facts.json"
SYNTHETIC = "synthetic"
_LEAST_OF_A_CLASS = 16  # cases in a replay sample
_UNKNOWN_SHARE = 0.15  # of a replay sample, where findings that no class knows are part of it

Progress = Callable[[str, int, int], None]


@dataclass(slots=True, frozen=True)
class Rehearsal:
    """What else the replay sample holds, since the incumbent knows it and its candidate is to be asked it as well.

    Attributes:
        unknown: questions about findings that no class knows.
        hide_fold: a fold of classes that none of these is about, as in the training of the incumbent; None: all.
    """

    unknown: bool = False
    hide_fold: int | None = None


@dataclass(slots=True, frozen=True)
class Material:
    """What a retraining works with, in memory.

    Attributes:
        taught: lessons with their cases as the product asks them.
        carried: likewise, of corrections that were carried to situations nobody has reviewed.
        measured: held-out verdicts.
        decided: frozen cases whose key reviewers contradict.
        train, valid: the splits that are trained on and watched; no situation of `measured` is in them.
        counts: for the report.
    """

    taught: Sequence[tuple[Lesson, TaughtCase]]
    carried: Sequence[tuple[Lesson, TaughtCase]]
    measured: Sequence[GoldCase]
    decided: Decided
    train: Sequence[TaughtCase]
    valid: Sequence[TaughtCase]
    counts: dict[str, Any]


def prepare(
    directory: Path,
    verdicts: list[Verdict],
    head: Head,
    knowledge: Knowledge,
    settings: RetrainSettings,
    progress: Progress = lambda step, done, total: None,
    rehearsal: Rehearsal = Rehearsal(),
) -> dict[str, Any]:
    """Write a data set directory, what is taught (``lessons.jsonl``), and the held-out verdicts; gives the counts."""
    synthetic = directory / SYNTHETIC
    synthetic.mkdir(parents=True)
    synthesise(
        synthetic, knowledge, settings.seed, settings.replay, progress,
        unknown_share=_UNKNOWN_SHARE if rehearsal.unknown else 0.0, hide_fold=rehearsal.hide_fold,
    )  # fmt: skip
    replayed = [one for split in SPLITS for one in read_cases(synthetic, split)]
    vocabulary = Vocabulary(knowledge, _clean(replayed))
    pool = cache(lambda: _pool(synthetic, knowledge))
    found = gather(verdicts, head, vocabulary, pool)
    material = compose(found, replayed, pool(), knowledge, settings)
    unknown = [one for split in SPLITS for one in read_unknown(synthetic, split)]
    if unknown:
        material.counts["unknown_replayed"] = sum(one.split == "train" for one in unknown)
    facts: dict[str, Any] = {"seed": settings.seed, "knowledge": knowledge.digest}
    if rehearsal.hide_fold is not None:
        facts[HIDDEN_FOLD] = rehearsal.hide_fold
    write_material(directory, material, facts, unknown)
    return material.counts


def write_material(directory: Path, material: Material, facts: dict[str, Any], unknown: Iterable[Example] = ()) -> None:
    """Write a data set, what is taught, and the held-out verdicts into a directory that is there.

    Args:
        unknown: examples of findings that no class knows.
    """
    write_dataset(directory, [*material.train, *material.valid], {**facts, "counts": material.counts}, unknown)
    write_gold(directory / HELD_OUT, material.measured)
    (directory / DECIDED).write_bytes(orjson.dumps(material.decided, option=orjson.OPT_SORT_KEYS))
    (directory / LESSONS).write_bytes(b"".join(case.as_json() + b"\n" for _, case in material.taught))
    (directory / FACTS).write_bytes(orjson.dumps(material.counts, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def preview(verdicts: list[Verdict], head: Head, knowledge: Knowledge, settings: RetrainSettings) -> dict[str, Any]:
    """Say what a retraining would learn from, without making anything: the counts that `prepare` gives.

    Words of features are those of the frozen holdouts, so that a rare one may be counted as unknown here.
    """
    nothing: Pool = {}
    found = gather(verdicts, head, Vocabulary(knowledge, _clean(())), lambda: nothing)
    return compose(found, (), nothing, knowledge, settings).counts


def compose(
    found: Gathered, replayed: Iterable[TaughtCase], pool: Pool, knowledge: Knowledge, settings: RetrainSettings
) -> Material:
    """Divide and compose what was gathered; pure, same input and seed, same material.

    Args:
        pool: situations that a correction may be carried to.
    """
    frozen = _frozen()
    lessons = sorted(found.lessons, key=lambda one: -one.seq)[: settings.most_lessons]
    apart = held_out((one.situation for one in lessons), {one.situation for one in _cases(frozen)})
    maker, teacher = CaseMaker(knowledge), Teacher(knowledge, _material())
    taught: list[tuple[Lesson, TaughtCase]] = []
    measured: list[GoldCase] = []
    in_words = _all_taught(lessons, maker, teacher, settings.seed)
    for one, case in in_words:
        if one.situation in apart:
            measured.append(_gold(one, maker, teacher, settings.seed))
        else:
            taught.append((one, case))
    # Two situations may look the same to a model.
    seen = {render_prompt(one.case) for one in measured}
    taught = [(one, case) for one, case in taught if case.prompt not in seen]
    spoken = {one.situation for one in lessons}
    kept = {one.situation for one in _cases(frozen)} | spoken
    unseen = seen | {render_prompt(one.case) for one in _cases(frozen)}
    free = [pool[name] for name in sorted(pool) if name not in kept]
    trained = [one for one, _ in taught]
    meant = carry(trained, free)
    beside = contrast(meant, lessons, free, settings.seed)

    def worded(found: Iterable[Lesson]) -> list[tuple[Lesson, TaughtCase]]:
        told = _all_taught(found, maker, teacher, settings.seed)
        return [(one, case) for one, case in told if case.prompt not in unseen]

    carried, contrasted = worded(meant), worded(beside)
    raised = worded(_raised(free, lessons, knowledge))
    replay = [one for one in _replay(replayed, kept, lessons) if one.prompt not in unseen]
    again = [one for one in _rare(free, replay, lessons, maker, teacher, settings.seed) if one.prompt not in unseen]
    watched = replay[: len(taught)]
    replay = replay[len(watched) :]
    repeats = _repeats(len(taught) + len(carried), len(replay), settings)
    train = [
        _taught(one, maker, teacher, settings.seed, wording)
        for one, _ in (*taught, *carried, *contrasted)
        for wording in range(repeats)
    ]
    train += [*replay, *(case for _, case in raised), *again]
    train.sort(key=lambda one: digest("order", settings.seed, one.prompt, one.response, one.wording))
    otherwise = decided(trained, lessons, frozen.cases)
    counts = {
        **found.counts(),
        "no_words": len(lessons) - len(in_words),
        "trained": len(taught),
        "trained_corrections": sum(one.corrects for one, _ in taught),
        "held_out": len(measured),
        "carried": len(carried),
        "contrasted": len(contrasted),
        "raised": len(raised),
        "repeats": repeats,
        "replayed": len(replay),
        "rare": len(again),
        "frozen": {holdout: len(cases) for holdout, cases in frozen.cases.items()},
        "decided_otherwise": {holdout: len(places) for holdout, places in otherwise.items()},
    }
    valid = [replace(case, split="valid") for case in (*(case for _, case in taught), *watched)]
    return Material(taught, carried, measured, otherwise, train, valid, counts)


def read_held_out(directory: Path) -> tuple[GoldCase, ...]:
    """Read the held-out verdicts that `prepare` wrote.

    Raises:
        ConfigError: if they cannot be read.
    """
    return read_gold(directory / HELD_OUT, "remove it, and start the retraining anew")


def read_decided(directory: Path) -> Decided:
    """Read which frozen cases reviewers decide otherwise, as `prepare` wrote it."""
    body = orjson.loads((directory / DECIDED).read_bytes())
    return {holdout: tuple(places) for holdout, places in body.items()}


def _taught(one: Lesson, maker: CaseMaker, teacher: Teacher, seed: int, wording: int) -> TaughtCase:
    case, answer = case_and_answer(one, maker, teacher, seed, wording)
    return TaughtCase(
        prompt=render_prompt(case),
        response=render_response(answer),
        class_id=case.class_id,
        severity=one.severity,
        situation=one.situation,
        split="train",
        case=case,
        wording=wording,
    )


def _gold(one: Lesson, maker: CaseMaker, teacher: Teacher, seed: int) -> GoldCase:
    case, answer = case_and_answer(one, maker, teacher, seed)
    return GoldCase(case, answer, one.severity, one.situation)


def _raised(pool: Iterable[tuple[Question, Said]], lessons: Sequence[Lesson], knowledge: Knowledge) -> Iterator[Lesson]:
    """Give situations that a sign raises as if it were not counted yet, with the level that it asks for.

    The rules count signs themselves, so no question shows a level that is to be raised, and a model that is never shown
    one forgets how: then a reviewer who raises levels speaks against all that is replayed.
    """
    corrected = [one for one in lessons if one.corrects]
    for asked, said in pool:
        spec = knowledge.classes.get(asked.class_id)
        below = LEVELS.index(asked.floor) - 1
        if spec is None or below < 0 or any(is_like(one.question, asked) for one in corrected):
            continue
        subject = Subject(asked.class_id, spec.category, asked.features, is_doubtless=False)
        sign = strongest(subject, LEVELS[below])
        if sign is not None and sign[1] == asked.floor == said.level:
            yield Lesson(replace(asked, floor=LEVELS[below]), LEVELS[below], said, said, False, False, 0, "")


def _rare(
    pool: Sequence[tuple[Question, Said]], replay: Iterable[TaughtCase], lessons: Sequence[Lesson],
    maker: CaseMaker, teacher: Teacher, seed: int,
) -> Iterator[TaughtCase]:  # fmt: skip
    """Give more cases of classes that a replay sample holds hardly any of, in other words and with other distractors.

    Most situations of some classes are in the frozen holdouts, so that a case or two is left to replay, and what the
    incumbent says of such a class changes with whatever is learned of others.
    """
    corrected = [one for one in lessons if one.corrects]
    counts = Counter(one.class_id for one in replay)
    by_class: dict[str, list[Lesson]] = {}
    for asked, said in pool:
        name = maker.class_of(asked)
        if counts[name] < _LEAST_OF_A_CLASS and not any(is_like(one.question, asked) for one in corrected):
            by_class.setdefault(name, []).append(Lesson(asked, asked.floor, said, said, False, False, 0, ""))
    for name, members in sorted(by_class.items()):
        for number in range(_LEAST_OF_A_CLASS - counts[name]):
            with suppress(TeachesNothing):
                yield _taught(members[number % len(members)], maker, teacher, seed, 1 + number // len(members))


def _all_taught(
    lessons: Iterable[Lesson], maker: CaseMaker, teacher: Teacher, seed: int
) -> list[tuple[Lesson, TaughtCase]]:
    """Put lessons into words; those that cannot be are left out."""
    found = []
    for one in lessons:
        with suppress(TeachesNothing):
            found.append((one, _taught(one, maker, teacher, seed, 0)))
    return found


def _replay(replayed: Iterable[TaughtCase], kept: Collection[str], lessons: Sequence[Lesson]) -> list[TaughtCase]:
    """Leave out what models are measured on, what was reviewed, and what reviewers have spoken about."""
    corrected = [one.question for one in lessons if one.corrects]
    return [
        replace(one, split="train")
        for one in replayed
        if one.situation not in kept and not any(is_like(asked, one.case) for asked in corrected)
    ]


def _repeats(taught: int, replay: int, settings: RetrainSettings) -> int:
    """Say how often a lesson comes, so that lessons are so much of the whole."""
    if not taught:
        return 0
    wanted = settings.lesson_share / (1 - settings.lesson_share) * replay / taught
    return max(1, min(settings.most_repeats, round(wanted)))


def _clean(replayed: Iterable[TaughtCase]) -> Iterable[Case]:
    """Give cases that no host had a part in."""
    return [*(one.case for one in _cases(_frozen())), *(one.case for one in replayed)]


@cache
def _material() -> PhraseBook:
    """Read the teacher's sentences once."""
    return load_material()


@cache
def _frozen() -> Holdouts:
    """Read the holdouts of the package once."""
    return read_holdouts()


def _cases(frozen: Holdouts) -> list[GoldCase]:
    return [one for cases in frozen.cases.values() for one in cases]


def _pool(synthetic: Path, knowledge: Knowledge) -> Pool:
    """Give a question for each situation of the made-up hosts, with what the rules say."""
    resources = Resources(knowledge, Policy(), load_intel([]), version="trainer")
    maker = CaseMaker(knowledge)
    found: dict[str, tuple[Question, Said]] = {}
    for path in sorted((synthetic / REPORTS).glob("*")):
        for one in questions(path.read_bytes(), resources):
            asked = one.question
            if asked.situation not in found:
                ruling = rule(maker.case(asked), asked, knowledge)
                said = Said(ruling.level, ruling.action, ruling.controls, ruling.techniques)
                found[asked.situation] = asked, said
    return found
