"""Same input, same bytes: whatever the hash seed, the cut into batches, and the order in which knowledge is read."""

import hashlib
import os
import random
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import cast

import pytest

from pipeline.features import load_features
from pipeline.graph.graph import build_graph
from pipeline.graph.state import BatchState
from pipeline.knowledge.load import DATA
from pipeline.knowledge.source import read_sources
from pipeline.output.write import write
from tests.pipeline.sessions import FILES, Baseline, corpus, knowledge, lines_of, report, reports, resources, session_of

ROOT = Path(__file__).parents[2]


def digests(names: list[str], batch_size: int = 256, **on: object) -> dict[str, str]:
    """Digest the lines and the record of each scan, with the baseline that the scans before it left."""
    where, baseline = resources(**on), Baseline()  # type: ignore[arg-type]
    found = {}
    for scan_no, name in enumerate(names, 1):
        total = hashlib.sha256()
        for parsed in reports(name):
            session = baseline.session(parsed, where, scan_no)
            for line in lines_of(session, batch_size):
                total.update(f"{line.key} {line.level} {line.changed} {line.origin} ".encode() + line.line + b"\n")
            total.update(write(session.record()))
        found[name] = total.hexdigest()
    return found


@lru_cache(maxsize=1)
def usual() -> dict[str, str]:
    """Each scan of the corpus in batches of 256."""
    return digests(corpus())


def test_the_hash_seed_changes_no_byte() -> None:
    """Another process with another seed writes what this one writes."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "4242" else "4242"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-B", __file__, *corpus()]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True, text=True)
    assert dict(line.split() for line in run.stdout.splitlines()) == usual()
    assert len(usual()) > 55


@pytest.mark.parametrize("size", [7, 4096])
def test_the_size_of_batches_changes_no_byte(size: int) -> None:
    assert digests(corpus(), size) == usual()


def test_findings_one_at_a_time_give_the_same_bytes() -> None:
    names = [name for name in FILES if len(report(name).findings) < 60]
    assert len(names) > 25
    assert digests(names, 1) == digests(names, 256)


def test_lines_written_again_after_a_restart_are_the_same() -> None:
    session = session_of(report("web01-ioc.json"), resources(), {})
    state = cast(BatchState, build_graph({1: session}).invoke({"scan_no": 1, "first": 0, "last": 97}))
    fresh = session_of(report("web01-ioc.json"), resources(), {})
    assert session.take_lines(state) == session.take_lines(state) == fresh.take_lines(state)


def test_the_order_in_which_knowledge_is_read_changes_nothing() -> None:
    files = sorted(DATA.rglob("*.yaml"))
    random.Random(7).shuffle(files)
    shuffled = read_sources({}, files, own=DATA, features=load_features())
    assert shuffled.digest == knowledge().digest
    names = ["web01-ioc.json", "db02-default.json", "web01-wk2-rules.ndjson", "web01-base-default.sarif"]
    assert digests(names, known=shuffled) == digests(names)


if __name__ == "__main__":
    for file, digest in digests(sys.argv[1:] or FILES).items():
        print(file, digest)
