"""What is said about a finding, by whom, and how sure that is."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from pipeline.engine.generator import Health
from pipeline.finding import LEVELS, Level, Member, ScanHeader, Severity, Status
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge
from pipeline.rules.class_rules import Artefact
from pipeline.rules.judge import Judgement

Origin = Literal["model", "rules", "review"]
TextBy = Literal["model", "rules", "review"]
Texts = Literal["best", "model"]
Confidence = Literal["high", "medium", "low"]
FallbackReason = Literal["no_model", "not_trained", "model_failed", "rejected", "internal_error", "unknown_class"]

UNKNOWN = "unknown."  # begins the class of what nothing is known about
THREAT_INTEL = "threat_intel"  # stands among the correlation rules where a local indicator matched
MAX_ATTEMPTS = 2  # of a model at a question: one bounded way back from `critique` to `analyse`
ANALYSIS_VERSION = "rules/1"  # part of every analysis key: a change of wording rules recomputes


SILENT = frozenset({"device", "flag", "hash", "options", "text", "uid"})  # types of slots that make no sentence


@dataclass(slots=True, frozen=True)
class Unknown:
    """What is known of a finding that no class knows: what is left of its texts, and what they look like.

    Attributes:
        tokens: of closed lists, without common English.
        topics: ids of the topics that share most with it, the likeliest first.
        ceiling: the highest level that an answer may give, from the scanner's severity.
        scores: of the topics: how likely the finding is about each, in per cent, rounded to fives.
    """

    tokens: tuple[str, ...]
    topics: tuple[str, ...]
    ceiling: Level
    scores: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Question:
    """What an analyst is asked: one situation in its context; no value that a host's owner chose.

    Attributes:
        key: the analysis key; equal keys have equal answers.
        floor: the lowest level that an answer may give.
        context: ids of correlation rules that hold around the finding, sorted.
        representative: position in the report of the first finding with this key.
        slots: names of the values that every finding with this key has and a sentence can hold, sorted.
        artefact: (id, degree) of what the scanner probably gets wrong.
        controls, techniques: what the knowledge maps without a caution, strongest claim first; controls as
            ``framework:id``.
        evidence: the findings speak for or against the controls; else they say nothing about them.
        actions: ids of the remediations that fit, the first to take first; `barred` would break something.
        unknown: where no class knows the finding, and its texts could be filtered.
        refused: asked again, what was wrong with the first answer, in a word of a closed list (`refusal`).
    """

    key: str
    situation: str
    class_id: str
    candidates: tuple[str, ...]
    status: Status
    floor: Level
    features: dict[str, str]
    context: tuple[str, ...]
    representative: int
    slots: tuple[str, ...] = ()
    artefact: tuple[str, str] | None = None
    controls: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    evidence: bool = False
    actions: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    unknown: Unknown | None = None
    refused: str | None = None


@dataclass(slots=True, frozen=True)
class Answer:
    """An analysis of a situation; texts may hold ``{slot}`` placeholders, filled for each finding.

    Attributes:
        topic, look: what a finding that no class knows looks like, and what to look at first; ids, or None.
    """

    assessment: str
    impact: str
    level: Level
    techniques: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    remediation: str | None = None
    topic: str | None = None
    look: str | None = None


class Analyst(Protocol):
    """Answers questions. The rules are the analyst of last resort and need none of this.

    Attributes:
        failure: what went wrong the last time that a question got no answer, or None.
    """

    failure: str | None

    @property
    def digest(self) -> str:
        """Name everything that an answer depends on beside the question."""

    @property
    def model(self) -> str:
        """Name the model in the output."""

    def takes(self, question: Question) -> bool:
        """Say whether to ask about it at all."""

    @property
    def health(self) -> Health:
        """The state of the process that the model runs in."""

    def recall(self, question: Question) -> "Recalled | None":
        """Give the answer that is known without asking the model, if there is one."""

    def analyse(self, question: Question, attempt: int) -> "Future[Answer | None]":
        """Begin to answer, and return at once; None will be the answer where there is none. `attempt` counts from 0."""

    def critique(self, question: Question, answer: Answer) -> str | None:
        """Say what is wrong with an answer, or None when it stands."""

    def close(self) -> None:
        """Give the memory back; the analyst cannot be asked afterwards."""


@dataclass(slots=True, frozen=True)
class Recalled:
    """An answer that was known; one that does not stand is the last that asking would give."""

    answer: Answer
    stands: bool


class AnalysisStore(Protocol):
    """Keeps answers by analysis key, durably."""

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Give those that are known."""

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        """Keep them."""


def question(
    member: Member,
    judgement: Judgement,
    context: Sequence[str],
    knowledge: Knowledge,
    analyst: str,
    unknown: Unknown | None = None,
) -> Question:
    """Ask about a finding's situation, with all that the rules found to choose from.

    The key covers all of it, so that equal keys have equal prompts: what a finding maps to can depend on values
    that its situation leaves out.
    """
    finding = member.classified
    rules = {*context, *((THREAT_INTEL,) if judgement.intel else ())}
    barred = dict.fromkeys(action.id for action in judgement.remediation if action.contraindicated is not None)
    fitting = dict.fromkeys(action.id for action in judgement.remediation if action.id not in barred)
    artefact = judgement.artefact
    spec = knowledge.classes.get(finding.class_id)
    asked = Question(
        key="",
        situation=finding.situation,
        class_id=finding.class_id,
        candidates=finding.candidates,
        status=judgement.status,
        floor=judgement.asked_floor,
        features=finding.features if finding.class_id[:8] != "unknown." else {"severity": member.severity},
        context=tuple(sorted(rules)),
        representative=0,
        slots=() if spec is None else tuple(sorted(n for n in finding.slots if spec.slots[n].type not in SILENT)),
        artefact=(artefact.id, artefact.degree) if artefact is not None else None,
        controls=tuple(
            f"{control.framework}:{control.control}" for control in judgement.controls if control.caution is None
        ),
        techniques=tuple(technique.technique for technique in judgement.techniques),
        evidence=finding.status in ("open", "passed"),
        actions=tuple(fitting),
        barred=tuple(barred),
        unknown=unknown,
    )
    return replace(asked, key=digest("analysis", asked, analyst, ANALYSIS_VERSION), representative=member.seq)


def highest_level(severity: Severity, floor: Level) -> Level:
    """Give the highest level of a finding that no class knows: one above the scanner's, or the floor."""
    said = LEVELS.index(severity) if severity in LEVELS else 0
    return LEVELS[max(min(said + 1, len(LEVELS) - 1), LEVELS.index(floor))]


def confidence(member: Member, artefact: Artefact | None, header: ScanHeader) -> Confidence:
    """Derive how sure a classification and its status are; nobody claims it."""
    finding = member.classified
    if finding.candidates or finding.class_id.startswith("unknown.") or finding.status == "unknown":
        return "low"
    if artefact is not None and artefact.degree == "cannot_tell":
        return "low"
    if (
        artefact is not None
        or finding.class_basis != "exact"
        or finding.status_basis in ("severity", "none")
        or header.rules_enabled
    ):
        return "medium"
    return "high"
