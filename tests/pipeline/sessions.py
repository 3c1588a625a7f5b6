"""Scans on the session, as the product runs them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from daemon.baseline_rows import baseline_rows
from daemon.ports.work import BaselineRow
from pipeline.analysis.question import AnalysisStore, Analyst, Texts
from pipeline.classes.scan import ScanContext, scan_scope
from pipeline.features import load_features
from pipeline.finding import ParsedReport, RawFinding, ScanHeader
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession
from pipeline.intel.match import load_intel
from pipeline.keys import digest
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.output.enriched import Line
from pipeline.output.write import write
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.review.standing import NONE, Standing
from pipeline.rules.baseline import Prior
from pipeline.rules.policy import Policy, load_policy
from tests.depth import is_deep

SCANS = Path(__file__).parents[1] / "data" / "scans"
FILES = sorted(path.name for path in SCANS.iterdir() if path.is_file() and path.name != "index.json")
# Real scans with thousands of findings each. The first stands for the others in a run that is not deep.
LARGE = ("db02-full.json.gz", "web01-base-full.json.gz", "web01-base-full.ndjson.gz", "web01-base-full.sarif.gz")
AS_OF = "2026-11-30T00:00:00Z"  # for reports that carry no time


def corpus() -> list[str]:
    """Give the files for a test that takes long with all of them: in a deep run it gets all."""
    return FILES if is_deep() else [name for name in FILES if name not in LARGE[1:]]


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    return load_knowledge(load_features)


@lru_cache(maxsize=8)
def reports(name: str) -> tuple[ParsedReport, ...]:
    return read_document((SCANS / name).read_bytes(), Limits()).reports


def report(name: str) -> ParsedReport:
    (found,) = reports(name)
    return found


def resources(
    policy: Policy | None = None,
    analyst: Analyst | None = None,
    store: AnalysisStore | None = None,
    known: Knowledge | None = None,
    texts: Texts = "model",
) -> Resources:
    known = known or knowledge()
    policy = policy or load_policy([], known)
    return Resources(known, policy, load_intel([]), version="0.1.0", analyst=analyst, store=store, texts=texts)


@lru_cache(maxsize=1)
def shared() -> Resources:
    """What the scans of a process without a model share, for tests that change nothing of it: made once."""
    return resources()


def context_of(parsed: ParsedReport, scan_no: int = 1, **changes: Any) -> ScanContext:
    header = parsed.header
    context = ScanContext(
        scan_no=scan_no,
        scan_id=digest("scan", parsed.digest),
        host=header.host or "unknown",
        host_source="report" if header.host else "unknown",
        header=header,
        complete=parsed.complete,
        rejected=len(parsed.rejects),
        as_of=header.finished_at or header.started_at or AS_OF,
    )
    return replace(context, **changes)


def session_of(
    parsed: ParsedReport,
    on: Resources,
    prior: Mapping[str, Prior] | None = None,
    scan_no: int = 1,
    standing: Standing = NONE,
    **changes: Any,
) -> ScanSession:
    return ScanSession.of(context_of(parsed, scan_no, **changes), parsed.findings, on, prior, standing)


def made_up(findings: Sequence[RawFinding], **header: Any) -> ParsedReport:
    """A whole JSON report with these findings."""
    fields = {"host": "h", "cmdline": "sys-scan --hardening", "started_at": AS_OF, "finished_at": AS_OF, **header}
    name = digest("made up", *[[f.scanner, f.id, f.severity, f.title, f.metadata] for f in findings])
    return ParsedReport(ScanHeader(**{"source_format": "json", **fields}), tuple(findings), (), name, complete=True)


def lines_of(session: ScanSession, batch_size: int = 256) -> list[Line]:
    """Run a scan through the graph without checkpoints."""
    graph = build_graph({session.index.context.scan_no: session})
    total = len(session.index.members)
    lines: list[Line] = []
    for first in range(0, total, batch_size):
        last = min(first + batch_size, total)
        lines += run_batch(graph, session, first, last)
    return lines


def documents(lines: Sequence[Line]) -> list[dict[str, Any]]:
    return [orjson.loads(line.line) for line in lines]


def record_of(session: ScanSession) -> dict[str, Any]:
    """The scan record as it is written."""
    record: dict[str, Any] = orjson.loads(write(session.record()))
    return record


class Baseline:
    """What the ledger would remember, per host and profile."""

    def __init__(self) -> None:
        self.known: dict[tuple[str | None, str | None], dict[str, BaselineRow]] = {}

    def session(self, parsed: ParsedReport, on: Resources, scan_no: int, **changes: Any) -> ScanSession:
        """Put a scan beside what is remembered, and remember it."""
        rows = self.known.setdefault((parsed.header.host, scan_scope(parsed.header)), {})
        session = session_of(parsed, on, dict(rows), scan_no, **changes)
        if session.comparison is not None:
            rows.update({row.fingerprint: row for row in baseline_rows(session.comparison, scan_no)})
            for fingerprint in session.comparison.forget:
                del rows[fingerprint]
        return session


@lru_cache(maxsize=1)
def all_by_rules() -> tuple[tuple[str, list[Line], dict[str, Any]], ...]:
    """Every scan of the corpus as it comes out without a model: made once, and only looked at."""
    return tuple(everything(shared()))


def everything(on: Resources, batch_size: int = 256) -> Iterator[tuple[str, list[Line], dict[str, Any]]]:
    """Every scan of the corpus: name, lines and record."""
    for name in corpus():
        for parsed in reports(name):
            session = session_of(parsed, on, {})
            yield name, lines_of(session, batch_size), record_of(session)
