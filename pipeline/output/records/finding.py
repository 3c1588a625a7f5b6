"""The enriched finding: one finding with all that is said about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pipeline.analysis.question import Confidence, FallbackReason, Origin, TextBy
from pipeline.classes.scan import HostSource
from pipeline.contract import Day, Digest, Doc, Items, Positive, Time
from pipeline.finding import ClassBasis, Severity, SourceFormat, Status, StatusBasis
from pipeline.intel.match import Hit
from pipeline.output.records.cut import Cut
from pipeline.output.records.origin import HostFacts, Provenance
from pipeline.retrieval.likely import Likely
from pipeline.rules.baseline import BaselineState
from pipeline.rules.class_rules import Artefact
from pipeline.rules.compliance import Control, Technique
from pipeline.rules.remediate import Action
from pipeline.rules.review import Review
from pipeline.rules.score import Risk


@dataclass(slots=True, frozen=True, kw_only=True)
class ReportedFinding:
    """The finding as the report has it."""

    scanner: Annotated[str, Doc("The scanner that reported it.")]
    id: Annotated[
        str,
        Doc("The report's id. It is no key: ids repeat within a report and hold process ids and running numbers."),
    ]
    title: Annotated[str | None, Doc("The scanner's title; null where neither report nor knowledge has one.")]
    severity: Annotated[Severity, Doc("The report's own severity.")]
    score: Annotated[int | None, Doc("The report's own score, `base_severity_score`.")]
    description: Annotated[
        str | None, Doc("The scanner's description; null where neither report nor knowledge has one.")
    ]
    metadata: Annotated[Mapping[str, Any], Doc("The scanner's metadata, any keys and values.")]
    restored: Annotated[
        tuple[str, ...], Doc("Names of the fields above that the knowledge filled in, `metadata.KEY` for a key.")
    ]
    escaped: Annotated[
        tuple[str, ...],
        Doc(
            "Dotted names of fields that held bytes which are not UTF-8: there, backslashes are doubled and bytes "
            "stand as \\xNN, lone surrogates as \\uNNNN."
        ),
    ]
    extra: Annotated[
        Mapping[str, Any],
        Doc("Keys of the finding that the scanner's format does not define, kept. Left out when there are none."),
    ] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Suppression:
    """What settles the finding: an entry of the allow-list, a verdict, or what its SARIF report brought along."""

    owner: Annotated[str, Doc("Who answers for it; `the report (KIND)` for what the report brought along.")]
    reason: Annotated[str, Doc("Why.")]
    expires: Annotated[
        Day | None,
        Doc(
            "Last day on which it holds, UTC; null for what the report brought along, and for a verdict without an end."
        ),
    ]


@dataclass(slots=True, frozen=True)
class BaselineEntry:
    """The finding against earlier scans of the same host and profile."""

    state: Annotated[
        BaselineState,
        Doc(
            "`regressed`: was fine or gone, now open. `resolved`: was open, now passed. What a scan no longer reports "
            "stands in its scan record."
        ),
    ]
    first_seen_at: Annotated[Time, Doc("`as_of` of the scan that saw it first.")]
    count: Annotated[Positive, Doc("In how many scans it was seen, this one included.")]


@dataclass(slots=True, frozen=True)
class Correlation:
    """One pattern across findings."""

    rule: Annotated[str, Doc("The rule.")]
    group: Annotated[Digest, Doc("Names this one time that the rule holds; members share it.")]
    title: Annotated[str, Doc("The rule's title.")]
    why: Annotated[str, Doc("What they mean together.")]
    about: Annotated[str | None, Doc("What the members share (a path, a process), or null.")]
    members: Annotated[tuple[Digest, ...], Items(1, 10), Doc("Dedupe keys of at most ten members.")]


@dataclass(slots=True, frozen=True)
class NamedControl:
    """One control, by name."""

    framework: Annotated[str, Doc("Id of the framework.")]
    control: Annotated[str, Doc("Id of the control.")]


@dataclass(slots=True, frozen=True, kw_only=True)
class Analysis:
    """What is said about a finding."""

    origin: Annotated[Origin, Doc("Who says it.")]
    assessment: Annotated[str, Doc("What it is, and whether it is a problem here.")]
    impact: Annotated[str, Doc("What follows from it.")]
    text_by: Annotated[
        TextBy,
        Doc(
            "Whose words these are: a model's analysis is told in the words that the knowledge has for such a finding, "
            "and in the model's own where it has none, where it raises the level, or where the settings ask for them."
        ),
    ]
    action: Annotated[str | None, Doc("The remediation to take first, one of `remediation`, or null.")]
    controls: Annotated[
        tuple[NamedControl, ...],
        Items(unique=True),
        Doc("The controls that the finding says most about, out of `compliance`."),
    ]
    techniques: Annotated[
        tuple[str, ...], Items(unique=True), Doc("The techniques that the finding says most about, out of `attack`.")
    ]
    confidence: Annotated[Confidence, Doc("How sure class and status are; derived, not claimed.")]
    key: Annotated[Digest, Doc("What the analysis depends on; equal keys have equal analyses.")]
    situation: Annotated[Digest, Doc("Class, status and features; verdicts on it apply to all findings that share it.")]
    model: Annotated[str | None, Doc("The model, or null.")]
    fallback_reason: Annotated[
        FallbackReason | None,
        Doc(
            "Why the rules answered in a model's place: there is none, it was not trained on this class, it gave no "
            "answer, or its answers were refused; `unknown_class`: nothing is known about the finding, so that there "
            "was nothing to analyse; `internal_error`: this program failed on the finding, and the line "
            "holds only what the report says."
        ),
    ]


@dataclass(slots=True, frozen=True)
class FindingProvenance(Provenance):
    """What made a line, beside the report."""

    source_format: Annotated[SourceFormat, Doc("The format of the report.")]

    @classmethod
    def of(cls, made: Provenance, source_format: SourceFormat) -> "FindingProvenance":
        """Add the report's format to what made the output."""
        return cls(
            made.agent, made.knowledge, made.policy, made.intel, made.runtime, source_format, verdicts=made.verdicts
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class EnrichedFinding:
    """One finding with all that is said about it; one object a line, keys sorted, UTF-8.

    Every finding of a report gives one line, twins too.
    """

    schema: Annotated[Literal["sysscan.enriched/1"], Doc("Name and version of this format.")]
    dedupe_key: Annotated[
        Digest,
        Doc("Names this line; no two lines share it. A line that is delivered twice carries the same key."),
    ]
    fingerprint: Annotated[
        Digest,
        Doc("Names the finding across scans: host, class and identity, without process ids, counts and content."),
    ]
    host: Annotated[
        str,
        Doc(
            "The host as far as is known: the report's claim, the operator's option, the key that the place of the "
            "file stands for, or `unknown`."
        ),
    ]
    host_source: Annotated[HostSource, Doc("Where `host` comes from. With `unknown` there is no baseline.")]
    host_facts: Annotated[HostFacts, Doc("What the report claims about the host; what it does not say is left out.")]
    scan_id: Annotated[str, Doc("Names the scan.")]
    profile: Annotated[
        Digest | None,
        Doc(
            "Names what the scan covered; null where the report does not say. Baselines are kept per host and profile."
        ),
    ]
    observed_at: Annotated[Time | None, Doc("The scan's own start, as reported; null where the format carries none.")]
    as_of: Annotated[Time, Doc("The time that rules with dates (expiry) were applied for.")]
    status: Annotated[
        Status,
        Doc(
            "What the finding says about the host: a weakness (`open`), a check that was fine (`passed`), an inventory "
            "entry (`info`), not to be told from this report (`unknown`), a scanner that failed (`error`); `accepted` "
            "and `false_positive` are the operator's word."
        ),
    ]
    status_basis: Annotated[
        StatusBasis,
        Doc("What the status was read from. The scanner's severity is the weakest: its rules may rewrite it."),
    ]
    finding: Annotated[
        ReportedFinding,
        Doc("The finding as the report has it, with what the format left out restored where the knowledge is certain."),
    ]
    class_: Annotated[
        str,
        Doc(
            "What kind of thing it is, independent of host, path, process and unit; `ambiguous` where the report does "
            "not say enough, `unknown.SCANNER` where nothing is known."
        ),
    ]
    class_basis: Annotated[
        ClassBasis,
        Doc(
            "What `class`, or the candidates, were recognised by where not all that the report says fits: the form of "
            "the `id`; its `shape`, which is severity and metadata with it; or `words` of title and description; or a "
            "reviewer's word (`review`). Left out where everything fits (`exact`)."
        ),
    ] = "exact"
    class_candidates: Annotated[tuple[str, ...], Doc("With `ambiguous`: the classes that remain possible. Else empty.")]
    category: Annotated[str, Doc("The class's topic, for grouping; `unknown` without a class.")]
    slots: Annotated[
        Mapping[str, str],
        Doc(
            "The values that vary between findings of the class, such as path, unit or setting, as the report has them."
        ),
    ]
    features: Annotated[
        Mapping[str, str],
        Doc("Words of closed vocabularies that carry what the slots mean; no text of the host."),
    ]
    occurrences: Annotated[Positive, Doc("How many lines of this scan have this same content, this one included.")]
    severity: Annotated[Severity, Doc("The severity in effect, after the class's own and the operator's.")]
    risk: Annotated[Risk, Doc("How bad it is, and why.")]
    artefact: Annotated[Artefact | None, Doc("Why the scanner is probably wrong, or null.")]
    suppression: Annotated[Suppression | None, Doc("Who accepted the finding and until when, or null.")]
    baseline: Annotated[BaselineEntry | None, Doc("Null where no baseline is kept.")]
    compliance: Annotated[
        tuple[Control, ...],
        Doc("Controls that the finding is evidence for or against. No finding shows that a control is met."),
    ]
    attack: Annotated[tuple[Technique, ...], Doc("MITRE ATT&CK techniques.")]
    threat_intel: Annotated[tuple[Hit, ...], Doc("Local indicators that the finding matches.")]
    correlations: Annotated[tuple[Correlation, ...], Doc("Patterns across findings that this one takes part in.")]
    analysis: Annotated[Analysis, Doc("What is said about it.")]
    remediation: Annotated[
        tuple[Action, ...],
        Doc("What can be done, the first thing first; empty where nothing is to be done."),
    ]
    provenance: Annotated[FindingProvenance, Doc("What made this line, beside the report.")]
    review: Annotated[
        Review | None, Doc("The verdict of a person that counts for the finding. Left out where there is none.")
    ] = None
    likely: Annotated[
        Likely | None,
        Doc("What a finding of an unknown kind seems to be about, by its words. Left out where the class is known."),
    ] = None
    cut: Annotated[Cut | None, Doc("What is not in the line because it would be too long. Left out where all is.")] = (
        None
    )
