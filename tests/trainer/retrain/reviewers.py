"""Reviewers for the tests: they look at the real reports, as lines that came out, and give verdicts."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from pipeline.analysis.question import Question
from pipeline.classes.scan import ScanContext
from pipeline.features import load_features
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.intel.match import load_intel
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.output.case import case_of
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Draft, Situation, Target, Verdict
from pipeline.rules.policy import Policy

SCANS = Path(__file__).resolve().parents[2] / "data" / "scans"
NAMES = (
    "web01-fs-hygiene.json", "web01-ioc.json", "db02-hardening-nosystemd.json", "micro-hardening.json",
    "web01-sysctl-weak.json",
)  # fmt: skip
AT = "2026-11-03T08:00:00Z"

Reviewed = tuple[EnrichedFinding, Situation, Question]


@cache
def knowledge() -> Knowledge:
    """Give the knowledge of the package."""
    return load_knowledge(load_features)


@cache
def reviewed(*names: str) -> tuple[Reviewed, ...]:
    """Give the first line of each open situation of real reports, with the question that a model would be asked."""
    found: dict[str, Reviewed] = {}
    for name in names or NAMES:
        for one in _of_report(name):
            found.setdefault(one[2].situation, one)
    return tuple(found.values())


def _of_report(name: str) -> Iterator[Reviewed]:
    report = next(iter(read_document((SCANS / name).read_bytes(), Limits(), final=True).reports))
    resources = Resources(knowledge(), Policy(), load_intel([]), version="test")
    context = ScanContext(
        scan_no=0, scan_id="s", host="web01", host_source="report", header=report.header, complete=True, rejected=0,
        as_of=AT,
    )  # fmt: skip
    session = ScanSession.of(context, report.findings, resources, None)
    lines = run_batch(build_graph({0: session}), session, 0, len(report.findings))
    for seq, line in enumerate(lines):
        record = read_finding(line.line)
        if record.status == "open" and not record.class_.startswith("unknown."):
            situation = Situation(record.class_, record.status, record.features, record.class_candidates)
            yield record, situation, session.question(seq)


def drafts(
    of: Iterable[Reviewed], decide: Callable[[EnrichedFinding, Situation], Draft | None], *, keep_case: bool = True
) -> list[Draft]:
    """Have a reviewer decide on each; None decides nothing."""
    made = []
    for record, situation, _ in of:
        draft = decide(record, situation)
        if draft is not None:
            case = case_of(record, situation) if keep_case else {}
            made.append(Draft(draft.kind, draft.reason, Target("web01", None, situation), draft.correction, case=case))
    return made


def write_log(state: Path, given: list[Draft], author: str = "ada") -> list[Verdict]:
    """Write verdicts into the log of a state directory."""
    state.mkdir(exist_ok=True)
    with VerdictLog.open(state / FILE_NAME) as log:
        return log.append(given, at=AT, author=author)
