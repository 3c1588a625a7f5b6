"""Makes the enriched findings of a scan, and their lines."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from pipeline.analysis.question import UNKNOWN, Answer, FallbackReason, Origin, TextBy, Texts, confidence
from pipeline.analysis.rules import RulesAnalyst
from pipeline.analysis.unknown import tell
from pipeline.analysis.unknown_prompt import SLOT
from pipeline.classes.scan import ScanIndex, scan_scope
from pipeline.classes.template import fill, placeholders
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Member
from pipeline.knowledge.schema import Knowledge
from pipeline.output.records import (
    Analysis,
    BaselineEntry,
    Correlation,
    EnrichedFinding,
    FindingProvenance,
    HostFacts,
    NamedControl,
    Provenance,
    ReportedFinding,
    Suppression,
)
from pipeline.output.write import Parts, fragment, write
from pipeline.report.sarif_state import ReportedAcceptance
from pipeline.retrieval.likely import Likely
from pipeline.retrieval.retriever import Retriever
from pipeline.rules.baseline import Comparison
from pipeline.rules.correlate import Group
from pipeline.rules.judge import Judge, Judgement
from pipeline.rules.review import SETTLES, Acceptance
from pipeline.rules.score import raised_to
from pipeline.steps import Steps, release

SCHEMA: Final = "sysscan.enriched/1"
_MAX_MEMBERS = 10  # of a correlation that a line names; the scan record counts all
_SPOKEN = 3  # words of a finding that a sentence names
_MAX_TEXT = 4000  # characters of an assessment that a model wrote
_KEY = b'"dedupe_key":"'

_CHANGED = frozenset({"new", "changed", "regressed", "resolved"})


@dataclass(slots=True, frozen=True)
class Outcome:
    """Who analysed a situation, and what came out.

    Attributes:
        answer: what a model or a reviewer said; None leaves the texts to the rules.
        action, controls, techniques: what was picked out of the remediation and of the mappings; controls as
            ``framework:id``.
    """

    key: str
    origin: Origin
    answer: Answer | None = None
    model: str | None = None
    fallback_reason: FallbackReason | None = None
    action: str | None = None
    controls: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()


class Line(NamedTuple):
    """One enriched finding, ready for the outbox."""

    key: str
    level: Level
    changed: bool
    origin: Origin
    line: bytes


class _Twin(NamedTuple):
    """What lines of exact twins have in common: all before and all after their own keys."""

    level: Level
    changed: bool
    origin: Origin
    head: bytes
    tail: bytes


class FindingWriter:
    """Makes the records of one scan's findings, and writes them."""

    def __init__(
        self,
        index: ScanIndex,
        judge: Judge,
        comparison: Comparison | None,
        rules: RulesAnalyst,
        knowledge: Knowledge,
        provenance: Provenance,
        texts: Texts,
        shared: Parts,
        retriever: Retriever,
    ) -> None:
        """Args:
        texts: whose words a finding that a model analysed gets: `best` takes what somebody wrote for findings like
            it, and the model's where nobody did or where it raises the level; `model` always takes the model's.
        shared: what the rules share between findings and scans (`ClassRules`), written.
        """
        self._retriever = retriever
        self._texts = texts
        self._index = index
        self._judge = judge
        self._comparison = comparison
        self._rules = rules
        self._knowledge = knowledge
        self._twins: dict[tuple[object, ...], _Twin] = {}
        header = index.context.header
        self._host_facts = HostFacts.of(header)
        self._provenance = FindingProvenance.of(provenance, header.source_format)
        self._profile = scan_scope(header)
        self._encoded = {"host_facts": fragment(self._host_facts), "provenance": fragment(self._provenance)}
        self._shared = shared

    def release(self) -> Steps[None]:
        """Let go of the lines that twins share, in steps."""
        yield from release(self._twins)

    def line(self, seq: int, outcome: Outcome) -> Line:
        """Write the line of a finding with the analysis of its situation."""
        member = self._index.members[seq]
        if self._index.occurrences[seq] == 1:  # nobody asks again, and a large scan would be kept twice over
            return self._write(seq, outcome)
        # The answer to one question is the same all through a scan, but a model may fail for one batch only.
        key = (self._judge.case(seq), outcome.key, outcome.fallback_reason)
        twin = self._twins.get(key)
        if twin is None:
            line = self._write(seq, outcome)
            # Twins differ in their own key alone. Its text stands nowhere before it: inside strings the quotes would
            # be escaped, and no key of ours that sorts before it holds objects with foreign keys.
            head, _, tail = line.line.partition(_KEY + line.key.encode())
            self._twins[key] = _Twin(line.level, line.changed, line.origin, head + _KEY, tail)
            return line
        return Line(
            member.dedupe_key,
            twin.level,
            twin.changed,
            twin.origin,
            b"".join((twin.head, member.dedupe_key.encode(), twin.tail)),
        )

    def _write(self, seq: int, outcome: Outcome) -> Line:
        made, judgement = self.record(seq, outcome), self._judge.judge(seq)
        encoded = {
            **self._encoded,
            # Findings alike share these; see `ClassRules`.
            "compliance": self._shared.of(judgement.controls_key, made.compliance),
            "attack": self._shared.of(judgement.techniques_key, made.attack),
        }
        changed = made.baseline is None or made.baseline.state in _CHANGED
        return Line(made.dedupe_key, made.risk.level, changed, made.analysis.origin, write(made, encoded))

    def record(self, seq: int, outcome: Outcome) -> EnrichedFinding:
        """Make the record of a finding with the analysis of its situation."""
        index, member = self._index, self._index.members[seq]
        finding, context, raw = member.classified, index.context, index.findings[seq]
        judgement = self._judge.judge(seq)
        spec = self._knowledge.classes.get(judgement.class_id)
        is_own = judgement.class_id == finding.class_id
        level = level_in_effect(judgement, outcome.answer)
        return EnrichedFinding(
            schema=SCHEMA,
            dedupe_key=member.dedupe_key,
            fingerprint=finding.fingerprint,
            host=context.host,
            host_source=context.host_source,
            host_facts=self._host_facts,
            scan_id=context.scan_id,
            profile=self._profile,
            observed_at=context.header.started_at,
            as_of=context.as_of,
            status=judgement.status,
            status_basis=judgement.status_basis,
            finding=ReportedFinding(
                scanner=finding.scanner,
                id=raw.id,
                title=finding.title or None,
                severity=raw.severity,
                score=raw.score,
                description=finding.description or None,
                metadata=finding.metadata,
                restored=finding.restored,
                escaped=raw.escaped,
                extra=raw.extra,
            ),
            class_=judgement.class_id,
            class_basis=finding.class_basis if is_own else "review",
            class_candidates=finding.candidates if is_own else (),
            category=spec.category if spec is not None else "unknown",
            slots=finding.slots,
            features=finding.features,
            occurrences=index.occurrences[seq],
            severity=judgement.severity,
            risk=raised_to(judgement.risk, level),
            artefact=judgement.artefact,
            suppression=_suppression(judgement),
            baseline=self._baseline(finding.fingerprint),
            compliance=judgement.controls,
            attack=judgement.techniques,
            threat_intel=judgement.intel,
            correlations=tuple(map(self._correlation, self._judge.groups(seq))),
            analysis=self._analysis(member, judgement, outcome),
            remediation=judgement.remediation,
            provenance=self._provenance,
            review=judgement.review,
            likely=self.likely(seq, outcome.answer),
        )

    def likely(self, seq: int, answer: Answer | None) -> Likely | None:
        """Say what a finding looks like whose kind nobody knows; None where it is known, or nothing can be said.

        A model's answer chooses among the topics that were found.
        """
        if not self._judge.judge(seq).class_id.startswith(UNKNOWN):
            return None
        raw = self._index.findings[seq]
        if answer is None:
            return self._retriever.likely(raw)
        return self._retriever.chosen(raw, answer.topic, answer.controls, answer.look)

    def say(self, member: Member, answer: Answer | None) -> tuple[str, str, TextBy]:
        """Give assessment and impact of a finding, and whose words they are; slots are filled in."""
        correction = self._judge.judge(member.seq).correction
        if correction is not None and (correction.assessment is not None or correction.impact is not None):
            said = self._say(member, answer)
            return (
                printable(correction.assessment or said[0], _MAX_TEXT),
                printable(correction.impact or said[1], _MAX_TEXT),
                "review",
            )
        return self._say(member, answer)

    def _say(self, member: Member, answer: Answer | None) -> tuple[str, str, TextBy]:
        header = self._index.context.header
        if answer is None:
            likely = self.likely(member.seq, None)
            said = tell(likely) if likely is not None else self._rules.say(member, header)
            return *said, "rules"
        judgement = self._judge.judge(member.seq)
        # Where it raises the level, its words say why.
        if self._texts == "best" and level_in_effect(judgement, answer) == judgement.risk.level:
            written = self._rules.written(member, header)
            if written is not None:
                return *written, "rules"
        slots = member.classified.slots
        if answer.topic is not None and (likely := self.likely(member.seq, answer)) is not None:
            slots = {SLOT: ", ".join(word for topic in likely.topics[:1] for word in topic.evidence[:_SPOKEN])}
        return _told(answer.assessment, slots), _told(answer.impact, slots), "model"

    def _analysis(self, member: Member, judgement: Judgement, outcome: Outcome) -> Analysis:
        assessment, impact, text_by = self.say(member, outcome.answer)
        if judgement.review is not None and not _is_void(judgement):
            outcome = _reviewed(outcome, judgement)
        return Analysis(
            origin=outcome.origin,
            assessment=assessment,
            impact=impact,
            text_by=text_by,
            action=outcome.action,
            controls=tuple(map(_named, outcome.controls)),
            techniques=outcome.techniques,
            confidence=confidence(member, judgement.artefact, self._index.context.header),
            key=outcome.key,
            situation=member.classified.situation,
            model=outcome.model,
            fallback_reason=outcome.fallback_reason,
        )

    def _baseline(self, fingerprint: str) -> BaselineEntry | None:
        seen = self._comparison.seen.get(fingerprint) if self._comparison is not None else None
        return None if seen is None else BaselineEntry(seen.state, seen.first_seen_at, seen.count)

    def _correlation(self, group: Group) -> Correlation:
        return Correlation(
            rule=group.rule,
            group=group.group,
            title=group.title,
            why=group.why,
            about=printable(group.about) or None,
            members=tuple(self._index.members[seq].dedupe_key for seq in group.members[:_MAX_MEMBERS]),
        )


