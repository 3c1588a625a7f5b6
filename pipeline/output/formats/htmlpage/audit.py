"""What an auditor asks for: decisions, controls, evidence, limits, and what made all this."""

from collections.abc import Iterator, Sequence

from pipeline.finding import LEVELS, Level
from pipeline.knowledge.schema import Framework
from pipeline.output.formats.controls import ControlEvidence, edition_beside, framework_title, id_key
from pipeline.output.formats.htmlpage.parts import (
    CODE,
    LONG,
    cell,
    cut,
    head_cell,
    many,
    table,
)
from pipeline.output.formats.overview import EXAMPLES, SETTLED, Overview
from pipeline.output.formats.scan import Scan, gaps
from pipeline.output.formats.subject import subject_of
from pipeline.output.markup import Content, Markup, element, text, together
from pipeline.output.records import EnrichedFinding, ScanRecord
from pipeline.rules.compliance import FRAMEWORKS

MOST_LISTED = 3_000  # findings in the lists of evidence of a page, about a megabyte
_MOST_SETTLED = 500


def settled(scan: Scan, seen: Overview) -> Iterator[Markup]:
    rows: list[Sequence[Markup]] = []
    more = 0
    for finding in scan.findings() if seen.settled else ():
        entry = finding.suppression
        if finding.status not in SETTLED or entry is None:
            continue
        if len(rows) == _MOST_SETTLED:
            more += 1
            continue
        rows.append(
            (
                head_cell(subject_of(finding).name), cell("Kind", finding.class_),
                cell("Status", finding.status.replace("_", " ")), cell("Owner", entry.owner),
                cell("Last day", entry.expires or "none given"), cell("Reason", text(entry.reason, LONG)),
                cell("Decided by", _decided(finding)),
            )
        )  # fmt: skip
    yield element("p", "An accepted risk stays evidence against its controls. A false positive is none.", class_="dim")
    headings = ("About", "Kind", "Status", "Owner", "Last day", "Reason", "Decided by")
    yield table(headings, rows, cut(len(rows) + more, _MOST_SETTLED))
    record = scan.record
    if record is not None and record.policy.expired:
        yield table(
            ("What", "Owner", "Last day", "Reason"),
            (
                (
                    head_cell(one.class_ or one.fingerprint or "—"), cell("Owner", one.owner),
                    cell("Last day", one.expires), cell("Reason", text(one.reason, LONG)),
                )
                for one in record.policy.expired
            ),
            "Acceptances that have ended",
        )  # fmt: skip


def _decided(finding: EnrichedFinding) -> str:
    review = finding.review
    return "policy or report" if review is None else f"verdict {review.seq}, {review.author}, {review.at}"


def controls_of(seen: Overview, record: ScanRecord | None) -> Iterator[Markup]:
    said = "A scan can show that a control fails somewhere. That one is met, no scan can show."
    yield element("p", said, class_="note")
    for framework in FRAMEWORKS:
        yield from _framework(framework, seen.controls.of(framework), record)


def _framework(framework: Framework, controls: list[ControlEvidence], record: ScanRecord | None) -> Iterator[Markup]:
    title, edition = framework_title(framework, record)
    beside = edition_beside(title, edition)
    yield element("h4", f"{title}, {beside}" if beside else title)
    yield table(
        ("Control", "Name", "Evidence", "Basis", "Source", "For example"),
        (
            (
                head_cell(one.control), cell("Name", one.title), _said(one), cell("Basis", one.basis),
                cell("Source", text(one.sources_named, LONG)),
                cell("For example", text(", ".join(one.named(EXAMPLES)), LONG)),
            )
            for one in controls
        ),
        look="controls",
    )  # fmt: skip
    for gap in record.compliance if record is not None else ():
        if gap.framework != framework:
            continue
        cover = gap.coverage
        seen = (
            f"The scanner can say something about {cover.named:,} of {cover.total:,} controls, about {cover.sourced:,} "
            "by a published source; all others are outside of what it can see."
        )
        listed = ", ".join(sorted(gap.no_evidence, key=id_key))
        silent = f" Of those, nothing was said in this scan about: {listed}." if listed else ""
        yield element("p", text(seen + silent, CODE), class_="small")


