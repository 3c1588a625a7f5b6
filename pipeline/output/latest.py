"""Brings findings up to date with verdicts that were given after their lines went out.

A line says what was known when its scan was analysed. A verdict that comes later supersedes it (docs/output.md, the
record of a verdict); whoever hands findings on has to say what counts now.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Final

from pipeline.display import printable
from pipeline.errors import RecordError
from pipeline.finding import Level, Status
from pipeline.output.records import (
    Analysis,
    EnrichedFinding,
    NamedControl,
    SupersededFinding,
    Suppression,
    VerdictRecord,
    VerdictsInUse,
)
from pipeline.review.standing import Standing
from pipeline.review.verdict import MAX_TEXT, Correction, Situation, Target, Verdict
from pipeline.rules.compliance import Control, Evidence
from pipeline.rules.policy import Allow
from pipeline.rules.review import SETTLES, Review, Ruling, level_with, rule, status_with
from pipeline.rules.score import Factor, FactorName, Risk, points_of

_SETTLED: Final[dict[Status, tuple[FactorName, int]]] = {
    "accepted": ("status_accepted", 10),
    "false_positive": ("status_false_positive", 0),
}
_NO_ACTION: Final[frozenset[Status]] = frozenset({"passed", "accepted", "false_positive"})
_EVIDENCE: Final[dict[Status, Evidence]] = {"open": "failing", "accepted": "failing", "passed": "supporting"}
_MISTAKEN: Final = frozenset({"certain", "likely"})


def without_review(line: EnrichedFinding) -> tuple[Status, Level]:
    """Give status and level of a finding as they are without the verdict in its line."""
    review = line.review
    return (line.status, line.risk.level) if review is None else (review.status_without, review.level_without)


def with_verdict(
    line: EnrichedFinding,
    verdict: Verdict | None,
    status: Status,
    level: Level,
    overruled: str | None,
    used: VerdictsInUse,
) -> EnrichedFinding:
    """Give a finding as it is with the verdict that counts for it now.

    Args:
        verdict: None where one that its line tells of was taken back.
        status, level: what it leaves, as `as_it_counts` and `VerdictRecord.findings` say.
        overruled: why it does not count in full, or None.
        used: up to which verdict this is.
    """
    status_without, level_without = without_review(line)
    is_void = overruled is not None and verdict is not None and verdict.kind in SETTLES and status == status_without
    correction = verdict.correction if verdict is not None else None
    is_reclassed = correction is not None and correction.class_id is not None
    return replace(
        line,
        status=status,
        risk=_risk(line, verdict, status, level),
        suppression=_suppression(line, verdict, status, is_void),
        compliance=_compliance(line, status, status_without),
        remediation=() if status in _NO_ACTION else line.remediation,
        review=None if verdict is None else _review(verdict, status_without, level_without, overruled),
        class_=correction.class_id if correction is not None and correction.class_id is not None else line.class_,
        class_basis="review" if is_reclassed else line.class_basis,
        class_candidates=() if is_reclassed else line.class_candidates,
        analysis=line.analysis if verdict is None or is_void else _analysis(line, correction),
        provenance=replace(line.provenance, verdicts=used),
    )


class ToldVerdicts:
    """The records of verdicts that stand beside saved lines, as a receiver applies them.

    A verdict may have several: where workers share the hosts, each tells of the findings of its own.

    Attributes:
        records: each once, in order of the numbers of their verdicts.
    """

    def __init__(self, records: Iterable[VerdictRecord]) -> None:
        """Raises:
        RecordError: when they come from more than one log, or from before and after one was put back to an older
            copy: their numbers then mean nothing side by side.
        """
        by_key: dict[str, VerdictRecord] = {}
        by_seq: dict[int, VerdictRecord] = {}  # one for each verdict
        for record in records:
            by_key.setdefault(record.dedupe_key, record)
            if by_seq.setdefault(record.seq, record).head != record.head:
                raise _two_logs(record.seq)
        self.records = tuple(sorted(by_key.values(), key=lambda one: (one.seq, one.dedupe_key)))
        self._by_seq = by_seq
        self._standing = Standing([_verdict(by_seq[seq]) for seq in sorted(by_seq)])
        self._of_finding: dict[str, list[VerdictRecord]] = {}
        self._of_situation: dict[str, list[VerdictRecord]] = {}
        self._of_class: dict[str, list[VerdictRecord]] = {}
        self._named: dict[tuple[int, str, str], SupersededFinding] = {}
        for record in self.records:
            if record.fingerprint is not None:
                self._of_finding.setdefault(record.fingerprint, []).append(record)
            for name in record.situations:
                self._of_situation.setdefault(name, []).append(record)
            if record.situation is not None:
                self._of_class.setdefault(record.situation.class_, []).append(record)
            for one in record.findings:
                self._of_finding.setdefault(one.fingerprint, []).append(record)
                self._named[record.seq, one.host, one.fingerprint] = one

    def check(self, used: VerdictsInUse) -> None:
        """Hold what a line was judged with to the records.

        Raises:
            RecordError: when it is another log than the one that they are from, or another state of it.
        """
        known = self._by_seq.get(used.seq)
        if known is not None and known.head != used.head:
            raise _two_logs(used.seq)

    def latest(self, line: EnrichedFinding) -> EnrichedFinding:
        """Give a finding as it is now; the same object where no later verdict is about it."""
        used = line.provenance.verdicts
        after = 0 if used is None else used.seq
        if not self.records or self.records[-1].seq <= after:
            return line
        situation = self._situation(line)
        about = [
            record.seq
            for record in (
                *self._of_finding.get(line.fingerprint, ()),
                *self._of_situation.get(line.analysis.situation, ()),
                *self._of_class.get(situation.class_id, ()),
            )
            if record.seq > after and self._is_about(record, line, situation)
        ]
        if not about:
            return line
        newest, last = self._by_seq[max(about)], self.records[-1]
        verdict = self._standing.find(line.host, line.fingerprint, situation, line.as_of)
        named = self._named.get((newest.seq, line.host, line.fingerprint))
        if named is not None:
            status, level, overruled = named.status, named.level, named.overruled
        else:
            status, level, overruled = _ruled(line, verdict)
        return with_verdict(line, verdict, status, level, overruled, VerdictsInUse(last.seq, last.head))

    def _situation(self, line: EnrichedFinding) -> Situation:
        """Give the situation that a finding was classified as; its line may have another class by a review."""
        for record in self._of_situation.get(line.analysis.situation, ()):
            said = record.situation
            if said is not None:
                return Situation(said.class_, said.status, line.features, said.candidates)
        return Situation(line.class_, without_review(line)[0], line.features, line.class_candidates)

    def _is_about(self, record: VerdictRecord, line: EnrichedFinding, situation: Situation) -> bool:
        target = _verdict(record).target.situation
        is_in = target is None or target.covers(situation)
        if (record.seq, line.host, line.fingerprint) in self._named:
            return is_in
        if record.host not in (None, line.host):
            return False
        if record.fingerprint is not None:
            return record.fingerprint == line.fingerprint and is_in
        return line.analysis.situation in record.situations or (target is not None and target.covers(situation))


def _two_logs(seq: int) -> RecordError:
    return RecordError(
        f"verdict {seq} stands there in two ways: the lines are of agents with different logs of verdicts, or of one "
        "whose ledger and log were put back to an older copy and which gave the number again; give those of one agent, "
        "and from one side of that change, or export from its ledger, which has what counts now"
    )


def _verdict(record: VerdictRecord) -> Verdict:
    """Give a verdict as the log had it, as far as its record says."""
    said, corrected = record.situation, record.correction
    situation = None
    if said is not None:
        situation = Situation(said.class_, said.status, said.features, said.candidates)
    correction = None
    if corrected is not None:
        correction = Correction(
            level=corrected.level,
            class_id=corrected.class_,
            action=corrected.action,
            controls=corrected.controls,
            techniques=corrected.techniques,
            assessment=corrected.assessment,
            impact=corrected.impact,
        )
    return Verdict(
        kind=record.verdict,
        reason=record.reason,
        target=Target(record.host, record.fingerprint, situation),
        correction=correction,
        owner=record.owner,
        until=record.until,
        undoes=record.undoes,
        seq=record.seq,
        at=record.at,
        author=record.author,
    )


def _ruled(line: EnrichedFinding, verdict: Verdict | None) -> tuple[Status, Level, str | None]:
    """Say what a verdict leaves of a finding that its record has no room to name; the policy's severities are not known
    here."""
    status, level = without_review(line)
    if verdict is None:
        return status, level, None
    has_indicator = bool(line.threat_intel)
    ruling = rule(verdict, _allowed(line), None, has_indicator=has_indicator, status=status)
    if ruling.settles is not None:
        return ruling.settles, "info", ruling.overruled
    if ruling.level is None:
        return status, level, ruling.overruled
    level, held = level_with(ruling, level, None, has_indicator=has_indicator)
    return status_with(ruling, "open" if ruling.drops_allow else status), level, ruling.overruled or held


def _allowed(line: EnrichedFinding) -> Allow | None:
    """Give the entry of the allow-list that a line tells of."""
    entry = line.suppression
    if entry is None or entry.expires is None or line.status not in ("accepted", "false_positive"):
        return None
    if line.review is not None and line.review.verdict in SETTLES:
        return None
    status = line.status
    return Allow(owner=entry.owner, reason=entry.reason, expires=date.fromisoformat(entry.expires), status=status)


def _risk(line: EnrichedFinding, verdict: Verdict | None, status: Status, level: Level) -> Risk:
    risk = line.risk
    if status == line.status and level == risk.level:
        return risk
    if status in _SETTLED:
        name, points = _SETTLED[status]
        settles = None if verdict is None else Ruling(verdict, settles=status).why()
        return Risk(points, "info", "info", (Factor(name, points, settles or "accepted before"),))
    if line.status in _SETTLED:  # what its score was made of is not in the line
        why = "settled before; that does not count any more" if verdict is None else Ruling(verdict, level=level).why()
        return Risk(points_of(level), level, level, (Factor("review", points_of(level), why),))
    score = risk.score if level == risk.level else points_of(level)
    why = "a verdict was taken back" if verdict is None else Ruling(verdict, level=level).why()
    return Risk(score, level, risk.floor, (*risk.factors, Factor("review", score - risk.score, why)))


def _suppression(line: EnrichedFinding, verdict: Verdict | None, status: Status, is_void: bool) -> Suppression | None:
    if status not in _SETTLED:
        return None
    if verdict is not None and verdict.kind in SETTLES and not is_void:
        owner = printable(verdict.owner or verdict.author)
        return Suppression(owner, printable(verdict.reason, MAX_TEXT), verdict.until)
    return line.suppression


def _compliance(line: EnrichedFinding, status: Status, status_without: Status) -> tuple[Control, ...]:
    """Give the controls: what is accepted is still evidence, what is no finding at all is none."""
    if (status == "false_positive") == (line.status == "false_positive"):
        return line.compliance
    evidence: Evidence = "none"
    if status != "false_positive":
        evidence = _EVIDENCE.get(status_without, "none")
        artefact = line.artefact
        if evidence != "none" and artefact is not None and artefact.degree in _MISTAKEN and not line.threat_intel:
            evidence = "disputed"
    return tuple(replace(control, evidence=evidence) for control in line.compliance)


def _review(verdict: Verdict, status: Status, level: Level, overruled: str | None) -> Review:
    return Review(
        seq=verdict.seq,
        verdict=verdict.kind,
        scope=verdict.target.scope,
        author=printable(verdict.author),
        at=verdict.at,
        reason=printable(verdict.reason, MAX_TEXT),
        status_without=status,
        level_without=level,
        overruled=overruled,
    )


def _analysis(line: EnrichedFinding, said: Correction | None) -> Analysis:
    """Give what is said of a finding with what a reviewer says instead; only what it has to choose from counts."""
    made = replace(line.analysis, origin="review", fallback_reason=None)
    if said is None:
        return made
    if said.action in {action.id for action in line.remediation if action.contraindicated is None}:
        made = replace(made, action=said.action)
    if said.controls is not None:
        there = {f"{control.framework}:{control.control}" for control in line.compliance}
        named = [name.partition(":") for name in dict.fromkeys(said.controls) if name in there]
        made = replace(made, controls=tuple(NamedControl(framework, control) for framework, _, control in named))
    if said.techniques is not None:
        known = {technique.technique for technique in line.attack}
        made = replace(made, techniques=tuple(name for name in dict.fromkeys(said.techniques) if name in known))
    if said.assessment is not None or said.impact is not None:
        made = replace(
            made,
            assessment=printable(said.assessment or made.assessment, MAX_TEXT),
            impact=printable(said.impact or made.impact, MAX_TEXT),
            text_by="review",
        )
    return made
