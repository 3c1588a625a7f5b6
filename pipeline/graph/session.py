"""The working objects of one scan: what the graph's nodes act on, rebuilt by pure functions whenever it is needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipeline.analysis.answers import Answers, CachedAnswer
from pipeline.analysis.case import selection
from pipeline.analysis.question import (
    ANALYSIS_VERSION,
    UNKNOWN,
    AnalysisStore,
    Analyst,
    Answer,
    FallbackReason,
    Question,
    Texts,
    question,
)
from pipeline.analysis.rules import RulesAnalyst
from pipeline.classes.compiled import CompiledClasses
from pipeline.classes.scan import ScanContext, ScanIndex, baseline_scope, index_scan
from pipeline.finding import LEVELS, RawFinding
from pipeline.intel.match import Intel
from pipeline.keys import digest, digest_bytes
from pipeline.knowledge.schema import Knowledge
from pipeline.output.enriched import FindingWriter, Line, Outcome, level_in_effect
from pipeline.output.records import Provenance, ScanRecord
from pipeline.output.scan_record import Judged, scan_record
from pipeline.output.write import Parts, name_of
from pipeline.rules.baseline import Comparison, Prior, compare
from pipeline.rules.correlate import Correlator
from pipeline.rules.judge import ClassRules, Judge
from pipeline.rules.policy import Policy

_KEPT_AT_ONCE = 8  # answers that one transaction keeps, and that a crash can lose


class Paused(Exception):
    """Raised by `ScanSession.between` to leave a graph in the middle of a node; run again, it goes on there."""


class Resources:
    """What all scans share: knowledge, policy, intelligence, the model if there is one, and the cache.

    Attributes:
        notice: why there is no model where one was wanted; for people, in one line.
        texts: whose words a finding that a model analysed gets; see `FindingWriter`.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        policy: Policy,
        intel: Intel,
        *,
        version: str,
        analyst: Analyst | None = None,
        store: AnalysisStore | None = None,
        notice: str | None = None,
        texts: Texts = "model",
    ) -> None:
        self.notice = notice
        self.texts: Texts = texts
        self.knowledge = knowledge
        self.policy = policy
        self.intel = intel
        self.analyst = analyst
        self.store = store
        self.classes = CompiledClasses(knowledge, policy.profile)
        self.rules = RulesAnalyst(knowledge, policy.profile)
        self.class_rules = ClassRules(knowledge, policy.profile)
        self.parts = Parts()  # of lines, as written
        self.correlator = Correlator(knowledge, policy.profile)
        self.provenance = Provenance(
            agent=version,
            knowledge=knowledge.digest,
            policy=policy.digest,
            intel=intel.digest if intel.num_indicators else None,
            runtime=digest("runtime", analyst.digest, texts) if analyst is not None else ANALYSIS_VERSION,
        )

    @property
    def digest(self) -> str:
        """Name everything that an output depends on beside its report; a thread of the graph is bound to it."""
        return name_of(self.provenance)


def _go_on() -> None:
    """Do nothing: nobody else waits."""


