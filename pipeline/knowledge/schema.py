"""The schema of the knowledge: of every YAML file under `data/` and in an operator's `knowledge.d`.

Each YAML file is a mapping from section names (the fields of `Knowledge`) to entries. One file may hold several
sections, and one section may be spread over several files.
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
    the finding does not have is absent: for it, only `present: false` and `not_in` hold.
    `accepted` names an entry of `expected`, and holds when the policy's profile accepts the value.
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


class ControlRef(Fact):
    """One control of one framework that a topic maps to, with its title and the source of the mapping.

    `core`: stated by at least two independent sources. `caution`: why the mapping looks wrong; such entries are
    marked and come last.
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
    """A setting or condition, with the controls and techniques that it maps to."""

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
    """The acceptable values of a setting, by policy profile, because frameworks disagree.

    `accepted` and `preferred` have at least the key ``default``; other profiles (``strict``, ``cis``) fall back to
    it. `sources` names who asks for which value.
    """

    accepted: dict[str, list[str]]
    preferred: dict[str, str]
    sources: dict[str, str]
    note: str | None = None


class Remediation(Fact):
    """A typed action. In all shell texts every ``{param}`` is quoted for the shell by the renderer; in `summary` it is
    shown as text. A manual action may have no command; to `accept` is to change nothing.

    An action that changes something has a `note`: shell that runs in an empty directory of its own before anything is
    changed, and writes down there what is needed to restore it; `command` and `rollback` run in that directory, and the
    rollback is one that reads it. `needs` fails, with a line on standard error, where the command could not work; then
    nothing is noted or changed. `let` are assignments that stand before each of these. All of them are lists joined
    with ``&&``, and a text in the middle must not be one that hides a failure.
    `unseen`: why the scanner goes on reporting the finding after the action has taken effect.
    """

    kind: Literal[
        "sysctl", "file_mode", "file_capability", "mount_option", "systemd_dropin", "package", "service",
        "modprobe_block", "audit_rule", "kernel_cmdline", "config_file", "process", "manual", "accept",
    ]  # fmt: skip
    params: list[str] = []
    summary: str
    let: str | None = None
    needs: str | None = None
    note: str | None = None
    command: str | None = None
    check: str
    rollback: str
    caution: str | None = None
    unseen: str | None = None

    @model_validator(mode="after")
    def _parts_of_a_note(self) -> "Remediation":
        if self.note is None and (self.let is not None or self.needs is not None):
            raise ValueError("`let` and `needs` come with a `note`")
        if self.note is not None and self.command is None:
            raise ValueError("a `note` comes with a `command`")
        return self


class Artefact(Fact):
    """A known error of the scanner.

    It applies to findings of `classes` for which all of `when` hold. `forgeable`: anyone who can name a file or a
    process can fake its signs, so it never lowers an IOC below medium.
    """

    classes: list[Id]
    when: list[Predicate] = []
    degree: Degree
    why: str
    check: str
    forgeable: bool = False
    source: str = "scanner defect, sys-scan 6.0.0"


class Selection(Fact):
    """A selection of findings: of one of `classes`, with all of `when`.

    `credible` leaves out findings that are certainly or likely errors of the scanner, by the artefacts.
    """

    classes: list[Id]
    when: list[Predicate] = []
    credible: bool = False


class CorrelationMember(Selection):
    """One member of a correlation: the findings selected by its own fields, by one of `or`, or by a named selection.

    `use` names entries of `selections`. `min` counts distinct findings; with 0 the rule also holds without them, and
    lists them if there are any.
    """

    classes: list[Id] = []
    or_: list[Selection] = Field(default=[], alias="or")
    use: list[Id] = []
    min: int = Field(default=1, ge=0)

    def alternatives(self, named: Mapping[str, list[Selection]]) -> list[Selection]:
        """Return all selections by which a finding takes part.

        Raises:
            KeyError: if `use` names one that is not there.
        """
        own: list[Selection] = [self] if self.classes else []
        return [*own, *self.or_, *(selection for name in self.use for selection in named[name])]


