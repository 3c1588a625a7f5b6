"""Everything that the rules decide about one finding of a scan, worked out once for findings that are alike."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.classes.scan import ScanIndex
from pipeline.display import printable
from pipeline.features.process import is_of_scanner
from pipeline.features.systemd import contraindication
from pipeline.finding import Classified, Level, Member, Severity, Status, StatusBasis
from pipeline.intel.match import Hit, Intel
from pipeline.knowledge.predicates import View, view
from pipeline.knowledge.schema import ClassSpec, Degree, Knowledge, TechniqueRef
from pipeline.report.sarif_state import ReportedAcceptance, acceptance_of
from pipeline.review.standing import NONE, Standing, situation_of
from pipeline.review.verdict import MAX_TEXT, Correction
from pipeline.rules.acceptance import acceptance
from pipeline.rules.baseline import Comparison
from pipeline.rules.class_rules import Artefact, ClassRule, ClassRules
from pipeline.rules.compliance import Control, Technique
from pipeline.rules.correlate import Group
from pipeline.rules.policy import Allow, Override, Policy
from pipeline.rules.remediate import Action, escaped_slots
from pipeline.rules.review import Acceptance, Review, Ruling, risk_with, rule, status_with
from pipeline.rules.score import Evidence, Risk, score
from pipeline.rules.signs import Subject, count_patterns
from pipeline.steps import Steps, release

Case = str | tuple[str, ...]

_AT_STAKE: frozenset[Status] = frozenset({"open", "unknown", "error"})
_MISTAKEN: frozenset[Degree] = frozenset({"certain", "likely"})
_SETTLED: frozenset[Status] = frozenset({"accepted", "false_positive"})
_NO_ACTION: frozenset[Status] = frozenset({"passed", "accepted", "false_positive"})


@dataclass(slots=True, frozen=True)
class Judgement:
    """What the rules decided about a finding.

    Attributes:
        severity: in effect; the report's own stands in `finding.severity`.
        class_id: what it was judged as: its own class, or the one that a reviewer holds it for.
        review: the verdict that counts, or None.
        correction: what the verdict says instead.
        is_level_final: a person has set the level, and no answer of a model raises it.
        controls_key, techniques_key: name the lists, which findings that are alike share.
    """

    status: Status
    status_basis: StatusBasis
    severity: Severity
    suppression: Allow | ReportedAcceptance | Acceptance | None
    artefact: Artefact | None
    controls: tuple[Control, ...]
    techniques: tuple[Technique, ...]
    intel: tuple[Hit, ...]
    remediation: tuple[Action, ...]
    risk: Risk
    controls_key: str
    techniques_key: str
    class_id: str
    review: Review | None = None
    correction: Correction | None = None
    is_level_final: bool = False

    @property
    def asked_floor(self) -> Level:
        """The lowest level that a model may answer: of what somebody settled, it is asked as of what is nothing."""
        return "info" if self.status in _SETTLED else self.risk.floor


class Judge:
    """Judges the findings of one scan; pure, and findings that say the same are judged once."""

    def __init__(
        self,
        index: ScanIndex,
        groups: Mapping[int, Sequence[Group]],
        knowledge: Knowledge,
        policy: Policy,
        intel: Intel,
        comparison: Comparison | None,
        rules: ClassRules,
        standing: Standing = NONE,
    ) -> None:
        """Args:
        groups: the correlations that a finding takes part in, by its position in the report.
        standing: the verdicts that count.
        """
        self._standing = standing
        self._index = index
        self._knowledge = knowledge
        self._policy = policy
        self._intel = intel
        self._comparison = comparison
        self._rules = rules
        self._groups = groups
        self._known: dict[Case, Judgement] = {}
        self._at: list[Judgement | None] = [None] * len(index.members)  # by position: each is asked for many times

    def release(self) -> Steps[None]:
        """Let go of the judgements, in steps."""
        yield from release(self._known, self._at)

    def groups(self, seq: int) -> Sequence[Group]:
        """List the correlations that a finding takes part in."""
        return self._groups.get(seq, ())

    def case(self, seq: int) -> Case:
        """Name all that a judgement depends on within the scan: what the finding says, and its correlations."""
        content = self._index.members[seq].classified.content
        groups = self._groups.get(seq)
        return (content, *[group.group for group in groups]) if groups else content

    def judge(self, seq: int) -> Judgement:
        """Judge the finding at a position of the report."""
        judged = self._at[seq]
        if judged is None:
            case = self.case(seq)
            judged = self._known.get(case)
            if judged is None:
                judged = self._known[case] = self._judge(self._index.members[seq], self.groups(seq))
            self._at[seq] = judged
        return judged

    def _judge(self, member: Member, groups: Sequence[Group]) -> Judgement:
        finding, context = member.classified, self._index.context
        allow = self._policy.suppression(context.host, finding, context.latest)
        override = self._policy.override(context.host, finding)
        judged = self._weigh(member, groups, allow, override)
        if not self._standing:
            return judged
        verdict = self._standing.find(context.host, finding.fingerprint, situation_of(finding), context.latest)
        if verdict is None:
            return judged
        ruling = rule(verdict, allow, override, has_indicator=bool(judged.intel), status=judged.status)
        return self._reviewed(member, groups, allow, override, ruling, judged)

    def _reviewed(
        self,
        member: Member,
        groups: Sequence[Group],
        allow: Allow | None,
        override: Override | None,
        ruling: Ruling,
        without: Judgement,
    ) -> Judgement:
        """Judge a finding that has a verdict; `without` is what is said of it where the verdict is left out."""
        verdict, finding, correction = ruling.verdict, member.classified, ruling.correction
        class_id = correction.class_id if correction is not None else None
        if class_id is not None and class_id in self._knowledge.classes:
            finding = replace(finding, class_id=class_id, candidates=())
        finding = replace(finding, status=status_with(ruling, finding.status))
        as_reviewed = replace(member, classified=finding)
        judged = self._weigh(as_reviewed, groups, None if ruling.drops_allow else allow, override, ruling)
        has_indicator = bool(judged.intel)
        risk, held = risk_with(ruling, judged.risk, override, has_indicator=has_indicator)
        overruled = ruling.overruled or held
        review = Review(
            seq=verdict.seq,
            verdict=verdict.kind,
            scope=verdict.target.scope,
            author=printable(verdict.author),
            at=verdict.at,
            reason=printable(verdict.reason, MAX_TEXT),
            status_without=without.status,
            level_without=without.risk.level,
            overruled=overruled,
        )
        return replace(
            judged,
            risk=risk,
            review=review,
            correction=None if ruling.no_effect else correction,
            is_level_final=judged.is_level_final or (ruling.level is not None and held is None),
        )

    def _weigh(
        self,
        member: Member,
        groups: Sequence[Group],
        allow: Allow | None,
        override: Override | None,
        ruling: Ruling | None = None,
    ) -> Judgement:
        finding = member.classified
        context = self._index.context
        spec = self._knowledge.classes.get(finding.class_id)
        seen = view(member, context.header)
        raw = self._index.findings[member.seq]
        # What an operator or a reviewer decided comes before what the report brought along.
        decided = allow is not None or (ruling is not None and not ruling.no_effect and ruling.is_about_risk)
        reported = acceptance_of(raw, context.header) if not decided and finding.status in _AT_STAKE else None
        status = allow.status if allow is not None else "accepted" if reported is not None else finding.status
        status_why = "the report says that it is accepted" if reported is not None else None
        settled = ruling.acceptance if ruling is not None else None
        if ruling is not None and ruling.settles is not None:
            status = ruling.settles
            status_why = ruling.why() if allow is None else None
        severity, severity_why = self._severity(member, spec, override)
        seen.severity = severity
        artefact = next((known for known, test in self._rules.artefacts(finding.class_id) if test(seen)), None)
        class_rules = self._rules.of(finding.class_id)
        topics = class_rules.topics(seen)
        hits = self._intel.match(finding.slots, finding.metadata, context.as_of, context.received)
        # An indicator that matches is a reason by itself, as it is for the score.
        disputed = artefact is not None and artefact.degree in _MISTAKEN and not hits
        # What the operator accepts is still evidence; what is no finding at all is none.
        evident = status if status == "false_positive" else finding.status
        controls_key, controls = self._rules.controls(topics, evident, disputed)
        escaped = escaped_slots(raw.escaped, spec.slots) if spec is not None else frozenset()
        extra = [
            *class_rules.techniques(seen),
            *(
                TechniqueRef(technique=technique, basis="sourced", source="the scanner's own rules")
                for technique in raw.techniques
                if technique in self._knowledge.techniques
            ),
        ]
        techniques_key, techniques = self._rules.shared_techniques(topics, extra)
        compared = self._comparison.seen.get(finding.fingerprint) if self._comparison is not None else None
        # The floor is what the rules say, so it takes the controls that the finding has for them.
        counted = controls if evident == finding.status else self._rules.controls(topics, finding.status, disputed)[1]
        core = sum(1 for control in counted if control.core)
        # The scanner's own process stands in its report like any other, and is part of no attack.
        around = () if is_of_scanner(finding.slots, finding.features, context.header.cmdline) else groups
        risk = score(
            Evidence(
                status=status,
                status_why=status_why,
                severity=severity,
                severity_why=severity_why,
                artefact=(artefact.degree, artefact.why) if artefact is not None else None,
                keep_medium=artefact is not None and artefact.forgeable and finding.scanner == "ioc",
                known=() if override is not None else class_rules.raises(seen),
                raised_by=[(g.rule, g.raises) for g in around if g.raises is not None and member.seq in g.raised],
                intel=[printable(hit.indicator) for hit in hits],
                core_controls=core,
                regressed=compared is not None and compared.state == "regressed",
                status_undecided=finding.status if status != finding.status else None,
                signs=None
                if override is not None
                else Subject(
                    class_id=finding.class_id,
                    category=spec.category if spec is not None else "",
                    features=finding.features,
                    patterns=count_patterns(group.rule for group in around),
                    has_indicator=bool(hits),
                    is_doubtless=finding.status == "open" and artefact is None,
                ),
            )
        )
        return Judgement(
            status=status,
            status_basis=finding.status_basis,
            severity=severity,
            suppression=allow or settled or reported,
            artefact=artefact,
            controls=controls,
            techniques=techniques,
            intel=hits,
            remediation=self._remediation(class_rules, finding, seen, status, escaped),
            risk=risk,
            controls_key=controls_key,
            techniques_key=techniques_key,
            class_id=finding.class_id,
            is_level_final=override is not None,
        )

    def _severity(self, member: Member, spec: ClassSpec | None, override: Override | None) -> tuple[Severity, str]:
        finding = member.classified
        if override is not None:
            return override.severity, f"set by the operator's policy: {override.reason}"
        if finding.status in ("passed", "info"):
            return "info", "nothing to mend"
        raw = self._index.findings[member.seq]
        if spec is not None and (raw.score == 0 or member.severity == "info"):
            return spec.severity, "the class's own severity; the report's says nothing here"
        return member.severity, "the scanner's severity"

    def _remediation(
        self, rules: ClassRule, finding: Classified, seen: View, status: Status, escaped: Collection[str]
    ) -> tuple[Action, ...]:
        if status in _NO_ACTION:
            return ()
        knowledge = self._knowledge
        actions = []
        for ref in rules.remediation(seen):
            unit, directive = ref.with_.get("unit"), ref.with_.get("directive")
            reason = None
            if unit is not None and directive is not None:
                reason = contraindication(knowledge, seen.slots.get(unit.strip("{}"), unit), directive)
            action = knowledge.remediations[ref.use]
            done = self._rules.action(ref, seen.slots, reason, escaped)
            if action.unseen is not None and done.command is not None:
                entry = acceptance(
                    finding.class_id, finding.fingerprint, done.summary, action.unseen, self._index.context.as_of
                )
                done = replace(done, acceptance=entry)
            actions.append(done)
        return tuple(actions)
