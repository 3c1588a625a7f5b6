"""Markdown (GitHub's), for auditors and for whoever reads it in a ticket: evidence by control, accepted risks, limits.

Findings go by several times, once for each part, so that nothing is kept that grows with their number.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby

from pipeline.display import printable
from pipeline.knowledge.schema import Framework
from pipeline.output.formats.controls import ControlEvidence, edition_beside, framework_title, id_key
from pipeline.output.formats.overview import (
    EXAMPLES,
    OLDER_STORY,
    SETTLED,
    Kind,
    Overview,
    is_story_older,
    overview,
    words_of_scanner,
)
from pipeline.output.formats.patterns import Pattern, patterns
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import subject_of
from pipeline.output.records import EnrichedFinding, ScanRecord
from pipeline.rules.compliance import FRAMEWORKS

_TEXT = 1_000  # characters of a text
_NAME = 200  # and of a name
_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$^@])")
_LINKS = re.compile(r"(?i)\b(www)(?=\.)|\b(https?|ftp|mailto)(?=:)")  # GitHub makes links of these by themselves
_TICKS = re.compile("`+")


def markdown(scans: Iterable[Scan]) -> Iterator[bytes]:
    """Write scans as one document."""
    first = True
    for scan in scans:
        if not first:
            yield b"\n---\n\n"
        first = False
        for line in _scan(scan):
            yield (line + "\n").encode("utf-8", "replace")


@lru_cache(maxsize=2048)  # the same controls, kinds and reasons come again and again
def prose(text: str, limit: int = _TEXT) -> str:
    """Write a text so that it shows as it is and does nothing: no markup, no link, no line of its own."""
    shown = _MARKS.sub(r"\\\1", printable(text, limit))
    return _LINKS.sub(lambda found: f"{found[0]}\\", shown)


@lru_cache(maxsize=2048)
def name(text: str, limit: int = _NAME) -> str:
    """Write what a host calls something, as code: a path, a unit, an id."""
    shown = printable(text, limit).replace("|", "\\|")
    if not shown.strip(" "):
        return "—" if not shown else f"(blank: {len(shown)})"
    fence = "`" * (max(map(len, _TICKS.findall(shown)), default=0) + 1)
    space = " " if "`" in shown or shown[0] == " " or shown[-1] == " " else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _scan(scan: Scan) -> Iterator[str]:
    seen, record = overview(scan), scan.record
    yield f"# Findings of {name(scan.host)}"
    yield ""
    yield from _table(("", ""), _facts(scan, seen))
    for said in scan.missing:
        yield prose(said)
        yield ""
    yield from _story(seen, record)
    yield "## What this does not say"
    yield ""
    yield "- A scan looks at settings. It can show that a control fails somewhere; that one is met, no scan can show."
    for gap in gaps(scan):
        yield f"- {prose(gap.text)}"
    if seen.not_analysed:
        yield f"- Not analysed because of a fault in the agent: {seen.not_analysed:,}."
    yield ""
    yield "## Summary"
    yield ""
    yield from _table(("status", "findings"), ((one, f"{count:,}") for one, count in sorted(seen.status.items())))
    yield from _kinds(seen)
    yield from _together(seen, record)
    yield from _accepted(scan, seen)
    if record is not None and record.policy.expired:
        yield "### Acceptances that have ended"
        yield ""
        yield from _table(
            ("what", "owner", "last day", "reason"),
            (
                (name(one.class_ or one.fingerprint or "—"), prose(one.owner), prose(one.expires), prose(one.reason))
                for one in record.policy.expired
            ),
        )
    for framework in FRAMEWORKS:
        yield from _framework(framework, seen.controls.of(framework), record)
    yield from _evidence(scan)


def _story(seen: Overview, record: ScanRecord | None) -> Iterator[str]:
    """Tell the story, a paragraph for each part; records of older versions have none."""
    story = record.story if record is not None else ()
    if story:
        yield "## In short"
        yield ""
    if record is not None and story and is_story_older(seen, record):
        yield OLDER_STORY
        yield ""
    for _, sentences in groupby(story, key=lambda one: one.part):
        yield " ".join(prose(one.text) for one in sentences)
        yield ""


def _facts(scan: Scan, seen: Overview) -> Iterator[tuple[str, str]]:
    record = scan.record
    yield "scan", name(scan.scan_id)
    if record is not None:
        facts = record.host_facts
        about = ", ".join(fact for fact in (facts.os, facts.kernel, facts.arch) if fact)
        if about:
            yield "host", prose(about)
        yield "started, ended", prose(f"{record.started_at or 'not said'}, {record.finished_at or 'not said'}")
        yield "dates judged as of", prose(record.as_of)
        yield "scope", name(record.profile or "not said")
        yield "profile of the policy", name(record.policy.profile)
        made = record.provenance
        yield "agent, knowledge, policy", f"{prose(made.agent)}, {name(made.knowledge)}, {name(made.policy)}"
    if seen.verdicts is not None:
        yield "verdicts of reviewers", f"up to number {seen.verdicts.seq}, {name(seen.verdicts.head)}"


def _kinds(seen: Overview) -> Iterator[str]:
    yield "### At stake"
    yield ""
    if not seen.kinds:
        yield "Nothing, in what could be seen."
        yield ""
        return
    yield from _table(
        ("level", "kind", "findings", "for example", "what it is", "what to do first"),
        (
            (
                kind.worst.risk.level, name(kind.worst.class_), f"{kind.findings:,}", _about(kind), _said_of(kind),
                prose(_todo(kind)) or "—",
            )
            for kind in seen.worst_first()
        ),
    )  # fmt: skip


def _about(kind: Kind) -> str:
    return ", ".join(map(name, kind.examples)) + (f", and {kind.more:,} more" if kind.more > 0 else "")


def _said_of(kind: Kind) -> str:
    """Say what a kind is; the scanner's words stand as code, since anybody may have chosen them."""
    said, words = prose(kind.worst.analysis.assessment), words_of_scanner(kind.worst)
    if words:
        said += (
            f" The scanner says{f' of {name(kind.examples[0])}' if kind.findings > 1 else ''}: {name(words, _TEXT)}."
        )
    if kind.mixed:
        said += f" (Too many kinds to tell apart: these differ, and this is said of {name(kind.examples[0])}.)"
    return said


