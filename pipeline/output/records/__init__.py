"""The records that go out: frozen, without bytes, and named as in the output."""

from pipeline.output.records.cut import Cut, CutPart
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
from pipeline.output.records.lines import IssueRecord, ListedIssue, ScanLine
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
    ScanSummary,
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
    "Cut",
    "CutPart",
    "EnrichedFinding",
    "ExpiredEntry",
    "FindingProvenance",
    "FirstAction",
    "GoneFinding",
    "HostFacts",
    "Issue",
    "IssueArtefact",
    "IssueLikely",
    "IssueRecord",
    "ListedIssue",
    "NamedControl",
    "PolicySection",
    "Provenance",
    "ReportedFinding",
    "ReviewedSituation",
    "ScanCorrelation",
    "ScanLine",
    "ScanRecord",
    "ScanSummary",
    "Sentence",
    "SupersededFinding",
    "Suppression",
    "VerdictRecord",
    "VerdictsInUse",
]  # fmt: skip
