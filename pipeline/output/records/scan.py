"""The scan record: what is wrong with a host and what to do first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.classes.scan import HostSource
from pipeline.contract import Count, Day, Digest, Doc, Items, Percent, Positive, TechniqueId, Time
from pipeline.finding import Level, Note, SourceFormat, Status
from pipeline.knowledge.schema import Degree
from pipeline.output.records.cut import Cut
from pipeline.output.records.origin import HostFacts, Provenance
from pipeline.output.records.story import Sentence
from pipeline.retrieval.likely import FirstLook
from pipeline.rules.baseline import BaselineState
from pipeline.rules.compliance import FrameworkGap

AtStake = Literal["open", "unknown", "error"]


@dataclass(slots=True, frozen=True, kw_only=True)
class Counts:
    """Numbers of a scan."""

    lines: Annotated[Count, Doc("Findings of the report, twins counted each; as many lines were written.")]
    distinct: Annotated[Count, Doc("Different findings: exact twins count once.")]
    rejected: Annotated[Count, Doc("Findings of the report that could not be used; see the quarantine.")]
    status: Annotated[Mapping[Status, Positive], Doc("Different findings by status.")]
    level: Annotated[
        Mapping[Level, Positive],
        Doc("Different findings at stake (open, unknown, error) by their level in effect."),
    ]
    issues: Annotated[Count, Doc("Length of `issues`.")]
    unknown_class: Annotated[Count, Doc("Lines of a kind that nothing is known about.")]
    ambiguous_class: Annotated[Count, Doc("Lines that could be one of several things.")]
    probable_artefacts: Annotated[Count, Doc("Lines that are certainly or likely mistakes of the scanner.")]
    stay_open: Annotated[
        Count,
        Doc(
            "Different findings at stake that the scanner goes on reporting after they are mended: open until they are "
            "accepted, with the entry in `remediation[].acceptance`. Left out when there are none."
        ),
    ] = 0


@dataclass(slots=True, frozen=True)
class IssueArtefact:
    """A known mistake of the scanner."""

    id: Annotated[str, Doc("Which one.")]
    degree: Annotated[Degree, Doc("How sure that is.")]
    why: Annotated[str, Doc("Why.")]
    check: Annotated[str, Doc("How to find out.")]


@dataclass(slots=True, frozen=True)
class IssueLikely:
    """What findings of an unknown kind look like by their words; a guess, and no evidence."""

    topic: Annotated[str, Doc("The topic of the knowledge that they share most with.")]
    title: Annotated[str, Doc("Its title.")]
    look: Annotated[FirstLook | None, Doc("What to look at first, or null.")]


@dataclass(slots=True, frozen=True)
class FirstAction:
    """The action to take first, for the worst finding that has one."""

    kind: Annotated[str, Doc("Kind of action; `accept` changes nothing, `manual` needs a person's judgement.")]
    id: Annotated[str, Doc("Which action.")]
    summary: Annotated[str, Doc("In words.")]
    command: Annotated[str | None, Doc("For a root shell, or null.")]
    check: Annotated[str | None, Doc("How to see that it worked.")]
    contraindicated: Annotated[str | None, Doc("Why it must not be done, where no other action is left.")]


@dataclass(slots=True, frozen=True)
class ActionCount:
    """One action, and how many findings have it."""

    id: Annotated[str, Doc("Which.")]
    contraindicated: Annotated[bool, Doc("Would break something there.")]
    findings: Annotated[Positive, Doc("Lines that have it.")]


@dataclass(slots=True, frozen=True, kw_only=True)
class Issue:
    """Findings of one kind that are at stake, as one."""

    id: Annotated[Digest, Doc("Names the issue on this host, across scans.")]
    class_: Annotated[str, Doc("The class of its findings.")]
    candidates: Annotated[tuple[str, ...], Doc("With `ambiguous`: what they may be.")]
    title: Annotated[str, Doc("For people.")]
    split: Annotated[Mapping[str, str], Doc("The features that set this issue apart from others of the class.")]
    scanner: Annotated[str, Doc("The scanner.")]
    status: Annotated[AtStake, Doc("Status of its findings.")]
    level: Annotated[Level, Doc("The worst level.")]
    score: Annotated[Percent, Doc("The worst score.")]
    assessment: Annotated[str, Doc("What the worst of them is, and whether it is a problem here, as its line says.")]
    impact: Annotated[str, Doc("What follows from it.")]
    lines: Annotated[Positive, Doc("Lines that belong to it.")]
    distinct: Annotated[Positive, Doc("Things of the host that it is about (fingerprints).")]
    baseline: Annotated[
        Mapping[BaselineState, Positive], Doc("Its findings by baseline state; empty without a baseline.")
    ]
    labels: Annotated[tuple[str, ...], Items(1, 5), Doc("At most five of them, named for people.")]
    examples: Annotated[
        tuple[Digest, ...], Items(1, 5), Doc("Dedupe keys of lines for those labels, in the same order.")
    ]
    artefact: Annotated[
        IssueArtefact | None, Doc("Why the scanner is probably wrong about the worst finding, or null.")
    ]
    do_first: Annotated[FirstAction | None, Doc("Null where there is none.")]
    actions: Annotated[tuple[ActionCount, ...], Doc("All actions of its findings.")]
    reported: Annotated[
        str | None,
        Doc("What the scanner says of the worst of them, where that is no known kind or not in its known words."),
    ] = None
    likely: Annotated[
        IssueLikely | None,
        Doc("What the worst of them seems to be about. Left out where its kind is known, or nothing is."),
    ] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class ScanCorrelation:
    """One pattern across findings of the scan."""

    rule: Annotated[str, Doc("The rule.")]
    group: Annotated[Digest, Doc("Names it; its findings carry the same.")]
    title: Annotated[str, Doc("The rule's title.")]
    why: Annotated[str, Doc("What they mean together.")]
    about: Annotated[str | None, Doc("What the members share, or null.")]
    first: Annotated[str, Doc("What to do first.")]
    level: Annotated[Level, Doc("The worst level among them.")]
    techniques: Annotated[tuple[TechniqueId, ...], Doc("ATT&CK techniques.")]
    findings: Annotated[Positive, Doc("How many lines take part.")]
    members: Annotated[tuple[Digest, ...], Items(1, 10), Doc("Dedupe keys of at most ten of them.")]


@dataclass(slots=True, frozen=True)
class GoneFinding:
    """One finding that is gone or passes now."""

    fingerprint: Annotated[Digest, Doc("Its fingerprint.")]
    class_: Annotated[str, Doc("Its class.")]
    title: Annotated[str, Doc("The class's title.")]
    label: Annotated[str, Doc("Its path, unit or setting, for people.")]
    first_seen_at: Annotated[Time, Doc("When it was first seen.")]
    how: Annotated[Literal["gone", "passed"], Doc("No longer reported, or reported as passed.")]


@dataclass(slots=True, frozen=True)
class BaselineSection:
    """The scan against earlier ones of the same host and profile."""

    compared: Annotated[
        bool,
        Doc(
            "Whether what is absent from this scan means anything: it is complete, unfiltered and says what it covered."
        ),
    ]
    states: Annotated[Mapping[BaselineState, Positive], Doc("Findings of this scan (fingerprints) by state.")]
    resolved: Annotated[tuple[GoneFinding, ...], Doc("Open before, now gone or passed.")]
    not_observed: Annotated[
        tuple[GoneFinding, ...],
        Items(most=200),
        Doc(
            "Open before and not reported now, which does not show that they are mended; at most 200, the last seen "
            "first."
        ),
    ]
    not_observed_count: Annotated[Count, Doc("How many those are in all.")]


@dataclass(slots=True, frozen=True)
class ExpiredEntry:
    """One entry of the allow-list, or one acceptance by a reviewer, that no longer holds."""

    owner: Annotated[str, Doc("Who.")]
    reason: Annotated[str, Doc("Why.")]
    expires: Annotated[Day, Doc("The last day.")]
    class_: Annotated[str | None, Doc("The class that it means, or null.")]
    fingerprint: Annotated[str | None, Doc("The fingerprint that it means, or null.")]
    verdict: Annotated[Positive | None, Doc("Number of the verdict. Left out for an entry of the allow-list.")] = None


@dataclass(slots=True, frozen=True)
class PolicySection:
    """The operator's decisions."""

    profile: Annotated[str, Doc("Which values count as good where frameworks disagree.")]
    expired: Annotated[tuple[ExpiredEntry, ...], Doc("Acceptances that no longer hold.")]


