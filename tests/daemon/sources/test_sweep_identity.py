"""Which file is it, and is it still the same? Samples of its bytes, its number and its name do not decide."""

import contextlib
import gzip
from pathlib import Path

import pytest

from daemon.sources.directory.tracked import SweepResult
from pipeline.errors import LedgerError
from tests.daemon.sources.world import META, World, line, lines, report, stream

COUNT = 60
WAYS = ["in place", "by rename", "under another name", "compressed", "while stopped"]


def scan_of(host: str, *names: str) -> bytes:
    return stream(*names).replace(b'"hostname":"vm"', b'"hostname":"%s"' % host.encode())


def names(changed: int | None = None) -> list[str]:
    return [f"evil{number:02}" if number == changed else f"tool{number:02}" for number in range(COUNT)]


@pytest.mark.parametrize("changed", [0, 1, COUNT // 2, COUNT - 1])
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_of_which_one_line_was_changed_is_another_one(world: World, way: str, changed: int) -> None:
    first, second = stream(*names()), stream(*names(changed))
    assert len(first) == len(second)
    world.write("a.ndjson", first)
    world.sweep()
    world.later(70)
    replace_content(world, way, second)
    world.sweep()
    for _ in range(3):
        world.later(70)
    assert sorted(world.inputs.ids) == sorted(names() + names(changed))


def replace_content(world: World, way: str, content: bytes) -> None:
    path = world.path("a.ndjson")
    if way == "while stopped":
        world.stop()
    if way in ("in place", "while stopped"):
        world.write("a.ndjson", content)
    elif way == "by rename":
        world.write("x.tmp", content).rename(path)
    else:
        path.unlink()
        world.sweep()
        compressed = way == "compressed"
        world.write("b.ndjson.gz" if compressed else "b.ndjson", gzip.compress(content) if compressed else content)


@pytest.mark.parametrize("changed", [3, COUNT - 1])
def test_a_stream_that_was_changed_and_has_grown_is_another_one(world: World, changed: int) -> None:
    world.write("a.ndjson", META + lines(*names()))
    world.sweep()
    world.write("a.ndjson", META + lines(*names(changed), "more"))
    world.sweep()
    assert sorted(world.inputs.ids) == sorted([*names(), *names(changed), "more"])


@pytest.mark.parametrize("is_copy", [False, True])
@pytest.mark.parametrize("step", range(12))
def test_a_change_in_the_middle_of_a_sweep_is_noticed(world: World, step: int, is_copy: bool) -> None:
    """Size, beginning and end stay as they are; the sweep has come to any of its steps."""
    world.settings = world.settings.model_copy(update={"chunk_bytes": 4096})
    old, new = [f"old{n:03}" for n in range(80)], [f"new{n:03}" for n in range(80)]
    before, after = (META + line("same", 2000) + lines(*each) + line("end", 300) for each in (old, new))
    if is_copy:
        world.write("a.ndjson", before)
        world.sweep()
    path = world.write("b.ndjson", before)
    changed = False
    for _ in range(4):
        for number, _ in enumerate(world.sweeper.steps(None, SweepResult())):
            if number == step and not changed:
                path.write_bytes(after)
                changed = True
        world.now += 20
    if not changed:
        path.write_bytes(after)
    for _ in range(3):
        world.later(70)
    found = [name for path, name in world.inputs.findings if path.endswith("b.ndjson")]
    assert [name for name in found if name.startswith("new")] == new


@pytest.mark.parametrize("way", ["deleted", "renamed over"])
def test_whenever_the_process_dies_the_report_of_another_host_is_read_whole(tmp_path: Path, way: str) -> None:
    """The position is never stored without what vouches for it: after each transaction the process may end."""
    first, second = scan_of("web-01", *names()), scan_of("web-02", *names())
    assert len(first) == len(second)
    for survived in range(12):
        world = World(tmp_path / str(survived), chunk_bytes=4096)
        world.write("app.ndjson", first)
        allowed = survived

        def store(self: object = None) -> None:
            nonlocal allowed
            if allowed == 0:
                raise LedgerError("killed")
            allowed -= 1

        world.inputs._check = store  # type: ignore[method-assign]
        with contextlib.suppress(LedgerError):
            world.sweep()
        finished = allowed > 0
        del world.inputs._check
        world.crash()
        before = list(world.inputs.ids)
        if way == "deleted":
            world.path("app.ndjson").unlink()
            world.write("next.ndjson", second)
        else:
            world.write("x.tmp", second).rename(world.path("app.ndjson"))
        world.sweep()
        for _ in range(3):
            world.later(70)
        assert world.inputs.ids[len(before) :] == names()
        if finished:
            break
    assert finished and survived > 3


def test_two_streams_that_begin_and_end_alike_are_compressed_together(world: World) -> None:
    """The end of a file proves as little as its beginning: the longer of two is no continuation of the other."""
    world.write("a.ndjson", META)
    world.write("b.ndjson", META)
    world.sweep()
    world.append("a.ndjson", line("a1", 2000))
    world.append("b.ndjson", line("b1", 2000) + line("b2", 2000))
    for name in ("a", "b"):
        data = world.path(f"{name}.ndjson").read_bytes()
        world.write(f"{name}.ndjson.1.gz", gzip.compress(data))
        world.path(f"{name}.ndjson").unlink()
    world.sweep()
    for _ in range(3):
        world.later(70)
    assert sorted(world.inputs.ids) == ["a1", "b1", "b2"]


# Whose number it is


def with_number_of(world: World, inode: int, name: str, content: bytes) -> None:
    """Give a new file the inode number of one that is gone, where the file system uses numbers again."""
    fillers = []
    try:
        for number in range(300):
            path = world.write(f"fill.{number}", b"")
            if path.stat().st_ino == inode:
                path.write_bytes(content)
                path.rename(world.path(name))
                return
            fillers.append(path)
    finally:
        for path in fillers:
            path.unlink()
    pytest.skip("this file system does not use the number again")


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
@pytest.mark.parametrize("birth", [True, False])
def test_a_file_that_is_no_report_is_left_alone_whatever_its_number(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, stopped: bool, birth: bool
) -> None:
    if not birth:
        for module in ("sweep", "content"):
            monkeypatch.setattr(f"daemon.sources.directory.{module}.birth_ns", lambda descriptor: None)
    path = world.write(name, report("1") if name == "a.json" else stream("1"))
    inode = path.stat().st_ino
    world.sweep()
    world.later(70)
    if stopped:
        world.stop()
    else:
        world.sweeper.close_files()
    path.unlink()
    with_number_of(world, inode, "notes.txt", b"a note that is nobody's business")
    for _ in range(3):
        world.later(70)
    assert (world.inputs.ids, world.inputs.quarantine) == (["1"], [])


@pytest.mark.parametrize("stopped", [False, True])
def test_a_report_under_a_name_that_is_none_is_followed(world: World, stopped: bool) -> None:
    world.write("a.ndjson", META + lines("1"))
    world.sweep()
    if stopped:
        world.stop()
    world.path("a.ndjson").rename(world.path("a.old"))
    with world.path("a.old").open("ab") as file:
        file.write(lines("2"))
    world.sweep()
    world.later(70)
    assert world.inputs.ids == ["1", "2"]


# What a root is


def test_a_file_that_is_watched_and_comes_later_is_read(tmp_path: Path) -> None:
    world = World(tmp_path / "in", roots=(str(tmp_path / "in" / "web01.json"),))
    result = world.sweep()
    assert (result.missing_roots, result.awaited) == ((), (str(world.path("web01.json")),))
    world.write("web01.json", report("1"))
    world.write("other.json", report("2"))
    assert world.sweep().awaited == ()
    assert world.inputs.ids == ["1"]
    world.path("web01.json").unlink()
    world.sweep()
    world.write("web01.json", report("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "3"]


def test_a_root_may_become_something_else(tmp_path: Path) -> None:
    world = World(tmp_path / "in", roots=(str(tmp_path / "in" / "web01.json"),))
    world.write("web01.json", report("1"))
    world.sweep()
    world.path("web01.json").unlink()
    world.path("web01.json").mkdir()
    world.write("web01.json/a.json", report("2"))
    world.sweep()
    world.path("web01.json/a.json").unlink()
    world.path("web01.json").rmdir()
    world.path("web01.json").symlink_to(tmp_path / "elsewhere")  # dangles
    world.sweep()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.json").write_bytes(report("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


# What is our own


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("web01.ndjson", True),
        ("web01.000001.ndjson", True),
        ("web01.1000000.ndjson", True),
        ("web01.ndjson.1", True),
        ("web01.ndjson-20261104.gz", True),
        ("web01.000002.ndjson.gz", True),
        ("web01.json", False),
        ("web01.sarif", False),
        ("web01.2026-11-04.json", False),
        ("web01.2.ndjson", False),
        ("web01-db.ndjson", False),
        ("web010.ndjson", False),
    ],
)
def test_only_the_names_that_our_output_gets_are_left_out(world: World, name: str, is_ours: bool) -> None:
    world.excluded = (str(world.path("web01.ndjson")),)
    content = stream("1") if ".ndjson" in name else report("1")
    world.write(name, gzip.compress(content) if name.endswith(".gz") else content)
    world.sweep()
    assert world.inputs.ids == ([] if is_ours else ["1"]) or name.endswith("sarif")
    assert (len(world.inputs.rows) == 0) == is_ours
