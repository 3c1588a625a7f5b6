"""What is said about a finding, by whom, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pipeline.classify import fill
from pipeline.correlate import view
from pipeline.display import printable
from pipeline.finding import Level, Member, ScanHeader, Status
from pipeline.keys import digest
from pipeline.knowledge.predicates import Test, compile_all
from pipeline.knowledge.schema import AnalysisText, Knowledge

Origin = Literal["model", "rules", "review"]
Confidence = Literal["high", "medium", "low"]
FallbackReason = Literal["no_model", "model_failed", "rejected", "over_budget"]

ANALYSIS_VERSION = "rules/1"  # part of every analysis key: a change of wording rules recomputes


@dataclass(slots=True, frozen=True)
class Question:
    """What an analyst is asked: one situation in its context; no value that a host's owner chose.

    Attributes:
        key: the analysis key; equal keys have equal answers.
        floor: the lowest level that an answer may give.
        context: ids of correlation rules that hold around the finding, sorted.
        representative: position in the report of the first finding with this key.
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


@dataclass(slots=True, frozen=True)
class Answer:
    """An analysis of a situation; texts may hold ``{slot}`` placeholders, filled for each finding."""

    assessment: str
    impact: str
    level: Level
    techniques: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    remediation: str | None = None


class Analyst(Protocol):
    """Answers questions. The rules are the analyst of last resort and need none of this."""

    @property
    def digest(self) -> str:
        """Name everything that an answer depends on beside the question."""

    @property
    def model(self) -> str:
        """Name the model in the output."""

    def analyse(self, questions: Sequence[Question], attempt: int) -> dict[str, Answer]:
        """Answer by key; a key without an answer failed. `attempt` counts from 0."""

    def critique(self, question: Question, answer: Answer) -> str | None:
        """Say what is wrong with an answer, or None when it stands."""


class AnalysisStore(Protocol):
    """Keeps answers by analysis key, durably."""

    def cached_analyses(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Give those that are known."""

    def store_analyses(self, analyses: dict[str, bytes]) -> None:
        """Keep them."""


def question(member: Member, floor: Level, context: Sequence[str], analyst: str) -> Question:
    """Ask about a finding's situation."""
    finding = member.classified
    rules = tuple(sorted(set(context)))
    return Question(
        key=digest("analysis", finding.situation, floor, rules, analyst, ANALYSIS_VERSION),
        situation=finding.situation,
        class_id=finding.class_id,
        candidates=finding.candidates,
        status=finding.status,
        floor=floor,
        features=finding.features,
        context=rules,
        representative=member.seq,
    )


class RulesAnalyst:
    """The texts of the knowledge, chosen by predicates; always has an answer."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        self._knowledge = knowledge
        self._profile = profile
        self._compiled: dict[str, list[tuple[Test, AnalysisText]]] = {}

    def say(self, member: Member, header: ScanHeader) -> tuple[str, str]:
        """Give assessment and impact of a finding."""
        finding = member.classified
        if finding.candidates:
            titles = [self._knowledge.classes[name].title for name in finding.candidates]
            return (
                f"The report does not say which of these it is: {'; '.join(titles)}. "
                "This format carries no title, description or metadata.",
                "Treat it as the worst of them until a JSON report of the same host tells them apart.",
            )
        spec = self._knowledge.classes.get(finding.class_id)
        if spec is None:
            return (
                f"No knowledge of this kind of finding of the scanner {printable(finding.scanner)}.",
                "Not assessed: the scanner's own severity stands. Newer knowledge, or an entry of yours in "
                "knowledge.d, can say more.",
            )
        seen = view(member, header)
        shown = {name: printable(value) for name, value in finding.slots.items()}
        for test, text in self._texts(finding.class_id, spec.analysis):
            if test(seen):
                assessment, impact = fill(text.assessment, shown), fill(text.impact, shown)
                if assessment is not None and impact is not None:
                    return assessment, impact
        return f"{spec.title}.", spec.meaning

    def _texts(self, class_id: str, texts: Sequence[AnalysisText]) -> list[tuple[Test, AnalysisText]]:
        compiled = self._compiled.get(class_id)
        if compiled is None:
            compiled = self._compiled[class_id] = [
                (compile_all(text.when, self._knowledge.expected, self._profile), text) for text in texts
            ]
        return compiled


def confidence(member: Member, artefact: dict[str, Any] | None, header: ScanHeader) -> Confidence:
    """Derive how sure a classification and its status are; nobody claims it."""
    finding = member.classified
    if finding.candidates or finding.class_id.startswith("unknown.") or finding.status == "unknown":
        return "low"
    if artefact is not None and artefact["degree"] == "cannot_tell":
        return "low"
    if artefact is not None or finding.status_basis in ("severity", "none") or header.rules_enabled:
        return "medium"
    return "high"
