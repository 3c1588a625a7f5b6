"""Findings, situations and verdicts as programs are shown them: plain JSON."""

import sys
from typing import Any

import orjson

from daemon.ledger.retained import Retained
from daemon.review.queue import Entry
from daemon.review.words import label_of, title_of
from pipeline.display import printable
from pipeline.harmless import as_json
from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Verdict, encode


def print_json(value: Any) -> None:
    """Print one line of JSON."""
    sys.stdout.buffer.write(as_json(value) + b"\n")
    sys.stdout.buffer.flush()


def entry_json(entry: Entry, line: EnrichedFinding | None) -> dict[str, Any]:
    """Give an entry of the queue as plain JSON."""
    said: dict[str, Any] = {
        "situation": entry.situation, "class": printable(entry.class_id), "scanner": printable(entry.scanner),
        "status": entry.status, "level": entry.level, "score": entry.score, "findings": entry.findings,
        "lines": entry.lines, "hosts": [printable(host) for host in entry.hosts],
    }  # fmt: skip
    if line is not None:
        said["worst"] = {
            "fingerprint": line.fingerprint, "host": printable(line.host), "title": title_of(line),
            "label": label_of(line), "assessment": printable(line.analysis.assessment, 4000),
        }  # fmt: skip
    return said


def finding_json(row: Retained) -> dict[str, Any]:
    """Give a finding that is kept as plain JSON, without its line."""
    return {
        "fingerprint": row.fingerprint, "host": printable(row.host), "situation": row.situation,
        "class": printable(row.class_id), "scanner": printable(row.scanner), "status": row.status, "level": row.level,
        "score": row.score, "lines": row.lines, "dedupe_keys": list(row.keys), "at": row.at,
    }  # fmt: skip


def verdict_json(verdict: Verdict, state: str | None = None) -> dict[str, Any]:
    """Give a verdict as the log has it, and whether it counts."""
    said: dict[str, Any] = orjson.loads(encode(verdict))
    for name in ("reason", "author", "owner"):
        if name in said:
            said[name] = printable(said[name], 4000)
    return said if state is None else {**said, "state": state}