@dataclass(slots=True, frozen=True, kw_only=True)
class ScanSummary:
    """What the whole record of a scan and its line have in common."""

    scan_id: Annotated[str, Doc("Names the scan; its findings carry the same.")]
    host: Annotated[
        str,
        Doc(
            "The host as far as is known: the report's claim, the operator's option, the key that the place of the "
            "file stands for, or `unknown`."
        ),
    ]
    host_source: Annotated[HostSource, Doc("Where `host` comes from. With `unknown` there is no baseline.")]
    host_facts: Annotated[HostFacts, Doc("What the report claims about the host; what it does not say is left out.")]
    profile: Annotated[Digest | None, Doc("Names what the scan covered, or null where the report does not say.")]
    source_format: Annotated[SourceFormat, Doc("The format of the report.")]
    started_at: Annotated[Time | None, Doc("As reported, or null.")]
    finished_at: Annotated[Time | None, Doc("As reported, or null.")]
    as_of: Annotated[
        Time,
        Doc("The time that rules with dates were applied for; what has ended by the time of receipt has ended, too."),
    ]
    complete: Annotated[bool, Doc("All findings that the report announces are here, and none was rejected.")]
    min_severity: Annotated[
        str | None,
        Doc("The scanner left out findings below this severity; null where it left out nothing, or does not say."),
    ]
    notes: Annotated[tuple[Note, ...], Items(unique=True), Doc("What was odd about the report or repaired.")]
    counts: Annotated[Counts, Doc("Numbers of this scan.")]
    correlations: Annotated[tuple[ScanCorrelation, ...], Doc("Patterns across findings.")]
    baseline: Annotated[BaselineSection | None, Doc("Null where no baseline is kept.")]
    compliance: Annotated[
        tuple[FrameworkGap, ...],
        Doc("Gap analysis by framework, in terms of evidence: a scanner cannot show that a control is met."),
    ]
    policy: Annotated[PolicySection, Doc("The operator's decisions.")]
    provenance: Annotated[Provenance, Doc("What made this record, beside the report.")]
    story: Annotated[
        tuple[Sentence, ...],
        Doc("What the scan comes to, a sentence each. Left out where it was not analysed, and by older versions."),
    ] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class ScanRecord(ScanSummary):
    """What is wrong with a host and what to do first; one object for a scan.

    The ledger keeps it whole, `report` shows it, and Kafka carries it, cut where it is larger than a record may be
    there. In a file its place is taken by lines of a bounded length: `sysscan.issue/1` for each issue, then a line of
    the scan, which has a `dedupe_key`.
    """

    schema: Annotated[Literal["sysscan.scan/1"], Doc("Name and version of this format.")]
    issues: Annotated[tuple[Issue, ...], Doc("What is at stake, alike findings as one, the worst first.")]
    top: Annotated[tuple[Digest, ...], Items(most=10), Doc("Ids of the first ten issues.")]
    cut: Annotated[
        Cut | None,
        Doc("What is not in a record of Kafka because it would be too large. Left out where all is."),
    ] = None