def _together(seen: Overview, record: ScanRecord | None) -> Iterator[str]:
    yield "## What belongs together"
    yield ""
    told, more = patterns(seen, record)
    yield from _table(
        ("level", "pattern", "findings", "what they mean together", "what to do first"),
        (
            (
                one.group.level, prose(one.group.title), _members(one), prose(one.group.why),
                prose(one.group.first) or "—",
            )
            for one in told
        ),
    )  # fmt: skip
    if more:
        yield f"And {more:,} more, none of a higher level."
        yield ""


def _members(pattern: Pattern) -> str:
    listed = ", ".join(map(name, pattern.names)) or "not at hand here"
    more = f", and {pattern.more:,} more" if pattern.names and pattern.more > 0 else ""
    return f"{pattern.group.findings:,}: {listed}{more}"


def _todo(kind: Kind) -> str:
    if kind.action is not None:
        return kind.action.summary
    return kind.look.summary if kind.look is not None else ""


def _accepted(scan: Scan, seen: Overview) -> Iterator[str]:
    yield "## Accepted risks and false positives"
    yield ""
    yield "Accepted risks stay evidence below. What is a false positive is none."
    yield ""
    yield from _table(
        ("finding", "about", "status", "owner", "last day", "reason", "decided by"),
        (
            (
                name(finding.fingerprint), name(subject_of(finding).name), finding.status.replace("_", " "),
                prose(entry.owner), prose(entry.expires or "none given"), prose(entry.reason), _decided(finding),
            )
            for finding in (scan.findings() if seen.settled else ())
            if finding.status in SETTLED and (entry := finding.suppression) is not None
        ),
    )  # fmt: skip


def _decided(finding: EnrichedFinding) -> str:
    review = finding.review
    return "policy or report" if review is None else prose(f"verdict {review.seq}, {review.author}, {review.at}")


def _framework(framework: Framework, controls: list[ControlEvidence], record: ScanRecord | None) -> Iterator[str]:
    title, edition = framework_title(framework, record)
    yield f"## {prose(title)}"
    yield ""
    if edition_beside(title, edition):
        yield f"Edition: {prose(edition)}."
        yield ""
    yield from _table(
        ("control", "title", "evidence", "basis", "source", "for example"),
        (
            (
                name(one.control), prose(one.title), _said(one), one.basis, prose(one.sources_named),
                ", ".join(map(name, one.named(EXAMPLES))),
            )
            for one in controls
        ),
    )  # fmt: skip
    for gap in record.compliance if record is not None else ():
        if gap.framework != framework:
            continue
        cover = gap.coverage
        yield (
            f"The scanner can say something about {cover.named:,} of {cover.total:,} controls, about {cover.sourced:,}"
            " by a published source; all others are outside of what it can see."
        )
        yield ""
        if gap.no_evidence:
            listed = ", ".join(map(name, sorted(gap.no_evidence, key=id_key)))
            yield f"Of those, nothing was said in this scan about: {listed}."
            yield ""


def _said(control: ControlEvidence) -> str:
    said = [f"{evidence} {count:,}" for evidence, count in control.counts.items()]
    if control.accepted:
        said.append(f"of the failing accepted {control.accepted:,}")
    return f"**{control.evidence}** ({', '.join(said)})"


def _evidence(scan: Scan) -> Iterator[str]:
    yield "## The evidence, finding by finding"
    yield ""
    yield "Findings that speak against a control, or would if the scanner were not probably mistaken."
    yield ""
    yield from _table(
        ("finding", "level", "status", "kind", "about", "controls", "mistake of the scanner"),
        (
            (
                name(finding.fingerprint), finding.risk.level, finding.status.replace("_", " "), name(finding.class_),
                name(subject_of(finding).name), ", ".join(controls),
                "—" if finding.artefact is None else f"{finding.artefact.degree}: {prose(finding.artefact.why)}",
            )
            for finding in scan.findings()
            if (controls := list(_controls(finding)))
        ),
    )  # fmt: skip


def _controls(finding: EnrichedFinding) -> Iterator[str]:
    for control in finding.compliance:
        if control.caution is None and control.evidence in ("failing", "disputed"):
            mark = "" if control.evidence == "failing" else " (disputed)"
            yield f"{name(f'{control.framework}:{control.control}')}{mark}"


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Write a table; without rows, that there is nothing."""
    empty = True
    for row in rows:
        if empty:
            yield f"| {' | '.join(headings)} |"
            yield f"|{' --- |' * len(headings)}"
        empty = False
        yield f"| {' | '.join(row)} |"
    if empty:
        yield "None."
    yield ""
