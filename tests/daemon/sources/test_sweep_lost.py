"""A stream whose content is no longer in its file goes on where that has gone, or has made room for what comes."""

import gzip
import os
from pathlib import Path

import pytest

from tests.daemon.sources.test_sweep_with_ledger import Watched
from tests.daemon.sources.world import World, lines, stream


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.mark.parametrize("stopped", ["stop", "crash"])
@pytest.mark.parametrize("more", [b"", lines("3")])
def test_a_stop_between_copytruncate_and_removal_costs_nothing(world: World, stopped: str, more: bytes) -> None:
    """What is gone is read while stopping, but its copy is not looked at before the next start."""
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.append("a.ndjson", lines("2"))
    world.copytruncate("a.ndjson", "a.ndjson.1")
    world.append("a.ndjson", more)
    world.path("a.ndjson").unlink()
    getattr(world, stopped)()
    for _ in range(3):
        world.later(70)
    assert sorted(world.inputs.ids) == ["1", "2"] + (["3"] if more and stopped == "stop" else [])


@pytest.mark.parametrize("how", ["in the next sweep", "after a restart"])
def test_the_other_half_of_a_scan_is_waited_for_while_its_copy_is_being_compressed(world: World, how: str) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    packed = gzip.compress(stream("1") + lines("2"))
    world.write("a.ndjson.1.gz", packed[:40])
    os.truncate(world.path("a.ndjson"), 0)
    result = world.sweep()
    assert result.next_due is not None and not world.inputs.closed
    if how == "after a restart":
        world.crash()
    world.append("a.ndjson.1.gz", packed[40:])
    world.later(1)
    for _ in range(3):
        world.later(70)
    assert world.inputs.ids == ["1", "2"]


def test_the_other_half_is_not_waited_for_for_ever(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.write("b.ndjson.gz", gzip.compress(stream("9"))[:40])
    os.truncate(world.path("a.ndjson"), 0)
    world.sweep()
    assert not world.inputs.closed
    world.later(world.settings.rotate_wait_s)
    assert world.inputs.closed == [str(world.path("a.ndjson"))]


def test_a_run_that_is_to_end_waits_for_no_other_half(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.write("b.ndjson.gz", gzip.compress(stream("9"))[:40])
    os.truncate(world.path("a.ndjson"), 0)
    world.sweeper.finish()
    assert world.inputs.closed == [str(world.path("a.ndjson"))]


@pytest.mark.parametrize("copied", ["skipped", "read", "compressed"])
@pytest.mark.parametrize("looks", ["between", "after"])
def test_a_return_after_copytruncate_is_news_although_the_copy_was_known(
    watched: Watched, looks: str, copied: str
) -> None:
    """All lines of the copy had been read in the original, which made room for what comes next."""
    live, copy = watched.root / "a.ndjson", watched.root / "a.ndjson.1"
    live.write_bytes(stream("bad"))
    watched.sweep()
    if copied == "compressed":
        copy = copy.with_name("a.ndjson.1.gz")
        copy.write_bytes(gzip.compress(live.read_bytes()))
    else:
        copy.write_bytes(live.read_bytes())
    if copied == "read":  # as when nobody has written for so long that no copy is waited for
        watched.sweep(100)
        watched.settle()
    watched.sweep(1)
    watched.sweep(10)  # it was not truncated in time: a copy, that is all
    os.truncate(live, 0)
    if looks == "between":
        watched.sweep()
        watched.crash()
    live.write_bytes(stream("good"))
    watched.sweep()
    with live.open("ab") as file:
        file.write(stream("bad"))
    watched.sweep()
    watched.settle()
    assert [ids for _, ids in watched.closed()] == [["bad"], ["good"], ["bad"]]
    assert watched.ledger.fsck() == []


def test_the_first_look_is_at_everything_whatever_it_is_asked_for(watched: Watched) -> None:
    """Else a copy would be read from its start before it is known that the file which it goes on for is gone."""
    live, rotated = watched.root / "a.ndjson", watched.root / "old" / "a.ndjson.1.gz"
    rotated.parent.mkdir()
    live.write_bytes(stream("1", "2", "3").removesuffix(lines("3")))
    watched.sweep()
    watched.crash()
    live.unlink()
    rotated.write_bytes(gzip.compress(stream("1", "2", "3")))
    watched.sweeper.sweep([str(rotated.parent)])
    watched.settle()
    assert [ids for _, ids in watched.closed()] == [["1", "2", "3"]]
