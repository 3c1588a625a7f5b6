"""The records that go out: frozen, without bytes, and named as in the output."""

from pipeline.output.records.finding import (
    Analysis,
    BaselineEntry,
    Correlation,
    EnrichedFinding,
    FindingProvenance,
    NamedControl,
    ReportedFinding,
    Suppression,
)
from pipeline.output.records.origin import HostFacts, Provenance, VerdictsInUse
from pipeline.output.records.scan import (
    ActionCount,
    AtStake,
    BaselineSection,
    Counts,
    ExpiredEntry,
    FirstAction,
    GoneFinding,
    Issue,
    IssueArtefact,
    IssueLikely,
    PolicySection,
    ScanCorrelation,
    ScanRecord,
)
from pipeline.output.records.story import Sentence
from pipeline.output.records.verdict import Corrected, ReviewedSituation, SupersededFinding, VerdictRecord

__all__ = [
    "ActionCount",
    "Analysis",
    "AtStake",
    "BaselineEntry",
    "BaselineSection",
    "Corrected",
    "Correlation",
    "Counts",
    "EnrichedFinding",
    "ExpiredEntry",
    "FindingProvenance",
    "FirstAction",
    "GoneFinding",
    "HostFacts",
    "Issue",
    "IssueArtefact",
    "IssueLikely",
    "NamedControl",
    "PolicySection",
    "Provenance",
    "ReportedFinding",
    "ReviewedSituation",
    "ScanCorrelation",
    "ScanRecord",
    "Sentence",
    "SupersededFinding",
    "Suppression",
    "VerdictRecord",
    "VerdictsInUse",
]  # fmt: skip
