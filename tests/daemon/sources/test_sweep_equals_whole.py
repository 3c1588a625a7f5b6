"""However a file came to be what it is, it is read as if it had always been there."""

import gzip
import random
from pathlib import Path

import pytest

from pipeline.errors import ReportError
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from tests.daemon.sources.world import World

SCANS = Path(__file__).parents[2] / "data" / "scans"
MALFORMED = sorted(path for path in (SCANS / "malformed").iterdir() if path.name != "index.json")
SOUND = [SCANS / name for name in ("micro-default.json", "web01-base-default.ndjson", "web01-base-default.sarif")]


def whole(raw: bytes) -> tuple[list[str], list[str]]:
    """Say which findings and which reasons the file has, read at once and for good."""
    try:
        document = read_document(raw, Limits(), final=True)
    except ReportError as error:
        return [], [error.reason]
    rejects = [*document.rejects, *(reject for report in document.reports for reject in report.rejects)]
    ids = [finding.id for report in document.reports for finding in report.findings]
    return ids, sorted(reject.reason for reject in rejects)


def settled(world: World) -> tuple[list[str], list[str]]:
    for _ in range(3):
        world.later(70)
    return world.inputs.ids, sorted(world.inputs.reasons)


@pytest.mark.parametrize("path", [*SOUND, *MALFORMED], ids=lambda path: path.name)
def test_f26_a_file_is_read_as_it_is(world: World, path: Path) -> None:
    raw = path.read_bytes()
    world.write(path.name, raw)
    assert settled(world) == whole(raw)
    assert world.path(path.name).read_bytes() == raw


@pytest.mark.parametrize("path", [*SOUND, *MALFORMED], ids=lambda path: path.name)
def test_f11_f25_a_file_that_grows_in_pieces_with_crashes_between_is_read_the_same(world: World, path: Path) -> None:
    raw = path.read_bytes()
    pieces = random.Random(path.name)
    cuts = sorted(pieces.randrange(len(raw) + 1) for _ in range(5))
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        world.append(path.name, raw[start:end])
        world.sweep()
        if pieces.random() < 0.3:
            world.crash()
    got, expected = settled(world), whole(raw)
    if path.name == "overwritten-tail.json":  # it holds a whole report before its end: that one comes first
        got = (got[0][-len(expected[0]) :], sorted(set(got[1])))
    assert got == expected


@pytest.mark.parametrize("path", [*SOUND, *MALFORMED], ids=lambda path: path.name)
def test_f25_a_compressed_file_is_read_the_same(world: World, path: Path) -> None:
    raw = path.read_bytes()
    if not raw.startswith(b"\x1f\x8b"):
        raw = gzip.compress(raw)
    world.write(path.name.removesuffix(".gz") + ".gz", raw)
    assert settled(world) == whole(raw)
