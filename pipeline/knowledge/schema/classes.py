"""Finding classes: how a finding is recognised, what it is made of, and what is said of it."""

from typing import Literal

from pydantic import Field

from pipeline.finding import Level, Severity, Status, StatusBasis
from pipeline.knowledge.schema.fact import Basis, Fact, Id, Predicate

SlotType = Literal[
    "path", "unit", "pid", "uid", "module", "value", "mountpoint", "fstype", "options", "device", "command",
    "port", "ip", "hash", "count", "text", "pattern", "container", "scanner", "name", "flag",
]  # fmt: skip


class SlotSpec(Fact):
    """A value that varies between findings of a class.

    `source` is ``id``, ``title`` or ``description`` (the named group of that pattern with the slot's name) or
    ``metadata.KEY``. `show` is how a model's prompt may show the value: ``literal`` (only values in `literals`),
    ``bucket`` (a feature replaces it), or ``omit``. The fingerprint is made of the slots with `identity`.
    `pattern` extracts a part of a metadata value: the group with the slot's name; without a match there is no slot.
    `otherwise` is a second source, for findings in which the first has nothing.
    """

    source: str = Field(pattern=r"^(id|title|description|metadata\.[A-Za-z0-9_]+)$")
    type: SlotType
    identity: bool = False
    show: Literal["literal", "bucket", "omit"] = "omit"
    literals: list[str] = []
    pattern: str | None = None
    otherwise: str | None = Field(default=None, pattern=r"^metadata\.[A-Za-z0-9_]+$")


class FeatureSpec(Fact):
    """A closed-vocabulary value computed by a function of `pipeline.features` from slots.

    `args` are slot names (or ``metadata.KEY``); `options` are passed by keyword, as strings.
    """

    fn: str
    args: list[str] = []
    options: dict[str, str] = {}


class StatusRule(Fact):
    """The first rule whose predicates hold decides the status."""

    when: list[Predicate] = []
    status: Status
    basis: StatusBasis


class AnalysisText(Fact):
    """The rules' text about a finding; the first whose predicates hold is used.

    `assessment`: what it is and whether it is a problem here, in one to three sentences. `impact`: what follows from
    it, in one or two. Plain text; the only placeholders are ``{slot}``.
    """

    when: list[Predicate] = []
    assessment: str
    impact: str


class RemediationRef(Fact):
    """A remediation with its parameters; `with` values are templates over slots and `expected` values.

    ``{slot}`` stands for the value of a slot, ``{expected:KEY}`` for the value that the policy's profile prefers.
    """

    use: Id
    with_: dict[str, str] = Field(default={}, alias="with")
    when: list[Predicate] = []


class TopicRef(Fact):
    """A compliance topic of `topics` that this class is evidence for."""

    topic: Id
    when: list[Predicate] = []


class TechniqueRef(Fact):
    """An ATT&CK technique beyond those of the topics."""

    technique: str = Field(pattern=r"^T\d{4}(\.\d{3})?$")
    basis: Basis
    source: str | None = None
    when: list[Predicate] = []


class MatchSpec(Fact):
    """How a finding of the class is recognised. The regular expressions are Python's, and anchor themselves.

    Fields that the report does not carry are not tested; `severities` is used then to narrow the choice. If several
    classes still match, those whose `prefer` does not hold are dropped; a header field that the report lacks counts
    neither for nor against a class.

    A finding that no class matches in all of this is looked at again, words last (`pipeline/classes/inexact.py`). For
    that, `shape` says what else a JSON report has for findings of this class and not for its sisters', and `open_id`
    that the id is a bare value (a path, a pid, a name) which another kind of finding could have, too: such an id
    counts only where severity and `shape` fit. An id that the section `listed` of the knowledge has is no bare value.
    """

    id: str
    title: str | None = None
    description: str | None = None
    severities: list[Severity]
    metadata: list[Predicate] = []
    shape: list[Predicate] = []
    open_id: bool = False
    listed: Literal["modules", "paths"] | None = None
    prefer: list[Predicate] = []


class LevelRule(Fact):
    """The least level of findings for which all of `when` hold; of several rules the highest level counts."""

    when: list[Predicate] = []
    level: Level
    why: str


class AbsenceNeeds(Fact):
    """What a scan must contain before absence counts as resolved: a finding of `class` for which `when` holds."""

    class_: Id = Field(alias="class")
    when: list[Predicate] = []


class RestoreCase(Fact):
    """What one severity implies; plain text, without slots."""

    description: str | None = None
    metadata: dict[str, str] = {}


class RestoreSpec(Fact):
    """How to restore fields that a report format leaves out: templates over slots, or texts by status.

    Only certain values: leave a field out where the slots do not determine it. `by_severity` applies where no rule of
    the scanner's has changed severities and the report's own description does not contradict it; slots are read from
    the metadata that it restores, so a value that the severity implies is known.
    """

    title: str | None = None
    description: str | None = None
    description_by_status: dict[Status, str] = {}
    by_severity: dict[Severity, RestoreCase] = {}
    metadata: dict[str, str] = {}


class ClassSpec(Fact):
    """One finding class.

    `title` is the headline of an issue: our own, short, without slots. `severity` is the level of an open finding of
    the class where the report's severity carries no information (compliance with score 0, inventory). `raises` lists
    cases in which the report's severity is too low.
    `absence` is what it means when the finding is missing from a complete, comparable scan; with `absence_needs`,
    only where that scan shows that it looked far enough.
    `issue_by` names features; findings of the class that agree in all of them are one issue.
    `overlaps` names classes that report the same condition of the host.
    """

    scanner: str
    category: str
    title: str
    meaning: str
    match: MatchSpec
    slots: dict[str, SlotSpec] = {}
    features: dict[str, FeatureSpec] = {}
    status: list[StatusRule]
    severity: Severity
    raises: list[LevelRule] = []
    absence: Literal["resolved", "not_observed"] = "resolved"
    absence_needs: AbsenceNeeds | None = None
    overlaps: list[Id] = []
    topics: list[TopicRef] = []
    attack: list[TechniqueRef] = []
    analysis: list[AnalysisText]
    remediation: list[RemediationRef] = []
    restore: RestoreSpec = RestoreSpec()
    issue_by: list[str] = []
    reachable: Literal["yes", "no", "conditional"] = "yes"
