"""From a line back to its input: report, decision, model, knowledge, verdict, each by the digest that names it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from daemon.ledger import Ledger
from daemon.ledger.records import ScanInput
from daemon.review.audit import open_log
from pipeline.display import printable
from pipeline.errors import LedgerError
from pipeline.output.records import EnrichedFinding, VerdictsInUse
from pipeline.review.chain import Head
from pipeline.review.verdict import Verdict, encode


@dataclass(slots=True, frozen=True)
class Trail:
    """What made a line.

    Attributes:
        input: None where this state directory does not know the scan, as for lines of another host's agent.
        verdict: as the log has it; None where none counts, or the log does not have it.
        missing: why something is not here, or None.
    """

    scan_id: str
    line: str
    situation: str
    analysis: str
    model: str | None
    runtime: str
    knowledge: str
    policy: str
    verdicts_upto: int
    input: ScanInput | None
    verdict: Any
    missing: str | None

    def told(self) -> Iterator[str]:
        """Say it in lines, for people."""
        if self.input is not None:
            made = self.input
            yield f"input {made.digest}, {printable(made.source, 1000)}, taken in {made.taken_in_at}"
        yield f"scan {self.scan_id}, situation {self.situation}"
        if self.verdicts_upto:
            yield f"judged with the verdicts up to {self.verdicts_upto}"
        if self.missing is not None:
            yield self.missing


def trail_of(ledger_dir: Path, log: Path, line: EnrichedFinding) -> Trail:
    """Follow a line through ledger and log, as far as they are here."""
    made, verdict, missing = None, None, None
    try:
        with Ledger.open(ledger_dir, clock=lambda: 0.0, read_only=True, exclusive=False) as ledger:
            made = ledger.records.input_of(line.scan_id)
        if line.review is not None:
            verdict = _verdict(log, line.review.seq, line.provenance.verdicts)
            if verdict is None:
                missing = f"verdict {line.review.seq} is not in the log of {log.parent}"
    except LedgerError as error:
        missing = printable(str(error), 1000)
    in_use = line.provenance.verdicts
    return Trail(
        scan_id=line.scan_id,
        line=line.dedupe_key,
        situation=line.analysis.situation,
        analysis=line.analysis.key,
        model=line.analysis.model,
        runtime=line.provenance.runtime,
        knowledge=line.provenance.knowledge,
        policy=line.provenance.policy,
        verdicts_upto=in_use.seq if in_use is not None else 0,
        input=made,
        verdict=None if verdict is None else orjson.loads(encode(verdict)),
        missing=missing,
    )


def _verdict(path: Path, seq: int, used: VerdictsInUse | None) -> Verdict | None:
    """Give a verdict of the log; None where it does not hold what the line was judged with."""
    log = open_log(path)
    if log is None or used is None:
        return None
    with log:
        given = list(log.verdicts(upto=used.seq))
    if not given or given[-1][1] != Head(used.seq, used.head):
        return None
    return next((verdict for verdict, _ in given if verdict.seq == seq), None)