class ScanSession:
    """One scan on the resources.

    Attributes:
        between: called after each answer of the model, which may take long; may raise `Paused`. Its owner sets it:
            the resources are shared with others, who must not be paused by it.
    """

    def __init__(
        self,
        context: ScanContext,
        findings: Sequence[RawFinding],
        resources: Resources,
        prior: Mapping[str, Prior] | None,
    ) -> None:
        """Index, correlate and compare the scan; `prior` is None where no baseline is kept."""
        self._resources = resources
        self.between: Callable[[], None] = _go_on
        self.index: ScanIndex = index_scan(context, findings, resources.classes)
        self.groups = resources.correlator.correlate(self.index)
        self.comparison: Comparison | None = (
            compare(self.index, prior, resources.knowledge, resources.policy.profile)
            if prior is not None and baseline_scope(context.header, context.host_source) is not None
            else None
        )
        self.judge = Judge(
            self.index,
            self.groups,
            resources.knowledge,
            resources.policy,
            resources.intel,
            self.comparison,
            resources.class_rules,
        )
        self._writer = FindingWriter(
            self.index,
            self.judge,
            self.comparison,
            resources.rules,
            resources.knowledge,
            resources.provenance,
            resources.texts,
            resources.parts,
        )
        self._analyst_digest = resources.analyst.digest if resources.analyst is not None else resources.knowledge.digest
        self._questions: dict[int, Question] = {}
        self._shapes: dict[tuple[object, ...], Question] = {}
        self._answers = Answers(resources.store if resources.analyst is not None else None)
        self._unanswered: set[tuple[str, int]] = set()  # key and attempt; asking again would give as little
        self._lines: dict[tuple[int, int], list[Line]] = {}
        self._by_rules: set[int] = set()  # findings whose lines the rules wrote

    @property
    def has_model(self) -> bool:
        """Say whether a model can be asked."""
        return self._resources.analyst is not None

    def require(self, first: int, last: int) -> None:
        """Check that the batch lies within the scan.

        Raises:
            IndexError: if it does not; the plan and the inbox disagree.
        """
        if not 0 <= first <= last <= len(self.index.members):
            raise IndexError(f"batch {first}..{last} outside of {len(self.index.members)} findings")

    def enrich(self, first: int, last: int) -> None:
        """Judge every finding of a batch."""
        for seq in range(first, last):
            self.judge.judge(seq)

    def count_groups(self, first: int, last: int) -> int:
        """Count the correlations that touch a batch."""
        return len({group.group for seq in range(first, last) for group in self.judge.groups(seq)})

    def score(self, first: int, last: int) -> tuple[str, list[int]]:
        """Give the rules' levels, one digit each, and the first finding of each distinct analysis key."""
        levels = "".join(str(LEVELS.index(self.judge.judge(seq).risk.level)) for seq in range(first, last))
        asked: dict[str, int] = {}
        for seq in range(first, last):
            asked.setdefault(self.question(seq).key, seq)
        return levels, sorted(asked.values())

    def question(self, seq: int) -> Question:
        """Ask about a finding; equal situations in equal context share the question."""
        member = self.index.members[seq]
        judgement = self.judge.judge(seq)
        known = self._questions.get(id(judgement))  # the judge keeps its judgements, and twins share theirs
        if known is None:
            context = tuple(group.rule for group in self.judge.groups(seq))
            finding, artefact = member.classified, judgement.artefact
            # All that a question is made of; what is shared between findings (controls, techniques) by identity.
            shape = (
                finding.situation,
                member.severity,
                judgement.status,
                judgement.risk.floor,
                context,
                bool(judgement.intel),
                artefact.id if artefact is not None else None,
                id(judgement.controls),
                id(judgement.techniques),
                tuple((action.id, action.contraindicated is None) for action in judgement.remediation),
                tuple(finding.slots),
            )
            known = self._shapes.get(shape)
            if known is None:
                known = self._shapes[shape] = question(
                    member, judgement, context, self._resources.knowledge, self._analyst_digest
                )
            self._questions[id(judgement)] = known
        return known

    def recall(self, asked: Sequence[int]) -> list[int]:
        """Look answers up; give those that stay open."""
        keys = {seq: self.question(seq).key for seq in asked}
        self._answers.load(keys.values())
        return [seq for seq in asked if self._answers.accepted(keys[seq]) is None]

    def analyse(self, open_: Sequence[int], attempt: int) -> None:
        """Ask the model what was not asked in this attempt yet, and keep the answers as they come."""
        analyst = self._resources.analyst
        if analyst is None:
            return
        self._answers.load(self.question(seq).key for seq in open_)
        wanted: list[Question] = []
        for seq in open_:
            asked = self.question(seq)
            kept = self._answers.get(asked.key)
            done = kept is not None and (kept.accepted or kept.attempt >= attempt)
            if not done and (asked.key, attempt) not in self._unanswered and analyst.takes(asked):
                wanted.append(asked)  # else before an interruption, or for another batch
        # Prompts of one class begin alike, and what two in a row share is computed once.
        wanted.sort(key=lambda asked: (asked.class_id, asked.key))
        fresh: dict[str, CachedAnswer] = {}
        try:
            for asked in wanted:
                answer = analyst.analyse([asked], attempt).get(asked.key)
                if answer is not None:
                    fresh[asked.key] = CachedAnswer(answer, attempt, accepted=False)
                else:  # remembered, or a slow one that pauses the batch would be asked in every turn for ever
                    self._unanswered.add((asked.key, attempt))
                if len(fresh) >= _KEPT_AT_ONCE:
                    self._answers.put(fresh)
                    fresh = {}
                self.between()
        finally:
            self._answers.put(fresh)

    def critique(self, open_: Sequence[int]) -> tuple[list[int], list[int]]:
        """Accept or refuse the drafts; what has none is refused."""
        analyst = self._resources.analyst
        self._answers.load(self.question(seq).key for seq in open_)
        accepted: list[int] = []
        refused: list[int] = []
        standing: dict[str, CachedAnswer] = {}
        for seq in open_:
            asked = self.question(seq)
            kept = self._answers.get(asked.key)
            if kept is None or analyst is None:
                refused.append(seq)
            elif kept.accepted:
                accepted.append(seq)
            elif analyst.critique(asked, kept.answer) is None:
                accepted.append(seq)
                standing[asked.key] = replace(kept, accepted=True)
            else:
                refused.append(seq)
        self._answers.put(standing)
        return accepted, refused

    def fallback(self, open_: Sequence[int]) -> dict[str, list[int]]:
        """Say why the rules answer what is open."""
        analyst = self._resources.analyst
        if analyst is None:
            return {"no_model": list(open_)}
        self._answers.load(self.question(seq).key for seq in open_)
        reasons: dict[str, list[int]] = {}
        for seq in open_:
            asked = self.question(seq)
            reason: FallbackReason = "unknown_class" if asked.class_id.startswith(UNKNOWN) else "not_trained"
            if analyst.takes(asked):
                reason = "rejected" if self._answers.get(asked.key) is not None else "model_failed"
            reasons.setdefault(reason, []).append(seq)
        return reasons

    def count_actions(self, first: int, last: int) -> int:
        """Count the remediations of a batch."""
        return sum(len(self.judge.judge(seq).remediation) for seq in range(first, last))

    def finalise(self, first: int, last: int, decided: Mapping[str, Sequence[int]]) -> str:
        """Write the lines of a batch; returns their digest."""
        self._lines[first, last] = lines = self._write(first, last, decided)
        return digest_bytes(b"\n".join(line.line for line in lines))

    def take_lines(self, first: int, last: int, decided: Mapping[str, Sequence[int]]) -> list[Line]:
        """Hand the lines of a batch over, writing them again if they were written before a restart."""
        lines = self._lines.pop((first, last), None)
        return self._write(first, last, decided) if lines is None else lines

    def _write(self, first: int, last: int, decided: Mapping[str, Sequence[int]]) -> list[Line]:
        reasons: dict[str, FallbackReason] = {
            self.question(seq).key: reason  # type: ignore[misc]
            for reason, seqs in decided.items()
            if reason != "model"
            for seq in seqs
        }
        self._by_rules.difference_update(range(first, last))
        said: dict[str, Outcome] = {}
        lines: list[Line] = []
        for seq in range(first, last):
            key = self.question(seq).key
            if key not in said:
                said[key] = self._said(seq, key, reasons.get(key))
            if said[key].answer is None:
                self._by_rules.add(seq)
            lines.append(self._writer.line(seq, said[key]))
        return lines

    def _said(self, seq: int, key: str, reason: FallbackReason | None) -> Outcome:
        asked = self.question(seq)
        if reason is None and self._answers.get(key) is None:
            self._answers.load([key])
        answer = None if reason is not None else self._answer(seq)
        if answer is not None and self._resources.analyst is not None:
            return Outcome(
                key, "model", answer, self._resources.analyst.model, None, answer.remediation, answer.controls,
                answer.techniques,
            )  # fmt: skip
        reason = reason or ("model_failed" if self.has_model else "no_model")
        controls, techniques = selection(asked) if asked.evidence else ((), ())
        action = asked.actions[0] if asked.actions else None
        return Outcome(key, "rules", None, None, reason, action, controls, techniques)

    def _answer(self, seq: int) -> Answer | None:
        """Give the model's answer to a finding's question, if it was loaded, stands, and did not come too late."""
        return None if seq in self._by_rules else self._answers.accepted(self.question(seq).key)

    def record(self) -> ScanRecord:
        """Summarise the scan."""
        members = self.index.members
        answers: list[Answer | None] = [None] * len(members)
        if self.has_model:
            self._answers.load(self.question(member.seq).key for member in members)
            answers = [self._answer(member.seq) for member in members]
        judgements = [self.judge.judge(member.seq) for member in members]
        judged = Judged(
            self.index,
            judgements,
            levels=list(map(level_in_effect, judgements, answers)),
            say=lambda seq: self._writer.say(members[seq], answers[seq])[:2],
        )
        resources = self._resources
        return scan_record(
            judged, self.groups, self.comparison, resources.knowledge, resources.policy, resources.provenance
        )
