"""What is asked about the findings of one scan."""

from pipeline.analysis.question import UNKNOWN, Question, Unknown, highest_level, question
from pipeline.analysis.unknown import unknown_of
from pipeline.classes.scan import ScanIndex
from pipeline.graph.resources import Resources
from pipeline.rules.judge import Case, Judge, Judgement
from pipeline.steps import Steps, release


class Questions:
    """Asks about each finding; equal situations in equal context share the question."""

    def __init__(self, index: ScanIndex, judge: Judge, resources: Resources) -> None:
        self._index = index
        self._judge = judge
        self._knowledge = resources.knowledge
        self._retriever = resources.retriever
        self._analyst_digest = resources.analyst.digest if resources.analyst is not None else resources.knowledge.digest
        self._of_case: dict[Case, Question] = {}
        self._of_shape: dict[tuple[object, ...], Question] = {}
        self._at: list[Question | None] = [None] * len(index.members)  # by position, as for judgements

    def release(self) -> Steps[None]:
        """Let go of the questions, in steps."""
        yield from release(self._of_case, self._at, self._of_shape)

    def of(self, seq: int) -> Question:
        """Give the question about the finding at a position of the report."""
        asked = self._at[seq]
        if asked is None:
            asked = self._at[seq] = self._ask(seq)
        return asked

    def _ask(self, seq: int) -> Question:
        member = self._index.members[seq]
        case = self._judge.case(seq)
        known = self._of_case.get(case)
        if known is None:
            judgement = self._judge.judge(seq)
            context = tuple(group.rule for group in self._judge.groups(seq))
            finding, artefact = member.classified, judgement.artefact
            unknown = self._unknown(seq, judgement)
            # All that a question is made of; what is shared between findings (controls, techniques) by its name.
            shape = (
                finding.situation,
                member.severity,
                judgement.status,
                judgement.asked_floor,
                context,
                bool(judgement.intel),
                artefact.id if artefact is not None else None,
                judgement.controls_key,
                judgement.techniques_key,
                tuple((action.id, action.contraindicated is None) for action in judgement.remediation),
                tuple(finding.slots),
                unknown,
            )
            known = self._of_shape.get(shape)
            if known is None:
                known = self._of_shape[shape] = question(
                    member, judgement, context, self._knowledge, self._analyst_digest, unknown
                )
            self._of_case[case] = known
        return known

    def _unknown(self, seq: int, judgement: Judgement) -> Unknown | None:
        """Give what is left of the texts of a finding that no class knows, or None for any other."""
        if not judgement.class_id.startswith(UNKNOWN):
            return None
        raw = self._index.findings[seq]
        words = self._retriever.words(raw)
        if words is None:
            return None
        ceiling = highest_level(raw.severity, judgement.asked_floor)
        return unknown_of(self._retriever.telling(words), self._retriever.candidates(words), ceiling)
