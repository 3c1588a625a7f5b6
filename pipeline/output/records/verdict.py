"""The record of a verdict: what it changes in lines that went out before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.contract import Count, Day, Digest, Doc, Hash, Items, Positive, Time
from pipeline.finding import Level, Status
from pipeline.output.records.cut import Cut
from pipeline.review.verdict import Kind, Scope


@dataclass(slots=True, frozen=True)
class ReviewedSituation:
    """A situation as the reviewer saw it; a finding that has all of it is in it, whatever else is known of it."""

    class_: Annotated[str, Doc("The class.")]
    status: Annotated[Status, Doc("The status that the report says.")]
    features: Annotated[Mapping[str, str], Doc("The features.")]
    candidates: Annotated[tuple[str, ...], Doc("With `ambiguous`: the classes that remain possible.")]


@dataclass(slots=True, frozen=True)
class Corrected:
    """What the reviewer says instead; what is left out stays as it was said."""

    level: Annotated[Level | None, Doc("The level.")] = None
    class_: Annotated[str | None, Doc("The class.")] = None
    action: Annotated[str | None, Doc("The remediation to take first.")] = None
    controls: Annotated[tuple[str, ...] | None, Doc("The controls that it says most about, `framework:id`.")] = None
    techniques: Annotated[tuple[str, ...] | None, Doc("The techniques that it says most about.")] = None
    assessment: Annotated[str | None, Doc("What it is.")] = None
    impact: Annotated[str | None, Doc("What follows from it.")] = None


@dataclass(slots=True, frozen=True)
class SupersededFinding:
    """A finding that the verdict changes something of."""

    fingerprint: Annotated[Digest, Doc("Which finding.")]
    host: Annotated[str, Doc("On which host.")]
    dedupe_keys: Annotated[tuple[Digest, ...], Items(most=64), Doc("Its latest lines, which this supersedes.")]
    status: Annotated[Status, Doc("Its status from now on.")]
    level: Annotated[Level, Doc("Its level from now on.")]
    status_before: Annotated[Status, Doc("Its status until then, by the verdicts before this one.")]
    level_before: Annotated[Level, Doc("Its level until then, by the verdicts before this one.")]
    overruled: Annotated[str | None, Doc("Why the verdict does not count in full. Left out where it does.")] = None


@dataclass(slots=True, frozen=True, kw_only=True)
class VerdictRecord:
    """What a person decided about findings; one object, as soon as it is known.

    It supersedes the lines that `findings` names, and, of lines that come later, those of the same findings or
    situation whose `provenance.verdicts` ends before `seq`.
    """

    schema: Annotated[Literal["sysscan.verdict/1"], Doc("Name and version of this format.")]
    dedupe_key: Annotated[Digest, Doc("Names this record. One that is delivered twice carries the same key.")]
    seq: Annotated[Positive, Doc("Number of the verdict in the log.")]
    head: Annotated[Hash, Doc("Hash of the chain behind it.")]
    verdict: Annotated[Kind, Doc("What was decided; `undo`: that another verdict is not to count.")]
    scope: Annotated[Scope, Doc("About one finding, a situation on one host, or a situation everywhere.")]
    author: Annotated[str, Doc("Who decided.")]
    at: Annotated[Time, Doc("When.")]
    reason: Annotated[str, Doc("Why, in the reviewer's words.")]
    host: Annotated[str | None, Doc("The host that it is about. Left out where it is about all.")] = None
    fingerprint: Annotated[Digest | None, Doc("The finding that it is about.")] = None
    situation: Annotated[
        ReviewedSituation | None,
        Doc("The situation that it is about; with `fingerprint`, the one that the finding has to be in."),
    ] = None
    situations: Annotated[
        tuple[Digest, ...],
        Items(most=100),
        Doc("What lines call the situations that it covers (`analysis.situation`)."),
    ] = ()
    owner: Annotated[str | None, Doc("Of an acceptance: who answers for it.")] = None
    until: Annotated[Day | None, Doc("Of an acceptance: its last day, UTC.")] = None
    undoes: Annotated[Positive | None, Doc("Of an undo: the number of the verdict that does not count any more.")] = (
        None
    )
    correction: Annotated[Corrected | None, Doc("What is said instead.")] = None
    affected: Annotated[Count, Doc("How many findings that are kept it is about.")]
    lines: Annotated[Count, Doc("How many of their latest lines.")]
    hosts: Annotated[Count, Doc("On how many hosts.")]
    findings: Annotated[
        tuple[SupersededFinding, ...], Items(most=100), Doc("The findings, the worst first; at most a hundred.")
    ]
    cut: Annotated[Cut | None, Doc("What is not in the line because it would be too long. Left out where all is.")] = (
        None
    )
