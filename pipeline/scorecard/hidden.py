"""What becomes of real findings whose classes are hidden from the knowledge, beside what the whole knowledge says.

Classes that share a topic are hidden together; topics stay, since they are what is to be found. Each of five folds
hides about a fifth of the classes, and is answered by the product with the rest.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.classes.classify import Classifier
from pipeline.classes.compiled import CompiledClasses
from pipeline.finding import ParsedReport, RawFinding, ScanHeader
from pipeline.knowledge.schema import Knowledge

FOLDS: Final = 5
PER_CLASS = 8  # findings of a class that are measured, different ones, drawn by a hash
_RESAMPLES = 2_000
_PREFIXES: Final[Mapping[str, str]] = {
    "apparmor": "mac", "selinux": "mac", "mac": "mac", "audit": "audit", "boot": "boot", "kernel": "boot",
    "container": "container", "dir": "file", "file": "file", "signature": "file", "package": "package",
    "process": "process", "sysctl": "sysctl", "systemd": "unit", "mount": "mount", "disk": "mount", "module": "module",
    "listener": "network", "service": "service", "logging": "logging",
}  # fmt: skip


@dataclass(slots=True, frozen=True)
class Gold:
    """A finding with what the whole knowledge says of it.

    Attributes:
        group: what it is weighed with: its class, or its kind.
        topics: any of them is right; empty where none of ours is.
        controls: ``framework:id``, cautions left out.
        subjects: the kinds of thing that its actions are about; empty where it has none that changes or looks at one.
        level: what the rules say; None where nobody said it.
    """

    header: ScanHeader
    raw: RawFinding
    group: str
    topics: tuple[str, ...]
    controls: frozenset[str] = frozenset()
    subjects: frozenset[str] = frozenset()
    level: str | None = None


@dataclass(slots=True, frozen=True)
class Said:
    """What the product says of a finding: its topics, the likeliest first, and what follows from them."""

    topics: tuple[str, ...] = ()
    controls: frozenset[str] = frozenset()
    subject: str | None = None
    level: str | None = None


Answerer = Callable[[Knowledge, Sequence[Gold]], Sequence[Said]]


@dataclass(slots=True, frozen=True)
class Score:
    """The measures of one finding; None where there is nothing to compare with."""

    top1: float | None
    top3: float | None
    controls: float | None
    action: float | None
    level: float | None


MEASURES: Final = ("top1", "top3", "controls", "action", "level")


@dataclass(slots=True, frozen=True)
class Interval:
    """A mean over groups, with the middle 95 % of what it is when groups are drawn anew."""

    mean: float
    low: float
    high: float


@dataclass(slots=True)
class Column:
    """The scores of one way of answering, by group."""

    scores: dict[str, list[Score]] = field(default_factory=lambda: defaultdict(list))

    def interval(self, measure: str) -> Interval | None:
        """Give a measure over groups: each group counts once, however many findings it has."""
        means = [value for value in self.means(measure).values() if value is not None]
        return bootstrap(means) if means else None

    def means(self, measure: str) -> dict[str, float | None]:
        """Give a measure for each group."""
        found: dict[str, float | None] = {}
        for group, scores in sorted(self.scores.items()):
            values = [value for score in scores if (value := getattr(score, measure)) is not None]
            found[group] = sum(values) / len(values) if values else None
        return found


def components(knowledge: Knowledge) -> list[tuple[str, ...]]:
    """Divide the classes that have topics into those that share one, directly or over others."""
    of: dict[str, set[str]] = {}
    for class_id, spec in sorted(knowledge.classes.items()):
        topics = {ref.topic for ref in spec.topics}
        if not topics:
            continue
        merged = {class_id}.union(*(of[topic] for topic in topics if topic in of))
        for name in merged:
            for ref in knowledge.classes[name].topics:
                of[ref.topic] = merged
    return sorted({tuple(sorted(group)) for group in of.values()})


def folds(knowledge: Knowledge) -> list[tuple[str, ...]]:
    """Divide classes into folds of about equal size, those that share a topic into one; same knowledge, same folds."""
    parts: list[list[str]] = [[] for _ in range(FOLDS)]
    for group in sorted(components(knowledge), key=lambda names: (-len(names), _order("\0".join(names)))):
        min(parts, key=len).extend(group)
    return [tuple(sorted(part)) for part in parts]


def hide(knowledge: Knowledge, classes: Iterable[str]) -> Knowledge:
    """Take classes out of a knowledge, with all that is said of them; topics, controls and other classes stay."""
    hidden = set(classes)
    kept = {name: spec for name, spec in knowledge.classes.items() if name not in hidden}
    return knowledge.model_copy(update={"classes": kept, "correlations": {}, "selections": {}, "artefacts": {}})


def find(knowledge: Knowledge, reports: Iterable[ParsedReport]) -> dict[str, list[tuple[ScanHeader, RawFinding]]]:
    """Collect the findings of reports by class: different ones, and at most `PER_CLASS` of each."""
    classes = CompiledClasses(knowledge, "default")
    found: dict[str, dict[str, tuple[ScanHeader, RawFinding]]] = defaultdict(dict)
    for report in reports:
        classifier = Classifier(classes, report.header, "host")
        for raw in report.findings:
            if raw.title is None or raw.scanner is None:
                continue  # NDJSON and SARIF leave out what an unknown finding is told by
            classified = classifier.classify(raw)
            if classified.class_id in knowledge.classes and classified.class_basis == "exact":
                name = "\0".join((raw.id, raw.title, raw.description or ""))
                found[classified.class_id].setdefault(name, (report.header, raw))
    return {
        class_id: [named[name] for name in sorted(named, key=_order)[:PER_CLASS]]
        for class_id, named in sorted(found.items())
    }


def subject_of(action: str) -> str | None:
    """Name the kind of thing that an action of the knowledge is about, or None: acceptances, another scan."""
    return _PREFIXES.get(action.partition(".")[0])


def score(gold: Gold, said: Said) -> Score:
    """Compare what is said with what is right.

    Where no topic of ours is right, saying nothing is.
    """
    first, three = said.topics[:1], said.topics[:3]
    if not gold.topics:
        silent = float(not said.topics)
        return Score(silent, silent, None, None, None)
    return Score(
        top1=float(any(topic in gold.topics for topic in first)),
        top3=float(any(topic in gold.topics for topic in three)),
        controls=_f1(gold.controls, said.controls) if gold.controls else None,
        action=float(said.subject in gold.subjects) if gold.subjects else None,
        level=float(said.level == gold.level) if gold.level is not None else None,
    )


def bootstrap(means: Sequence[float]) -> Interval:
    """Draw groups with replacement; the same groups give the same interval."""
    rng = random.Random(1)  # noqa: S311 (no secret)
    count = len(means)
    drawn = sorted(sum(rng.choices(means, k=count)) / count for _ in range(_RESAMPLES))
    return Interval(sum(means) / count, drawn[int(0.025 * _RESAMPLES)], drawn[int(0.975 * _RESAMPLES) - 1])


def difference(one: Column, other: Column, measure: str) -> Interval | None:
    """Give how much more the first scores than the other, group by group."""
    theirs = other.means(measure)
    pairs = [
        mine - his
        for group, mine in one.means(measure).items()
        if mine is not None and (his := theirs.get(group)) is not None
    ]
    return bootstrap(pairs) if pairs else None


def _f1(right: frozenset[str], said: frozenset[str]) -> float:
    return 2 * len(right & said) / (len(right) + len(said))


def _order(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
