"""The shape of the knowledge: every YAML file under `data/` and in an operator's `knowledge.d`.

Each YAML file is a mapping from section name (a field of `Knowledge`) to its entries, so that one
file may hold several sections and one section may be spread over files.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipeline.finding import Level, Severity, Status, StatusBasis

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@:/+-]*$")]
Framework = Literal["nist_800_53_r5", "nist_csf_2_0", "pci_dss_4_0", "hipaa"]
Basis = Literal["sourced", "derived", "inferred"]
Degree = Literal["certain", "likely", "cannot_tell"]


class Fact(BaseModel):
    """Base of all entries: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Predicate(Fact):
    """One test on a finding; a list of predicates holds when all of them do.

    `what` names the subject: ``slot.NAME``, ``feature.NAME``, ``metadata.NAME``, ``header.NAME`` (a field
    of `ScanHeader`), ``status``, ``severity``, ``class``, ``title``, ``description``, ``format``. A subject that
    the finding does not have is absent: only `present: false` and `not_in` hold for it.
    `accepted` names an entry of `expected`: holds when the value is one that the policy's profile accepts.
    """

    what: str = Field(
        pattern=r"^((slot|feature|metadata|header)\.[A-Za-z0-9_]+|status|severity|class|title|description|format)$"
    )
    is_: str | None = Field(default=None, alias="is")
    in_: list[str] | None = Field(default=None, alias="in")
    not_in: list[str] | None = None
    matches: str | None = None  # regular expression, searched
    present: bool | None = None
    at_least: float | None = None  # numeric comparison
    at_most: float | None = None
    accepted: str | None = None
    not_accepted: str | None = None

    @model_validator(mode="after")
    def _one_test(self) -> "Predicate":
        tests = [
            self.is_, self.in_, self.not_in, self.matches, self.present, self.at_least, self.at_most,
            self.accepted, self.not_accepted,
        ]  # fmt: skip
        if sum(test is not None for test in tests) != 1:
            raise ValueError("a predicate has exactly one test")
        return self


SlotType = Literal[
    "path", "unit", "pid", "uid", "module", "value", "mountpoint", "fstype", "options", "device", "command",
    "port", "ip", "hash", "count", "text", "pattern", "container", "scanner", "name", "flag",
]  # fmt: skip


class SlotSpec(Fact):
    """A value that varies between findings of a class.

    `source` is ``id``, ``title`` or ``description`` (the named group of that pattern with the slot's name) or
    ``metadata.KEY``. `show` says how a model's prompt may show it: ``literal`` (only when the value is in
    `literals`), ``bucket`` (a feature stands in), or ``omit``. Identity slots make up the fingerprint.
    `pattern` takes a part out of a metadata value: the group with the slot's name; no match, no slot.
    """

    source: str = Field(pattern=r"^(id|title|description|metadata\.[A-Za-z0-9_]+)$")
    type: SlotType
    identity: bool = False
    show: Literal["literal", "bucket", "omit"] = "omit"
    literals: list[str] = []
    pattern: str | None = None


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
    """What the rules say about a finding; the first whose predicates hold is used.

    `assessment`: what it is and whether it is a problem here, one to three sentences. `impact`: what
    follows from it, one or two sentences. ``{slot}`` placeholders only; text is plain.
    """

    when: list[Predicate] = []
    assessment: str
    impact: str


