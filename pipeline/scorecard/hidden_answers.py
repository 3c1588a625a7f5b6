"""How hidden findings are answered: by the product, with the knowledge that is left."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from pipeline.analysis.answers import MemoryStore
from pipeline.analysis.question import Analyst
from pipeline.classes.scan import ScanContext
from pipeline.finding import ParsedReport, RawFinding, ScanHeader
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.intel.match import Intel
from pipeline.intel.skipped import SkipLog
from pipeline.knowledge.predicates import view
from pipeline.knowledge.schema import Knowledge
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding
from pipeline.rules.policy import Policy
from pipeline.scorecard.hidden import Column, Gold, Said, find, folds, hide, score, subject_of

_DATA = Path(__file__).parent / "data"
# Findings of kinds that no class describes. Half of the forty were used to tune the search, and all of the sixty were
# read when it was changed; the eighty were measured when the ranking was chosen; the hundred and twenty before and
# after each change, unread, and nothing was chosen by them. All but the forty are by other authors, one each, who had
# seen nothing but the topics' titles.
FORTY, SIXTY, EIGHTY, HUNDRED_TWENTY = (
    _DATA / f"unknown_{number}.json" for number in ("forty", "sixty", "eighty", "hundred_twenty")
)
MakeAnalyst = Callable[[Knowledge], Analyst]

_AS_OF = "2026-11-02T02:11:02Z"


class Product:
    """The product with one knowledge: what it says of single findings."""

    def __init__(self, knowledge: Knowledge, analyst: Analyst | None = None) -> None:
        self._resources = Resources(
            knowledge, Policy(), Intel("", (), (), SkipLog()), version="scorecard", analyst=analyst, store=MemoryStore()
        )  # fmt: skip
        self._knowledge = knowledge

    def record(self, header: ScanHeader, raw: RawFinding) -> tuple[EnrichedFinding, tuple[str, ...]]:
        """Give the enriched finding, alone in its scan, with the topics of its class; none where that is not known."""
        context = ScanContext(
            scan_no=0, scan_id="scorecard", host="host", host_source="report", header=header, complete=True, rejected=0,
            as_of=_AS_OF,
        )  # fmt: skip
        session = ScanSession.of(context, [raw], self._resources, None)
        (line,) = run_batch(build_graph({context.scan_no: session}), session, 0, 1)
        (member,) = session.index.members
        rules = self._resources.class_rules.of(member.classified.class_id)
        return read_finding(line.line), tuple(rules.topics(view(member, header)))

    def gold(self, class_id: str, header: ScanHeader, raw: RawFinding) -> Gold | None:
        """Give what this knowledge says of a finding, or None where it names no topic."""
        line, topics = self.record(header, raw)
        if not topics:
            return None
        return Gold(
            header=header,
            raw=raw,
            group=class_id,
            topics=topics,
            controls=frozenset(f"{one.framework}:{one.control}" for one in line.compliance if one.caution is None),
            subjects=frozenset(subject for one in line.remediation if (subject := subject_of(one.id)) is not None),
            level=line.risk.level,
        )

    def said(self, header: ScanHeader, raw: RawFinding, *, retrieval: bool) -> Said:
        """Give what it says of a finding; without `retrieval` what it said before it could search."""
        line, topics = self.record(header, raw)
        if line.class_ in self._knowledge.classes:  # taken for another class
            return Said(
                topics=topics,
                controls=frozenset(f"{one.framework}:{one.control}" for one in line.compliance if one.caution is None),
                subject=subject_of(line.analysis.action) if line.analysis.action is not None else None,
                level=line.risk.level,
            )
        likely = line.likely if retrieval else None
        if likely is None:
            return Said(level=line.risk.level)
        return Said(
            topics=tuple(topic.topic for topic in likely.topics),
            controls=frozenset(f"{one.framework}:{one.control}" for one in likely.controls),
            subject=likely.look.subject if likely.look is not None else None,
            level=line.risk.level,
        )


def golds(knowledge: Knowledge, reports: Iterable[ParsedReport]) -> list[Gold]:
    """Collect real findings that have a topic, with what the whole knowledge says of them."""
    product = Product(knowledge)
    found = (
        product.gold(class_id, header, raw)
        for class_id, named in find(knowledge, reports).items()
        for header, raw in named
    )
    return [gold for gold in found if gold is not None]


def answer_folds(
    knowledge: Knowledge, gold: Sequence[Gold], only: Sequence[int], model: MakeAnalyst | None = None
) -> dict[str, Column]:
    """Answer the findings of some folds, each with its classes hidden.

    Args:
        model: gives what asks a model by the knowledge that is left; without it there is no such column.
    """
    columns = _columns(model)
    for number, hidden in enumerate(folds(knowledge)):
        if number in only:
            left = hide(knowledge, hidden)
            _answer(left, [one for one in gold if one.group in hidden], columns, model)
    return columns


def answer_kinds(knowledge: Knowledge, gold: Sequence[Gold], model: MakeAnalyst | None = None) -> dict[str, Column]:
    """Answer findings of kinds that no class describes, with the whole knowledge."""
    columns = _columns(model)
    _answer(knowledge, gold, columns, model)
    return columns


def _columns(model: MakeAnalyst | None) -> dict[str, Column]:
    return {name: Column() for name in ("nothing", "retrieval", *(("model",) if model is not None else ()))}


def _answer(knowledge: Knowledge, gold: Sequence[Gold], columns: dict[str, Column], model: MakeAnalyst | None) -> None:
    rules = Product(knowledge)
    asked = Product(knowledge, model(knowledge)) if model is not None else None
    for one in gold:
        said = {
            "nothing": rules.said(one.header, one.raw, retrieval=False),
            "retrieval": rules.said(one.header, one.raw, retrieval=True),
        }
        if asked is not None:
            said["model"] = asked.said(one.header, one.raw, retrieval=True)
        for name, answer in said.items():
            columns[name].scores[one.group].append(score(one, answer))


def kinds(file: Path = FORTY) -> list[Gold]:
    """Give the findings of kinds that no class describes, with the topics that are right."""
    entries: list[dict[str, Any]] = orjson.loads(file.read_bytes())
    header = ScanHeader(source_format="json", host="host", cmdline="sys-scan", started_at=_AS_OF, finished_at=_AS_OF)
    return [
        Gold(
            header=header,
            raw=RawFinding(
                entry["scanner"], entry["id"], entry["severity"], entry["title"], entry["description"], 70,
                entry["metadata"],
            ),
            group=entry["id"],
            topics=tuple(entry["expected"]),
        )
        for entry in entries
    ]  # fmt: skip