def _said(control: ControlEvidence) -> Markup:
    counts = [f"{evidence} {count:,}" for evidence, count in control.counts.items()]
    if control.accepted:
        counts.append(f"of the failing accepted {control.accepted:,}")
    look = {"failing": control.level, "supporting": "calm"}.get(control.evidence, "info")
    return element(
        "td", element("strong", control.evidence, class_=look), f" ({', '.join(counts)})", data_label="Evidence"
    )


def evidence(scan: Scan, seen: Overview, least: Level) -> Iterator[Markup]:
    """Name every finding that speaks against a control, or would if the scanner were not probably mistaken."""
    wanted = sum(count for level, count in seen.listed.items() if LEVELS.index(level) >= LEVELS.index(least))
    hidden = seen.listed.total() - min(wanted, MOST_LISTED)
    if hidden:
        why = f"Not listed, so that this page can be opened: {many(hidden, 'finding')} of low levels, or too many."
        yield element("p", why, " ", element("code", "export --format csv"), " lists all.", class_="note")
    alike: dict[tuple[Level, str, str, tuple[str, ...]], list[str]] = {}
    left = MOST_LISTED
    for finding in scan.findings():
        level, controls = finding.risk.level, tuple(_against(finding))
        if not controls or LEVELS.index(level) < LEVELS.index(least) or not left:
            continue
        left -= 1
        status = finding.status.replace("_", " ")
        alike.setdefault((level, finding.class_, status, controls), []).append(subject_of(finding).name)
    ordered = sorted(alike.items(), key=lambda item: (-LEVELS.index(item[0][0]), item[0][1:]))
    yield table(
        ("Kind", "Level", "Status", "Controls that it speaks against", "About"),
        (
            (
                head_cell(class_), cell("Level", element("span", level, class_=f"level {level}")),
                cell("Status", status), cell("Controls", text(", ".join(controls), LONG)),
                cell("About", element("strong", f"{len(names):,}: "), text(", ".join(names), CODE * 10)),
            )
            for (level, class_, status, controls), names in ordered
        ),
        look="evidence",
    )  # fmt: skip


def _against(finding: EnrichedFinding) -> Iterator[str]:
    for control in finding.compliance:
        if control.caution is None and control.evidence in ("failing", "disputed"):
            yield control.control if control.evidence == "failing" else f"{control.control} (disputed)"


def limits(scan: Scan, seen: Overview) -> Iterator[Markup]:
    items = [element("li", text(gap.text, LONG)) for gap in gaps(scan)]
    if seen.not_analysed:
        items.append(element("li", f"Not analysed because of a fault in the agent: {seen.not_analysed:,}."))
    items.append(element("li", "A scan looks at settings and files of one moment, with the eyes of one scanner."))
    yield element("ul", *items)


def about(scan: Scan, seen: Overview) -> Iterator[Markup]:
    facts: list[tuple[str, Content]] = [("Scan", scan.scan_id)]
    record = scan.record
    if record is not None:
        of = record.host_facts
        about = ", ".join(fact for fact in (of.os, of.kernel, of.arch) if fact)
        made = record.provenance
        facts += [("Host", about)] if about else []
        facts += [
            ("Started, ended", f"{record.started_at or 'not said'}, {record.finished_at or 'not said'}"),
            ("Dates judged as of", record.as_of),
            ("Profile of the policy", record.policy.profile),
            ("Agent, knowledge, policy", f"{made.agent}, {made.knowledge}, {made.policy}"),
        ]
    if seen.verdicts is not None:
        facts.append(("Verdicts of reviewers", f"up to number {seen.verdicts.seq}, {seen.verdicts.head}"))
    counts = ", ".join(f"{status.replace('_', ' ')} {count:,}" for status, count in sorted(seen.status.items()))
    facts.append(("Findings by status", counts or "none"))
    yield element("dl", *(together(element("dt", name), element("dd", said)) for name, said in facts), class_="facts")
