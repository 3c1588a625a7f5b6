"""Cases out of scans: reports are read, classified and judged as in the product."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pipeline.analysis.question import Question
from pipeline.classes.scan import ScanContext
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.intel.match import Intel
from pipeline.intel.skipped import SkipLog
from pipeline.knowledge.schema import Knowledge
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.rules.policy import Allow, Policy

_AS_OF = "2026-11-02T02:11:02Z"
_SETTLED: tuple[Literal["accepted", "false_positive"], ...] = ("accepted", "false_positive")
_FAR = date(2099, 12, 31)


@dataclass(slots=True, frozen=True)
class Asked:
    """A question that a scan raises.

    Attributes:
        severity: that its finding had.
        written: assessment and impact that the knowledge has for it, with placeholders; those to be told first, first.
    """

    question: Question
    severity: str
    written: tuple[tuple[str, str], ...] = ()


def questions(data: bytes, resources: Resources) -> Iterator[Asked]:
    """Yield each distinct question of the scans in a report, in the order of the report."""
    for report in read_document(data, Limits(), final=True).reports:
        context = ScanContext(
            scan_no=0,
            scan_id=report.digest,
            host=report.header.host or "unknown",
            host_source="report" if report.header.host else "unknown",
            header=report.header,
            complete=True,
            rejected=len(report.rejects),
            as_of=_AS_OF,
        )
        session = ScanSession.of(context, report.findings, resources, None)
        seen: set[str] = set()
        for member in session.index.members:
            question = session.question(member.seq)
            if question.key not in seen:
                seen.add(question.key)
                texts = resources.rules.fitting(member, report.header)
                yield Asked(question, member.severity, tuple((text.assessment, text.impact) for text in texts))


def desks(knowledge: Knowledge, intel: Intel) -> Sequence[Resources]:
    """Give desks for hosts of different operators: no wishes, indicators, other profiles, findings that are settled."""
    nothing = Intel("", (), (), SkipLog())
    settled = Policy(
        allow=[
            Allow(class_=name, owner="operations", reason="agreed", expires=_FAR, status=_SETTLED[number % 2])  # type: ignore[call-arg]
            for number, name in enumerate(sorted(knowledge.classes))
        ],
        digest="settled",
    )
    profiles = sorted({name for entry in knowledge.expected.values() for name in entry.accepted} - {"default"})
    return [
        Resources(knowledge, Policy(), nothing, version="trainer"),
        Resources(knowledge, Policy(), intel, version="trainer"),
        *(Resources(knowledge, Policy(profile=name, digest=name), nothing, version="trainer") for name in profiles),
        Resources(knowledge, settled, nothing, version="trainer"),
    ]