def level_in_effect(judgement: Judgement, answer: Answer | None) -> Level:
    """Give the level of a finding: an answer may raise it, never lower it, and not against the operator's word."""
    if answer is None or judgement.suppression is not None or judgement.is_level_final:
        return judgement.risk.level
    return max(judgement.risk.level, judgement.risk.floor, answer.level, key=LEVELS.index)


@lru_cache(maxsize=4096)
def _named(control: str) -> NamedControl:
    framework, _, name = control.partition(":")
    return NamedControl(framework, name)


def _told(text: str, slots: Mapping[str, str]) -> str:
    """Put slots into what a model wrote; one that this finding lacks shows as its name.

    Findings of one situation agree in class, status and features, not in which slots the report gave.
    """
    shown = {name: printable(slots[name]) if name in slots else f"<{name}>" for name in placeholders(text)}
    return fill(printable(text, _MAX_TEXT), shown) or ""


def _is_void(judgement: Judgement) -> bool:
    """Say whether nothing of a verdict counts: it would settle the finding, and something stricter stands."""
    review = judgement.review
    return review is not None and review.verdict in SETTLES and judgement.suppression is None


def _reviewed(outcome: Outcome, judgement: Judgement) -> Outcome:
    """Put what a reviewer says in the place of what was said; only what the finding has to choose from counts."""
    said = judgement.correction
    outcome = replace(outcome, origin="review", fallback_reason=None)
    if said is None:
        return outcome
    fitting = {action.id for action in judgement.remediation if action.contraindicated is None}
    if said.action is not None and said.action in fitting:
        outcome = replace(outcome, action=said.action)
    if said.controls is not None:
        there = {f"{control.framework}:{control.control}" for control in judgement.controls}
        outcome = replace(outcome, controls=tuple(one for one in dict.fromkeys(said.controls) if one in there))
    if said.techniques is not None:
        known = {technique.technique for technique in judgement.techniques}
        outcome = replace(outcome, techniques=tuple(one for one in dict.fromkeys(said.techniques) if one in known))
    return outcome


def _suppression(judgement: Judgement) -> Suppression | None:
    entry = judgement.suppression
    if isinstance(entry, ReportedAcceptance):
        return Suppression(f"the report ({entry.kind})", entry.justification, None)
    if isinstance(entry, Acceptance):
        return Suppression(printable(entry.owner), printable(entry.reason, _MAX_TEXT), entry.until)
    return None if entry is None else Suppression(entry.owner, entry.reason, entry.expires.isoformat())
