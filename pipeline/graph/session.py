"""The working objects of one scan: what the graph's nodes act on, rebuilt by pure functions whenever it is needed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pipeline.analysis.answers import Answers, CachedAnswer
from pipeline.analysis.choice import choose
from pipeline.analysis.question import UNKNOWN, Answer, FallbackReason, Question
from pipeline.classes.scan import ScanContext, ScanIndex, baseline_scope, index_steps
from pipeline.finding import Level, RawFinding
from pipeline.graph.asking import Asking, Pause, again, wait_for_one
from pipeline.graph.questions import Questions
from pipeline.graph.resources import Resources
from pipeline.graph.state import BatchState
from pipeline.keys import digest, digest_bytes
from pipeline.output.enriched import FindingWriter, Line, Outcome, level_in_effect
from pipeline.output.judged import Judged
from pipeline.output.records import ScanRecord, VerdictsInUse
from pipeline.output.scan_record import record_steps
from pipeline.review.standing import NONE, Standing
from pipeline.rules.baseline import Comparison, Prior, compare_steps
from pipeline.rules.correlate import Group, groups_of_findings
from pipeline.rules.judge import Judge, Judgement
from pipeline.steps import Steps, finish, pieces, release

_NONE = -1  # stands for an action where there is none to take


class Stale(Exception):
    """Raised when a checkpointed batch rests on what is no longer so; it is run again from its start."""


class ScanSession:
    """One scan on the resources.

    Attributes:
        pause: what to do while the model is at work; see `Asking.ask`. Its owner sets it: the resources are shared with
            others, who must not be paused by it.
    """

    def __init__(
        self,
        resources: Resources,
        index: ScanIndex,
        groups: Sequence[Group],
        groups_of: Mapping[int, Sequence[Group]],
        comparison: Comparison | None,
        standing: Standing = NONE,
    ) -> None:
        """Args:
        groups_of: those of `groups` that a finding takes part in, by its position in the report.
        standing: the verdicts that the scan is judged with.
        """  # fmt: skip
        self._standing = standing
        head = standing.head
        in_use = VerdictsInUse(head.seq, head.hash) if head.seq else None
        self._provenance = replace(resources.provenance, verdicts=in_use) if in_use else resources.provenance
        self._resources = resources
        self.pause: Pause = wait_for_one
        self.index = index
        self.groups = groups
        self.comparison = comparison
        self.judge = Judge(
            index, groups_of, resources.knowledge, resources.policy, resources.intel, comparison, resources.class_rules,
            standing,
        )  # fmt: skip
        self._writer = FindingWriter(
            index,
            self.judge,
            comparison,
            resources.rules,
            resources.knowledge,
            self._provenance,
            resources.texts,
            resources.parts,
            resources.retriever,
        )
        self._questions = Questions(index, self.judge, resources)
        self._answers = Answers(resources.store if resources.analyst is not None else None)
        self._asking = Asking(resources.analyst, self._answers) if resources.analyst is not None else None
        self._lines: dict[tuple[int, int], list[Line]] = {}
        self._by_rules: set[int] = set()  # findings whose lines the rules wrote

    @classmethod
    def of(
        cls,
        context: ScanContext,
        findings: Sequence[RawFinding],
        resources: Resources,
        prior: Mapping[str, Prior] | None,
        standing: Standing = NONE,
    ) -> "ScanSession":
        """Open a scan at once, as `steps` does in steps."""
        return finish(cls.steps(context, findings, resources, prior, standing))

    @classmethod
    def steps(
        cls,
        context: ScanContext,
        findings: Sequence[RawFinding],
        resources: Resources,
        prior: Mapping[str, Prior] | None,
        standing: Standing = NONE,
    ) -> Steps["ScanSession"]:
        """Index, correlate and compare the scan; `prior` is None where no baseline is kept."""
        index = yield from index_steps(context, findings, resources.classes)
        groups = yield from resources.correlator.steps(index)
        groups_of = yield from groups_of_findings(groups)
        comparison = None
        if prior is not None and baseline_scope(context.header, context.host_source) is not None:
            comparison = yield from compare_steps(index, prior, resources.knowledge, resources.policy.profile)
        return cls(resources, index, groups, groups_of, comparison, standing)

    def release(self) -> Steps[None]:
        """Let go of the scan, in steps; the session is of no use afterwards."""
        yield from self._questions.release()
        yield from self._writer.release()
        yield from self.judge.release()
        if self.comparison is not None:
            yield from release(self.comparison.seen)
        yield from release(self.index.members)

    @property
    def has_model(self) -> bool:
        """Say whether a model can be asked."""
        return self._resources.analyst is not None

    def classify(self, first: int, last: int) -> list[int]:
        """List the findings of a batch that say something of their own; all others are twins of these.

        Raises:
            IndexError: if the batch lies outside of the scan; the plan and the inbox disagree.
        """
        members = self.index.members
        if not 0 <= first <= last <= len(members):
            raise IndexError(f"batch {first}..{last} outside of {len(members)} findings")
        kinds: dict[str, int] = {}
        for seq in range(first, last):
            kinds.setdefault(members[seq].classified.content, seq)
        return list(kinds.values())

    def correlate(self, first: int, last: int, kinds: Sequence[int]) -> list[int]:
        """List the findings of a batch to be judged: one of each kind, and twins with other correlations than it."""
        cases = {self.judge.case(seq): seq for seq in kinds}
        if self.groups:
            for seq in range(first, last):
                if self.judge.groups(seq):
                    cases.setdefault(self.judge.case(seq), seq)
        return sorted(cases.values())

    def assess(self, cases: Sequence[int]) -> str:
        """Judge findings by the rules; returns a digest of the outcome."""
        evidence: list[tuple[object, ...]] = []
        for seq in cases:
            judged = self.judge.judge(seq)
            actions = [action.id for action in judged.remediation]
            evidence.append(
                (
                    self.index.members[seq].dedupe_key, judged.status, judged.severity, judged.controls_key,
                    judged.techniques_key, len(judged.intel), actions, judged.risk.level, judged.risk.score,
                )
            )  # fmt: skip
        return digest("evidence", evidence)

    def ask(self, cases: Sequence[int]) -> list[int]:
        """List the questions that the cases raise: for each, the first finding that has it."""
        asked: dict[str, int] = {}
        for seq in cases:
            asked.setdefault(self.question(seq).key, seq)
        return list(asked.values())

    def question(self, seq: int) -> Question:
        """Ask about a finding; equal situations in equal context share the question."""
        return self._questions.of(seq)

    def recall(self, asked: Sequence[int]) -> list[int]:
        """Look answers up; give those that stay open."""
        self._load(asked)
        return [seq for seq in asked if self._answers.accepted(self.question(seq).key) is None]

    def _load(self, asked: Iterable[int]) -> None:
        """Have at hand what is known of the answers: what the model brought along, else what the store keeps.

        The former is not kept in the store: it is found as fast where it lies.
        """
        analyst = self._resources.analyst
        if analyst is None:
            return
        questions = {question.key: question for question in map(self.question, asked) if analyst.takes(question)}
        self._answers.find(questions.values(), analyst.recall)
        self._answers.load(questions)

    def analyse(self, open_: Sequence[int], attempt: int) -> None:
        """Ask the model what was not asked in this attempt yet, and keep the answers as they come."""
        analyst = self._resources.analyst
        if analyst is None or self._asking is None:
            return
        self._load(open_)
        wanted: list[Question] = []
        for seq in open_:
            asked = self.question(seq)
            kept = self._answers.get(asked.key)
            done = kept is not None and (kept.accepted or kept.attempt >= attempt)
            if not done and analyst.takes(asked):  # else before an interruption, or for another batch
                wanted.append(asked if not attempt else again(analyst, asked, kept))
        # Prompts of one class begin alike, and what two in a row share is computed once.
        wanted.sort(key=lambda asked: (asked.class_id, asked.key))
        self._asking.ask(wanted, attempt, self.pause)

    def critique(self, open_: Sequence[int]) -> tuple[list[int], list[int]]:
        """Accept or refuse the drafts; what has none is refused."""
        analyst = self._resources.analyst
        self._load(open_)
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
        self._load(open_)
        reasons: dict[str, list[int]] = {}
        for seq in open_:
            asked = self.question(seq)
            reason: FallbackReason = "unknown_class" if asked.class_id.startswith(UNKNOWN) else "not_trained"
            if analyst.takes(asked):
                reason = "rejected" if self._answers.get(asked.key) is not None else "model_failed"
            reasons.setdefault(reason, []).append(seq)
        return reasons

    def remediate(self, asked: Sequence[int], decided: Mapping[str, Sequence[int]]) -> list[int]:
        """Choose for each question the action to take first: its number among those that fit, or -1."""
        chosen: list[int] = []
        for seq, said in zip(asked, self._outcomes(asked, decided), strict=True):
            fitting = self.question(seq).actions
            chosen.append(fitting.index(said.action) if said.action in fitting else _NONE)
        return chosen

    def finalise(self, state: BatchState) -> str:
        """Write the lines of a batch; returns their digest."""
        self._lines[state["first"], state["last"]] = lines = self._write(state)
        return _seal(lines)

    def check(self, state: BatchState) -> None:
        """Make sure, before a checkpointed batch is gone on with, that its row numbers still mean the same findings.

        Raises:
            Stale: if they do not.
        """
        if "evidence" in state and self.assess(state["cases"]) != state["evidence"]:
            raise Stale("findings are judged otherwise than before")

    def take_lines(self, state: BatchState) -> list[Line]:
        """Hand the lines of a finished batch over, writing them again if they were written before a restart.

        Raises:
            Stale: if they would now be other lines.
        """
        lines = self._lines.pop((state["first"], state["last"]), None)
        if lines is None:
            lines = self._write(state)
            if _seal(lines) != state["seal"]:
                raise Stale("lines are written otherwise than before")
        return lines

    def _write(self, state: BatchState) -> list[Line]:
        first, last, asked = state["first"], state["last"], state["asked"]
        said: dict[str, Outcome] = {}
        for seq, outcome, chosen in zip(asked, self._outcomes(asked, state["decided"]), state["actions"], strict=True):
            action = self.question(seq).actions[chosen] if chosen != _NONE else None
            said[outcome.key] = replace(outcome, action=action)
        self._by_rules.difference_update(range(first, last))
        lines: list[Line] = []
        for seq in range(first, last):
            outcome = said[self.question(seq).key]
            if outcome.answer is None:
                self._by_rules.add(seq)
            lines.append(self._writer.line(seq, outcome))
        return lines

    def _outcomes(self, asked: Iterable[int], decided: Mapping[str, Sequence[int]]) -> list[Outcome]:
        """Say for each question who answers it, and what; those that nobody decided about were in the cache."""
        reasons: dict[int, FallbackReason] = {
            seq: reason  # type: ignore[misc]
            for reason, seqs in decided.items()
            if reason != "model"
            for seq in seqs
        }
        by_model = [seq for seq in asked if seq not in reasons]
        self._load(by_model)
        return [self._outcome(self.question(seq), reasons.get(seq)) for seq in asked]

    def _outcome(self, asked: Question, reason: FallbackReason | None) -> Outcome:
        if reason is not None:
            said = choose(asked, self._resources.knowledge)
            return Outcome(asked.key, "rules", None, None, reason, said.action, said.controls, said.techniques)
        answer = self._answers.accepted(asked.key)
        if answer is None or self._resources.analyst is None:
            raise Stale("an answer that was there is gone from the cache")
        model = self._resources.analyst.model
        return Outcome(asked.key, "model", answer, model, None, answer.remediation, answer.controls, answer.techniques)

    def _answer(self, seq: int) -> Answer | None:
        """Give the model's answer to a finding's question, if it was loaded, stands, and did not come too late."""
        return None if seq in self._by_rules else self._answers.accepted(self.question(seq).key)

    def record(self) -> ScanRecord:
        """Summarise the scan."""
        return finish(self.record_steps())

    def record_steps(self) -> Steps[ScanRecord]:
        """Do what `record` does, in steps."""
        members = self.index.members
        answers: list[Answer | None] = [None] * len(members)
        judgements: list[Judgement] = []
        levels: list[Level] = []
        for piece in pieces(members):
            if self.has_model:
                self._load(member.seq for member in piece)
            for member in piece:
                if self.has_model:
                    answers[member.seq] = self._answer(member.seq)
                judgements.append(self.judge.judge(member.seq))
                levels.append(level_in_effect(judgements[-1], answers[member.seq]))
            yield
        judged = Judged(
            self.index,
            judgements,
            levels,
            say=lambda seq: self._writer.say(members[seq], answers[seq])[:2],
            likely=lambda seq: self._writer.likely(seq, answers[seq]),
        )
        resources = self._resources
        return (
            yield from record_steps(
                judged,
                self.groups,
                self.comparison,
                resources.knowledge,
                resources.policy,
                self._provenance,
                self._standing,
            )
        )


def _seal(lines: Sequence[Line]) -> str:
    return digest_bytes(b"\n".join(line.line for line in lines))
