"""Findings whose topic is known: of classes that are hidden, of topics, and of neither."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.classes.scan import ScanContext
from pipeline.finding import Level, RawFinding, ScanHeader
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.intel.match import Intel
from pipeline.intel.skipped import SkipLog
from pipeline.knowledge.predicates import view
from pipeline.knowledge.schema import Knowledge
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.rules.policy import Policy
from pipeline.scorecard.hidden import folds
from trainer.data.unknown.material import Material
from trainer.data.world.host import make_host
from trainer.data.world.report import write_report

PER_CLASS = 40  # different findings of a class that are kept
HEADER = ScanHeader(source_format="json", host="host", cmdline="sys-scan")
_AS_OF = "2026-11-02T02:11:02Z"


@dataclass(slots=True, frozen=True)
class Told:
    """A finding, and what is right of it.

    Attributes:
        group: its class, topic or subject.
        fold: number of the fold of classes that has to be hidden for nobody to know it; None if none has to.
        topics: any of them is right; empty where none of ours is.
        level: what the rules say of it where its class is known.
    """

    raw: RawFinding
    group: str
    fold: int | None = None
    topics: tuple[str, ...] = ()
    level: Level | None = None


def of_classes(knowledge: Knowledge, seed: int, hosts: int, without: int | None) -> dict[str, list[Told]]:
    """Collect findings of made-up hosts by class, with what the rules say of them.

    Args:
        without: a fold whose classes are left out.
    """
    desk = desk_of(knowledge)
    fold_of = {name: number for number, names in enumerate(folds(knowledge)) for name in names}
    found: dict[str, dict[tuple[str | None, str | None], Told]] = {}
    for number in range(hosts):
        host = make_host(knowledge, seed, number)
        host.format = "json"  # the others leave out what an unknown finding is told by
        for report in read_document(write_report(host)[1], Limits(), final=True).reports:
            session = session_of(report.header, report.findings, desk)
            for member in session.index.members:
                name = member.classified.class_id
                fold = fold_of.get(name)
                kept = found.setdefault(name, {})
                raw = session.index.findings[member.seq]
                if fold is None or fold == without or len(kept) >= PER_CLASS:
                    continue
                if member.classified.class_basis != "exact" or (raw.title, raw.description) in kept:
                    continue
                topics = tuple(desk.class_rules.of(name).topics(view(member, report.header)))
                if topics:
                    level = session.judge.judge(member.seq).risk.level
                    kept[raw.title, raw.description] = Told(raw, name, fold, topics, level)
    return {name: list(kept.values()) for name, kept in sorted(found.items()) if kept}


def of_topics(knowledge: Knowledge, without: int | None) -> dict[str, Told]:
    """Give a finding in the words of each topic; those of the classes of a fold that is left out are not among them."""
    hidden = set() if without is None else topics_of(knowledge, folds(knowledge)[without])
    return {
        topic: Told(RawFinding("local_audit", f"chk:{topic}", "medium", spec.title, "; ".join(spec.notes)), topic,
                    topics=(topic,))
        for topic, spec in sorted(knowledge.topics.items())
        if topic not in hidden
    }  # fmt: skip


def of_none(material: Material) -> list[Told]:
    """Give the findings that no topic is about."""
    return [
        Told(RawFinding("local_audit", f"chk:{number}", "medium", title, description), f"none.{number}")
        for number, (title, description) in enumerate(material.none)
    ]


def topics_of(knowledge: Knowledge, classes: Iterable[str]) -> set[str]:
    """List the topics that classes name."""
    return {ref.topic for name in classes for ref in knowledge.classes[name].topics}


def desk_of(knowledge: Knowledge) -> Resources:
    """Give what scans of an operator without wishes are read with."""
    return Resources(knowledge, Policy(), Intel("", (), (), SkipLog()), version="trainer")


def session_of(header: ScanHeader, findings: Iterable[RawFinding], desk: Resources) -> ScanSession:
    """Open findings as one scan."""
    context = ScanContext(
        scan_no=0, scan_id="trainer", host="host", host_source="report", header=header, complete=True, rejected=0,
        as_of=_AS_OF,
    )  # fmt: skip
    return ScanSession.of(context, list(findings), desk, None)