class Join(Fact):
    """A condition on the values of two members, compared after `transform`.

    A value is ``MEMBER.slot.NAME`` or ``MEMBER.feature.NAME``; ``A|B`` takes the first that the finding has.
    `relation`: the values are ``equal``, or the left path is ``below`` the right one or the same; of several
    directories the deepest counts. `transform`: ``same_file`` is the path as a merged-/usr host has it, without the
    kernel's mark of a deleted file.
    """

    left: str
    right: str
    transform: Literal["none", "basename", "strip_deleted", "dirname", "same_file"] = "none"
    relation: Literal["equal", "below"] = "equal"


class Correlation(Fact):
    """A rule about findings, also of different scanners, that mean more together than each alone.

    `raises` is the least level of each finding of the members in `raise_members`. `why` is for people. A rule with
    joins holds once for each value of the first join; members that no join names are context, listed in part.
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
    """A known systemd unit: its role, its kind, and the directives that would break it, with the reason."""

    role: Id
    kind: Literal["daemon", "oneshot", "template", "socket_activated", "alias", "interactive"] = "daemon"
    breaks: dict[str, str] = {}
    note: str | None = None


class UnitRole(Fact):
    title: str
    breaks: dict[str, str] = {}


class PathFact(Fact):
    """A well-known path: the package that owns it (Debian's name), and what it is for.

    Paths are those of a merged-/usr host. `distros`: the families in which this holds; empty means all.
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
    blockable: bool = False  # hardening benchmarks ask to block it where it is unused
    file: str | None = None  # name of the .ko file without suffix, where it differs from the module's (dashes)
    large: bool = False  # more than 2 MiB once decompressed, or near it, in stock kernels


class ToolFact(Fact):
    """A process or program name, and the kind of tool it is."""

    kind: Literal[
        "miner", "rootkit", "netcat", "scanner", "shell", "interpreter", "kernel_thread", "service", "desktop",
        "developer", "backup", "container", "monitoring",
    ]  # fmt: skip
    note: str | None = None


class Look(Fact):
    """A first look at what an unknown finding may be about: a command that changes nothing.

    It holds no placeholder, so that no text of a finding can reach it. `topics` are beginnings of topic ids; of several
    looks the one with the longest beginning is offered. `subject` is the kind of thing that is looked at.
    """

    subject: Literal[
        "account", "audit", "boot", "container", "file", "firewall", "logging", "mac", "module", "mount", "network",
        "package", "process", "service", "sysctl", "unit",
    ]  # fmt: skip
    summary: str
    command: str
    topics: list[str]


class Knowledge(Fact):
    """All sections of the knowledge. `digest` is computed over the canonical JSON of all others."""

    classes: dict[Id, ClassSpec] = {}
    topics: dict[Id, Topic] = {}
    frameworks: dict[Framework, FrameworkFact] = {}
    techniques: dict[str, str] = {}  # ATT&CK id → name
    expected: dict[Id, Expected] = {}
    remediations: dict[Id, Remediation] = {}
    artefacts: dict[Id, Artefact] = {}
    selections: dict[Id, list[Selection]] = {}  # shared by several correlations
    correlations: dict[Id, Correlation] = {}
    units: dict[str, UnitFact] = {}
    roles: dict[Id, UnitRole] = {}
    paths: dict[str, PathFact] = {}
    modules: dict[str, ModuleFact] = {}
    families: dict[Id, str] = {}
    tools: dict[str, ToolFact] = {}
    synonyms: dict[Id, list[str]] = {}  # words that mean nearly the same where an unknown finding is searched
    aliases: dict[Id, list[str]] = {}  # topic → how other tools and people word it
    off_topic: dict[Id, list[str]] = {}  # kind of thing → what is reported of it that no topic is about
    looks: dict[Id, Look] = {}
    digest: str = ""
