"""Reads the log of verdicts: one lesson a situation, and a count of what teaches nothing, by reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.analysis.question import Question
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.standing import Standing
from pipeline.review.verdict import Situation, Verdict
from trainer.retrain.lessons import Lesson, TeachesNothing, lesson
from trainer.retrain.retained import NotRetained, Retained, Said, Vocabulary, situation_name

Pool = Mapping[str, tuple[Question, Said]]  # situation → a question about it, and what the rules say


@dataclass(slots=True, frozen=True)
class Gathered:
    """What a log comes to.

    Attributes:
        head: up to where it was read.
        standing: verdicts that count.
        untaught: reason → how many of these teach nothing.
        contradicted: situations on which verdicts that were given disagree; the latest counts.
        replaced: verdicts that count, and give way to a later one on the same situation.
        rebuilt: lessons whose question was not kept, and is that of a made-up host in the same situation.
        unasked: corrections whose question was neither kept nor found; more made-up hosts may raise it.
    """

    head: Head
    standing: int
    lessons: tuple[Lesson, ...]
    untaught: Mapping[str, int] = field(default_factory=dict)
    contradicted: int = 0
    replaced: int = 0
    rebuilt: int = 0
    unasked: int = 0

    def counts(self) -> dict[str, object]:
        """Give plain numbers, for a report."""
        return {
            "standing": self.standing,
            "lessons": len(self.lessons),
            "corrections": sum(one.corrects for one in self.lessons),
            "approvals": sum(not one.corrects for one in self.lessons),
            "below_the_floor": sum(one.clamped for one in self.lessons),
            "untaught": dict(sorted(self.untaught.items())),
            "contradicted": self.contradicted,
            "replaced": self.replaced,
            "rebuilt": self.rebuilt,
            "unasked": self.unasked,
        }


def head_of(state: Path) -> Head:
    """Say how far the log of a state directory goes; an empty head where there is none yet."""
    path = state / FILE_NAME
    if not path.exists():
        return Head()
    with VerdictLog.open(path, read_only=True) as log:
        return log.head()


def read_log(state: Path, upto: int) -> list[Verdict]:
    """Read the verdicts up to a number, each held against the chain.

    Raises:
        LedgerError: when there is no log, or it was tampered with.
    """
    with VerdictLog.open(state / FILE_NAME, read_only=True) as log:
        return [verdict for verdict, _ in log.verdicts(upto=upto)]


def gather(verdicts: list[Verdict], head: Head, vocabulary: Vocabulary, pool: Callable[[], Pool]) -> Gathered:
    """Make lessons of the verdicts that count.

    Args:
        pool: questions of made-up hosts by situation; asked for only where a verdict does not keep its own.
    """
    log = Standing(verdicts, head)
    standing = log.counting
    untaught: Counter[str] = Counter()
    lessons: dict[str, Lesson] = {}
    rebuilt: set[str] = set()
    replaced = unasked = 0
    for verdict in standing:  # the latest first
        verdict = log.approved.get(verdict.seq, verdict)  # what was approved is the correction
        try:
            kept, again = _kept(verdict, vocabulary, pool)
            found = lesson(verdict, kept)
        except TeachesNothing as error:
            untaught[error.why] += 1
            unasked += error.why == "not_retained" and verdict.kind == "correct"
            continue
        if found.situation in lessons:
            replaced += 1
            continue
        lessons[found.situation] = found
        if again:
            rebuilt.add(found.situation)
    return Gathered(
        head=head,
        standing=len(standing),
        lessons=tuple(sorted(lessons.values(), key=lambda one: one.situation)),
        untaught=untaught,
        contradicted=_contradicted(verdicts, vocabulary),
        replaced=replaced,
        rebuilt=len(rebuilt),
        unasked=unasked,
    )


def _kept(verdict: Verdict, vocabulary: Vocabulary, pool: Callable[[], Pool]) -> tuple[Retained, bool]:
    """Give what was asked and shown; else a like question, which is enough for a correction."""
    target = verdict.target.situation
    if target is None:
        raise TeachesNothing("one_finding")
    if verdict.kind == "accept":
        raise TeachesNothing("acceptance")
    try:
        if verdict.case:
            return vocabulary.read(verdict.case), False
        found = pool().get(situation_name(vocabulary.situation(target)))
    except NotRetained as error:
        raise TeachesNothing("not_retained") from error
    if found is None or verdict.kind != "correct":
        raise TeachesNothing("not_retained")
    asked, said = found
    return Retained(asked, vocabulary.severity(asked), said), True


def _contradicted(verdicts: Iterable[Verdict], vocabulary: Vocabulary) -> int:
    said: dict[str, set[object]] = {}
    for verdict in verdicts:
        target = verdict.target.situation
        if target is not None and verdict.kind != "undo":
            said.setdefault(_name(target, vocabulary), set()).add((verdict.kind, verdict.correction))
    return sum(len(one) > 1 for one in said.values())


def _name(target: Situation, vocabulary: Vocabulary) -> str:
    try:
        return situation_name(vocabulary.situation(target))
    except NotRetained:
        return situation_name(target)
