"""Questions about findings that no class knows, with right answers: asked as in the product, with classes hidden."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pipeline.analysis.question import UNKNOWN, Answer, Question
from pipeline.analysis.unknown import unknown_of
from pipeline.analysis.unknown_prompt import (
    UnknownCase,
    critique_unknown,
    parse_unknown,
    render_unknown,
    render_unknown_response,
    unknown_case,
)
from pipeline.finding import LEVELS, Level
from pipeline.graph.session import ScanSession
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.retrieval.retriever import CANDIDATES, Candidate, Retriever
from pipeline.retrieval.vocabulary import stem, words_in
from pipeline.scorecard.hidden import FOLDS, folds, hide
from trainer.data.dataset import Example
from trainer.data.split import Split
from trainer.data.teacher import Unteachable
from trainer.data.unknown.findings import HEADER, Told, desk_of, of_classes, of_none, of_topics, session_of
from trainer.data.unknown.material import Material, load_unknown_material
from trainer.data.unknown.wording import Wording

# Of classes, of topics, of those two with the right topic taken out of the candidates, and of no topic at all.
_SHARES = {"class": 0.45, "topic": 0.25, "without": 0.2, "none": 0.1}
_FEWEST_HOSTS, _HOSTS = 12, 150  # that findings of classes are taken from
_A_HOST = 20  # examples for which another host is made up
_AT_ONCE = 500  # findings of one scan
_RANKED = 16  # topics that are looked through where the right one is taken out
_ALIKE = 0.8  # of the words of two titles: what is right of the one is hardly wrong of the other
_VALID = 12  # one group of so many is held out

Progress = Callable[[str, int, int], None]


def unknown_examples(
    knowledge: Knowledge,
    seed: int,
    size: int,
    without: int | None,
    progress: Progress = lambda step, done, total: None,
) -> Iterator[Example]:
    """Make about `size` examples, in an order that says nothing; same knowledge and seed, same examples.

    A finding that its new words make one of a known class, or that no topic shares a word with, is left out, since a
    model is not asked about it.

    Args:
        without: a fold of `pipeline.scorecard.hidden` to be measured on: no finding of its classes is among the
            examples, and none about a topic that they name.
    """
    material = load_unknown_material(knowledge)
    chosen = _draw(knowledge, material, seed, size, without)
    made: dict[int, Example] = {}
    answerer = _Answerer(knowledge, material)
    for fold in range(FOLDS):
        left = hide(knowledge, folds(knowledge)[fold])
        desk = desk_of(left)
        drawn = {number: one for number, one in chosen.items() if one.fold == fold}
        for batch in _pieces(sorted(drawn)):
            session = session_of(HEADER, [drawn[number].told.raw for number in batch], desk)
            for seq, number in enumerate(batch):
                example = _example(session, seq, drawn[number], answerer, desk.retriever, f"{seed}/{number}")
                if example is not None:
                    made[number] = example
                progress("unknown findings", len(made), size)
    for number in sorted(made):
        yield made[number]


class _Drawn:
    """A finding in its words, the fold that is hidden when it is asked about, and whether its topic is, too."""

    def __init__(self, told: Told, fold: int, *, without_topic: bool) -> None:
        self.told = told
        self.fold = fold
        self.without_topic = without_topic


def _draw(knowledge: Knowledge, material: Material, seed: int, size: int, without: int | None) -> dict[int, _Drawn]:
    classes = of_classes(knowledge, seed, min(max(size // _A_HOST, _FEWEST_HOSTS), _HOSTS), without)
    topics = of_topics(knowledge, without)
    none = of_none(material)
    wording = Wording(knowledge, material)
    names, ids = sorted(classes), sorted(topics)
    drawn: dict[int, _Drawn] = {}
    for number in range(size):
        rng = random.Random(f"unknown/{seed}/{number}")  # noqa: S311 - variety, not secrecy
        (kind,) = rng.choices(list(_SHARES), list(_SHARES.values()))
        fold = rng.randrange(FOLDS)
        is_class = kind == "class" or (kind == "without" and rng.random() < 0.6)
        if is_class and names:
            told = rng.choice(classes[rng.choice(names)])
            raw = wording.vary(told.raw, rng)
        elif kind == "none":
            told = rng.choice(none)
            raw = wording.about(told.raw, rng) if rng.random() < 0.3 else wording.vary(told.raw, rng)
        else:
            told = topics[rng.choice(ids)]
            raw = wording.about(told.raw, rng)
        drawn[number] = _Drawn(
            replace(told, raw=raw), fold if told.fold is None else told.fold, without_topic=kind == "without"
        )
    return drawn


def _example(
    session: ScanSession, seq: int, drawn: _Drawn, answerer: "_Answerer", retriever: Retriever, name: str
) -> Example | None:
    question, raw = session.question(seq), session.index.findings[seq]
    if not question.class_id.startswith(UNKNOWN) or question.unknown is None:
        return None
    words = retriever.words(raw)
    candidates: Sequence[Candidate] = () if words is None else retriever.candidates(words)
    if drawn.without_topic and words is not None:
        candidates = answerer.others(retriever.search(words, _RANKED), drawn.told.topics)
        question = replace(question, unknown=unknown_of(question.unknown.tokens, candidates, question.unknown.ceiling))
    if not candidates:
        return None
    case, answer = answerer.answer(question, candidates, drawn.told, name)
    family = "none" if answer.topic is None else answer.topic.partition(".")[0]
    return Example(
        prompt=render_unknown(case),
        response=render_unknown_response(case, answer),
        class_id=f"{UNKNOWN}{family}",
        severity=raw.severity,
        situation=drawn.told.group,
        split=_split_of(drawn.told.group),
    )


class _Answerer:
    """Says what is right of a finding that no class knows."""

    def __init__(self, knowledge: Knowledge, material: Material) -> None:
        self._knowledge = knowledge
        self._material = material
        self._titles = {
            topic: frozenset(stem(word) for word in words_in(spec.title)) for topic, spec in knowledge.topics.items()
        }

    def others(self, ranked: Sequence[Candidate], right: Sequence[str]) -> list[Candidate]:
        """Leave out the topics that are right, and those whose titles say nearly the same."""
        titles = [self._titles[topic] for topic in right]

        def is_like(topic: str) -> bool:
            mine = self._titles[topic]
            return any(len(mine & title) >= _ALIKE * max(1, min(len(mine), len(title))) for title in titles)

        return [one for one in ranked if one.topic not in right and not is_like(one.topic)][:CANDIDATES]

    def answer(
        self, question: Question, candidates: Sequence[Candidate], told: Told, name: str
    ) -> tuple[UnknownCase, Answer]:
        """Answer: the right topic if it is among the candidates, else none of them; the words vary with the name.

        Raises:
            Unteachable: if the answer is not one that the product would take.
        """
        case = unknown_case(question, self._knowledge)
        rng = random.Random(f"answer/{name}")  # noqa: S311 - variety, not secrecy
        chosen = next((one for one in candidates if one.topic in told.topics), None)
        level = case.floor if chosen is None or told.level is None else _within(told.level, case)
        if chosen is None:
            answer = Answer(self._said("none", rng), self._material.said["unread"], level)
        else:
            family = self._material.family(chosen.topic)
            place = case.topics.index(chosen.topic)
            raised = self._material.said["raised"] if level != case.floor else ""
            answer = Answer(
                self._said("topic", rng).replace("{about}", family["about"]),
                f"{raised}{family['matters']}",
                level,
                controls=tuple(one for one in case.controls if one in case.controls_of[place]),
                topic=chosen.topic,
                look=case.look_of[place],
            )
        wrong = critique_unknown(case, answer)
        if wrong is not None or parse_unknown(render_unknown_response(case, answer), case) != answer:
            raise Unteachable(f"{told.group}: {wrong}: {answer}")
        return case, answer

    def _said(self, kind: str, rng: random.Random) -> str:
        return str(rng.choice(self._material.said[kind]))


def _within(level: Level, case: UnknownCase) -> Level:
    floor, ceiling = LEVELS.index(case.floor), LEVELS.index(case.ceiling)
    return LEVELS[min(max(LEVELS.index(level), floor), ceiling)]


def _split_of(group: str) -> Split:
    """Hold out whole classes, topics and subjects; the same for every seed."""
    return "valid" if int(digest("unknown split", group)[:8], 16) % _VALID == 0 else "train"


def _pieces(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]
