"""The enriched finding, schema 1: one JSON object a line, keys sorted, the same bytes for the same input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.analysis.question import Answer, FallbackReason, Origin, TextBy, Texts, confidence
from pipeline.analysis.rules import RulesAnalyst
from pipeline.classes.scan import ScanIndex, host_facts, scan_scope
from pipeline.classes.template import fill, placeholders
from pipeline.display import printable
from pipeline.finding import LEVELS, Level, Member
from pipeline.keys import canonical
from pipeline.knowledge.schema import Knowledge
from pipeline.rules.baseline import Comparison
from pipeline.rules.correlate import Group
from pipeline.rules.judge import Json, Judge, Judgement

SCHEMA = "sysscan.enriched/1"
_MAX_MEMBERS = 10  # of a correlation that a line names; the scan record counts all
_MAX_TEXT = 4000  # characters of an assessment that a model wrote

_CHANGED = frozenset({"new", "changed", "regressed", "resolved"})


@dataclass(slots=True, frozen=True)
class Provenance:
    """What made the output, beside the input."""

    agent: str
    knowledge: str
    policy: str
    intel: str | None
    runtime: str

    def as_json(self) -> Json:
        """Give the form of the output contract."""
        return {
            "agent": self.agent, "knowledge": self.knowledge, "policy": self.policy, "intel": self.intel,
            "runtime": self.runtime,
        }  # fmt: skip


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


@dataclass(slots=True, frozen=True)
class Line:
    """One enriched finding, ready for the outbox."""

    key: str
    level: Level
    changed: bool
    origin: Origin
    line: bytes


class Renderer:
    """Writes the lines of one scan. Exact twins differ in their dedupe key alone, so they are encoded once."""

    def __init__(
        self,
        index: ScanIndex,
        judge: Judge,
        comparison: Comparison | None,
        rules: RulesAnalyst,
        knowledge: Knowledge,
        provenance: Provenance,
        texts: Texts,
    ) -> None:
        """Args:
        texts: whose words a finding that a model analysed gets: `best` takes what somebody wrote for findings like
            it, and the model's where nobody did or where it raises the level; `model` always takes the model's.
        """
        self._texts = texts
        self._index = index
        self._judge = judge
        self._comparison = comparison
        self._rules = rules
        self._knowledge = knowledge
        self._encoded: dict[tuple[object, ...], tuple[bytes, bytes, Level, bool]] = {}
        self._fragments: dict[str, orjson.Fragment] = {}
        header = index.context.header
        self._host_facts = host_facts(header)
        self._provenance = {**provenance.as_json(), "source_format": header.source_format}
        self._profile = scan_scope(header)

    def line(self, seq: int, said: Outcome) -> Line:
        """Write the line of a finding with the analysis of its situation."""
        member = self._index.members[seq]
        groups = self._judge.groups(seq)
        # The answer to one question is the same all through a scan, but a model may fail for one batch only.
        key = (*self._judge.case(seq), said.key, said.fallback_reason)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = self._encode(member, groups, said)
            if self._index.occurrences[seq] > 1:  # else nobody asks again, and a large scan would be kept twice over
                self._encoded[key] = encoded
        head, tail, level, changed = encoded
        return Line(member.dedupe_key, level, changed, said.origin, b"".join((head, member.dedupe_key.encode(), tail)))

    def _encode(self, member: Member, groups: Sequence[Group], said: Outcome) -> tuple[bytes, bytes, Level, bool]:
        index, finding = self._index, member.classified
        context = index.context
        judgement = self._judge.judge(member.seq)
        raw = index.findings[member.seq]
        spec = self._knowledge.classes.get(finding.class_id)
        seen = self._comparison.seen.get(finding.fingerprint) if self._comparison is not None else None
        level = level_in_effect(judgement, said.answer)
        body: Json = {
            "schema": SCHEMA,
            "dedupe_key": "",
            "fingerprint": finding.fingerprint,
            "host": context.host,
            "host_source": context.host_source,
            "host_facts": self._host_facts,
            "scan_id": context.scan_id,
            "profile": self._profile,
            "observed_at": context.header.started_at,
            "as_of": context.as_of,
            "status": judgement.status,
            "status_basis": judgement.status_basis,
            "finding": {
                "scanner": finding.scanner,
                "id": raw.id,
                "title": finding.title or None,
                "severity": raw.severity,
                "score": raw.score,
                "description": finding.description or None,
                "metadata": finding.metadata,
                "restored": finding.restored,
                "escaped": raw.escaped,
                **({"extra": raw.extra} if raw.extra else {}),
            },
            "class": finding.class_id,
            "class_candidates": finding.candidates,
            "category": spec.category if spec is not None else "unknown",
            "slots": finding.slots,
            "features": finding.features,
            "occurrences": index.occurrences[member.seq],
            "severity": judgement.severity,
            "risk": {
                "score": judgement.risk.score,
                "level": level,
                "floor": judgement.risk.floor,
                "factors": [factor.as_json() for factor in judgement.risk.factors],
            },
            "artefact": judgement.artefact,
            "suppression": _suppression(judgement),
            "baseline": None
            if seen is None
            else {"state": seen.state, "first_seen_at": seen.first_seen_at, "count": seen.count},
            "compliance": self._fragment(judgement.controls_key, judgement.controls),
            "attack": self._fragment(judgement.techniques_key, judgement.techniques),
            "threat_intel": judgement.intel,
            "correlations": [self._correlation(group) for group in groups],
            "analysis": self._analysis(member, judgement, said),
            "remediation": judgement.remediation,
            "provenance": self._provenance,
        }
        line = canonical(body)
        # The first such text is the key itself: inside strings the quotes would be escaped, and no key of ours
        # that sorts before it holds objects with foreign keys.
        head, mark, tail = line.partition(b'"dedupe_key":"')
        return head + mark, tail, level, seen is None or seen.state in _CHANGED

    def say(self, member: Member, answer: Answer | None) -> tuple[str, str, TextBy]:
        """Give assessment and impact of a finding, and whose words they are; slots are filled in."""
        header = self._index.context.header
        if answer is None:
            return *self._rules.say(member, header), "rules"
        judgement = self._judge.judge(member.seq)
        # Where it raises the level, its words say why.
        if self._texts == "best" and level_in_effect(judgement, answer) == judgement.risk.level:
            written = self._rules.written(member, header)
            if written is not None:
                return *written, "rules"
        slots = member.classified.slots
        return _told(answer.assessment, slots), _told(answer.impact, slots), "model"

    def _analysis(self, member: Member, judgement: Judgement, said: Outcome) -> Json:
        assessment, impact, text_by = self.say(member, said.answer)
        return {
            "origin": said.origin,
            "assessment": assessment,
            "impact": impact,
            "text_by": text_by,
            "action": said.action,
            "controls": [_named(control) for control in said.controls],
            "techniques": said.techniques,
            "confidence": confidence(member, judgement.artefact, self._index.context.header),
            "key": said.key,
            "situation": member.classified.situation,
            "model": said.model,
            "fallback_reason": said.fallback_reason,
        }

    def _correlation(self, group: Group) -> Json:
        return {
            "rule": group.rule,
            "group": group.group,
            "title": group.title,
            "why": group.why,
            "about": printable(group.about) or None,
            "members": [self._index.members[seq].dedupe_key for seq in group.members[:_MAX_MEMBERS]],
        }

    def _fragment(self, key: str, value: tuple[Any, ...]) -> orjson.Fragment:
        """Encode what many findings share once."""
        known = self._fragments.get(key)
        if known is None:
            known = self._fragments[key] = orjson.Fragment(canonical(value))
        return known


def level_in_effect(judgement: Judgement, answer: Answer | None) -> Level:
    """Give the level of a finding: an answer may raise it, never lower it, and not against the operator's word."""
    if answer is None or judgement.suppression is not None:
        return judgement.risk.level
    return max(judgement.risk.level, judgement.risk.floor, answer.level, key=LEVELS.index)


def _named(control: str) -> Json:
    framework, _, name = control.partition(":")
    return {"framework": framework, "control": name}


def _told(text: str, slots: Mapping[str, str]) -> str:
    """Put slots into what a model wrote; one that this finding lacks shows as its name.

    Findings of one situation agree in class, status and features, not in which slots the report gave.
    """
    shown = {name: printable(slots[name]) if name in slots else f"<{name}>" for name in placeholders(text)}
    return fill(printable(text, _MAX_TEXT), shown) or ""


def _suppression(judgement: Judgement) -> Json | None:
    entry = judgement.suppression
    if entry is None:
        return None
    return {"owner": entry.owner, "reason": entry.reason, "expires": entry.expires.isoformat()}
