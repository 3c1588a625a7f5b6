"""Scan records for the tests: as the daemon writes them, and made up."""

import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from daemon.fleet.fleet import Spans
from daemon.fleet.scan import Place, Scan, read_scan
from daemon.ledger import Ledger
from daemon.one_shot import OneShot
from daemon.resources import open_resources
from daemon.settings import load_settings
from pipeline.output.write import write
from pipeline.report.limits import Limits

ROOT = Path(__file__).parents[3]
SCANS = ROOT / "tests" / "data" / "scans"
HOUR, DAY = 3600_000, 24 * 3600_000
NOON = 1_793_620_800_000  # 2026-11-02T12:00:00Z
SPANS = Spans(silent=26 * HOUR, forget=30 * DAY, scope=26 * HOUR, window=24 * HOUR)


@functools.cache
def real(*names: str) -> tuple[bytes, ...]:
    """The scan records of reports of the corpus, in this order, with a baseline kept over them."""
    with (
        tempfile.TemporaryDirectory() as state,
        Ledger.open(Path(state), clock=time.time) as ledger,
        contextlib.closing(open_resources(load_settings({}, {"model": {"enabled": False}}))) as on,
    ):
        run = OneShot(on, Limits(), 256, ledger=ledger)
        return tuple(write(one.record) for name in names for one in run.analyse(str(SCANS / name), lambda lines: None))


def issue(name: str = "one", **others: Any) -> dict[str, Any]:
    return {
        "id": name, "class": f"class.{name}", "candidates": [], "title": f"Title of {name}", "split": {},
        "scanner": "ioc", "status": "open", "level": "critical", "score": 90, "distinct": 1, "labels": [f"/{name}"],
        "baseline": {"new": 1}, "do_first": {"summary": f"Look at {name}"}, **others,
    }  # fmt: skip


def record(host: str = "web-01", scan_id: str = "s1", at: str = "2026-11-02T11:00:00Z", **others: Any) -> bytes:
    issues: Sequence[Mapping[str, Any]] = others.pop("issues", [issue()])
    levels: dict[str, int] = {}
    for one in issues:
        levels[one["level"]] = levels.get(one["level"], 0) + 1
    return orjson.dumps(
        {
            "schema": "sysscan.scan/1", "scan_id": scan_id, "host": host, "host_source": "report", "profile": "p1",
            "as_of": at, "complete": True, "counts": {"level": levels}, "issues": issues, **others,
        }
    )  # fmt: skip


def scan(place: Place | None = None, **fields: Any) -> Scan:
    value = record(**fields)
    return read_scan(json.loads(value)["host"].encode(), value, place or Place(0, 0, NOON))