class RemediationRef(Fact):
    """A remediation with its parameters; `with` values are templates over slots and `expected` values.

    ``{slot}`` puts in a slot, ``{expected:KEY}`` the value that the policy's profile prefers.
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
    """How a finding of the class is recognised; regular expressions as in Python's `re`, matched whole
    with `re.fullmatch` semantics through their own anchors.

    Fields that the report does not carry are not tested, except that `severities` then narrows. Where several
    classes still match, one whose `prefer` does not hold steps back; a header field that the report lacks
    speaks for no class and against none.
    """

    id: str
    title: str | None = None
    description: str | None = None
    severities: list[Severity]
    metadata: list[Predicate] = []
    prefer: list[Predicate] = []


class LevelRule(Fact):
    """Findings of the class for which all of `when` hold have at least this level; of several the highest counts."""

    when: list[Predicate] = []
    level: Level
    why: str


class AbsenceNeeds(Fact):
    """What a scan must show before absence counts: a finding of `class` for which all of `when` hold."""

    class_: Id = Field(alias="class")
    when: list[Predicate] = []


class RestoreCase(Fact):
    """What one severity tells; plain text, no slots."""

    description: str | None = None
    metadata: dict[str, str] = {}


class RestoreSpec(Fact):
    """What can be said about a field that the format left out; a template over slots, or per status.

    Only what is certain: leave a field out where slots do not determine it. `by_severity` holds where no rule
    of the scanner's rewrote severities and the report's own description does not say otherwise; metadata
    restored by it feeds slots, so that a value which severity implies is known.
    """

    title: str | None = None
    description: str | None = None
    description_by_status: dict[Status, str] = {}
    by_severity: dict[Severity, RestoreCase] = {}
    metadata: dict[str, str] = {}


class ClassSpec(Fact):
    """One finding class.

    `title` is ours, short, for people, without slots (an issue's headline). `severity` is the level of an open
    finding of the class when the report's own severity says nothing (0-score compliance, inventory). `raises` says
    where that of the report is too low.
    `absence` says what it means when the finding is gone from a complete, comparable scan; with `absence_needs` only
    where that scan shows that it looked far enough.
    `issue_by` names the features that split issues of this class; findings alike in them are one issue.
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


class ControlRef(Fact):
    """One control of one framework for a topic, resolved: title and source stand beside it.

    `core`: stated by at least two independent sources. `caution`: why it looks misplaced; such entries
    are marked and stand last.
    """

    framework: Framework
    control: str
    title: str
    basis: Basis
    source: str
    core: bool = False
    caution: str | None = None


class TopicTechnique(Fact):
    technique: str
    name: str
    basis: Basis
    source: str


class Topic(Fact):
    """A setting or condition with everything that frameworks say about it."""

    title: str
    controls: list[ControlRef] = []
    techniques: list[TopicTechnique] = []
    expected: str | None = None
    notes: list[str] = []


class FrameworkFact(Fact):
    """A framework: name, version, licence note, and id → title of the controls that topics name.

    `total`: how many controls the whole framework has, groups (families, categories, x.y requirements) not counted.
    `groups`: id → title of the headings over those controls; a group that a source cites itself is in both.
    """

    title: str
    version: str
    licence: str
    controls: dict[str, str]
    total: int = 0
    groups: dict[str, str] = {}


class Expected(Fact):
    """Which values of a setting are good, by policy profile; frameworks disagree.

    `accepted` and `preferred` have at least the key ``default``; other profiles (``strict``, ``cis``) fall back to
    it. `sources` says who asks for which value.
    """

    accepted: dict[str, list[str]]
    preferred: dict[str, str]
    sources: dict[str, str]
    note: str | None = None


class Remediation(Fact):
    """A typed action. In `command`, `check` and `rollback` every ``{param}`` is quoted for the shell by the
    renderer; in `summary` it is shown as text. A manual action may have no command; to `accept` is to change nothing.
    """

    kind: Literal[
        "sysctl", "file_mode", "file_capability", "mount_option", "systemd_dropin", "package", "service",
        "modprobe_block", "audit_rule", "kernel_cmdline", "config_file", "process", "manual", "accept",
    ]  # fmt: skip
    params: list[str] = []
    summary: str
    command: str | None = None
    check: str
    rollback: str
    caution: str | None = None


class Artefact(Fact):
    """Something the scanner gets wrong.

    Applies to a finding of one of `classes` for which all of `when` hold. `forgeable`: the evidence for it
    can be made by anyone who can name a file or a process, so it never takes an IOC below medium.
    """

    classes: list[Id]
    when: list[Predicate] = []
    degree: Degree
    why: str
    check: str
    forgeable: bool = False
    source: str = "scanner defect, sys-scan 6.0.0"


class Selection(Fact):
    """Findings of a scan: of one of `classes`, with all of `when`.

    `credible` leaves out those of which the scanner is certainly or likely wrong, by the artefacts.
    """

    classes: list[Id]
    when: list[Predicate] = []
    credible: bool = False


class CorrelationMember(Selection):
    """One side of a correlation: which findings of the scan take part, by itself, by one of `or`, or by one of the
    named `selections` in `use`.

    `min` counts distinct findings. With 0 the rule holds without them too, and lists them where they are.
    """

    classes: list[Id] = []
    or_: list[Selection] = Field(default=[], alias="or")
    use: list[Id] = []
    min: int = Field(default=1, ge=0)

    def alternatives(self, named: Mapping[str, list[Selection]]) -> list[Selection]:
        """Give all selections by which a finding takes part.

        Raises:
            KeyError: if `use` names one that is not there.
        """
        own: list[Selection] = [self] if self.classes else []
        return [*own, *self.or_, *(selection for name in self.use for selection in named[name])]


class Join(Fact):
    """Two members belong together only when these values agree, after `transform`.

    A value is ``MEMBER.slot.NAME`` or ``MEMBER.feature.NAME``; ``A|B`` takes the first that the finding has.
    `relation`: they are ``equal``, or the left path lies ``below`` the right one or is it; of several directories the
    deepest counts. `transform`: ``same_file`` gives a path as a merged-/usr host has it, without the kernel's mark.
    """

    left: str
    right: str
    transform: Literal["none", "basename", "strip_deleted", "dirname", "same_file"] = "none"
    relation: Literal["equal", "below"] = "equal"


class Correlation(Fact):
    """Findings that mean more together, across scanners.

    `raises` is the least level that each finding of a `raise_members` member gets. `why` is for people. A rule with
    joins holds once for each value of the first; members that no join names are then context, listed in part.
    """

    title: str
    why: str
    members: dict[str, CorrelationMember]
    joins: list[Join] = []
    absent: list[CorrelationMember] = []
    raises: Level | None = None
    raise_members: list[str] = []
    techniques: list[str] = []
    first: str = ""  # what to do first, one sentence


class UnitFact(Fact):
    """A systemd unit that we know: its role, kind, and the directives that would break it, with the reason."""

    role: Id
    kind: Literal["daemon", "oneshot", "template", "socket_activated", "alias", "interactive"] = "daemon"
    breaks: dict[str, str] = {}
    note: str | None = None


class UnitRole(Fact):
    title: str
    breaks: dict[str, str] = {}


class PathFact(Fact):
    """A well-known path: owning package (Debian name) and why it is as it is.

    Paths are in merged-/usr form. `distros` are the families that have it so; empty means all of them.
    """

    package: str
    role: str
    setuid: bool = False
    setgid: bool = False
    capability: str | None = None
    distros: list[Literal["debian", "rhel", "suse", "arch"]] = []
    note: str | None = None


class ModuleFact(Fact):
    family: Id
    note: str | None = None
    blockable: bool = False  # listed by hardening benchmarks as one to block where unused
    file: str | None = None  # name of the .ko without suffix, where it is not the module's (dashes)
    large: bool = False  # more than 2 MiB once decompressed, or near it, in stock kernels


class ToolFact(Fact):
    """A process or program name: what kind of tool it is."""

    kind: Literal[
        "miner", "rootkit", "netcat", "scanner", "shell", "interpreter", "kernel_thread", "service", "desktop",
        "developer", "backup", "container", "monitoring",
    ]  # fmt: skip
    note: str | None = None


class Knowledge(Fact):
    """All of it. `digest` is the sha256 of the canonical JSON of everything else."""

    classes: dict[Id, ClassSpec] = {}
    topics: dict[Id, Topic] = {}
    frameworks: dict[Framework, FrameworkFact] = {}
    techniques: dict[str, str] = {}  # ATT&CK id → name
    expected: dict[Id, Expected] = {}
    remediations: dict[Id, Remediation] = {}
    artefacts: dict[Id, Artefact] = {}
    selections: dict[Id, list[Selection]] = {}  # kinds of findings that several correlations speak of
    correlations: dict[Id, Correlation] = {}
    units: dict[str, UnitFact] = {}
    roles: dict[Id, UnitRole] = {}
    paths: dict[str, PathFact] = {}
    modules: dict[str, ModuleFact] = {}
    families: dict[Id, str] = {}
    tools: dict[str, ToolFact] = {}
    digest: str = ""
