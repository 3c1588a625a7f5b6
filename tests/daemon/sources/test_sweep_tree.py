"""What lies in a watched tree: links, devices, closed doors, odd names, roots that come and go."""

import contextlib
import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.ports.files import KIND
from daemon.sources.directory.names import NameRules, rotation
from daemon.sources.directory.settings import DEFAULT_NAMES, WatchSettings
from tests.daemon.sources.world import World, lines, report, stream

NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let permissions count even when the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_world() -> Iterator[World]:
    """A directory that everybody can reach."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    yield World(root / "in")
    shutil.rmtree(root)


def test_f20_a_link_inside_the_tree_is_followed_and_its_rotation_too(world: World) -> None:
    pods = world.path("pods")
    pods.mkdir()
    (pods / "0.log").write_bytes(stream("1"))
    world.path("a.ndjson").symlink_to(pods / "0.log")
    world.sweep()
    (pods / "0.log").rename(pods / "0.log.old")
    (pods / "1.log").write_bytes(stream("3"))
    with (pods / "0.log.old").open("ab") as file:
        file.write(lines("2"))
    world.path("a.ndjson").unlink()
    world.path("a.ndjson").symlink_to("pods/1.log")
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_f20_a_link_and_its_target_are_one_file(world: World) -> None:
    world.write("b.json", report("1"))
    world.path("a.json").symlink_to("b.json")
    world.sweep()
    assert world.inputs.findings == [(str(world.path("b.json")), "1")]


def test_f20_links_that_loop_or_dangle_are_harmless_and_may_be_mended(world: World) -> None:
    world.path("a.json").symlink_to("b.json")
    world.path("b.json").symlink_to("a.json")
    world.path("c.json").symlink_to("nowhere.txt")
    world.path("loop").symlink_to(".")
    world.sweep()
    assert (world.inputs.rows, world.inputs.quarantine) == ({}, [])
    world.write("nowhere.txt", report("1"))
    world.sweep()
    assert world.inputs.ids == ["1"]


def test_f20_a_link_out_of_the_tree_is_refused_once(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_bytes(report("secret"))
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "x.json").write_bytes(report("secret"))
    world.path("a.json").symlink_to(tmp_path / "secret.json")
    world.path("b.json").symlink_to("/etc/passwd")
    world.path("dir").symlink_to(tmp_path / "dir")
    for _ in range(2):
        world.sweep()
        world.sweep()
        world.crash()
    assert world.inputs.ids == []
    assert sorted(world.inputs.quarantine) == [
        (str(world.path("a.json")), "not_regular", None),
        (str(world.path("b.json")), "not_regular", None),
        (str(world.path("dir")), "not_regular", None),
    ]


def test_f20_a_directory_swapped_for_a_link_after_the_listing_is_not_read_through(world: World, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_bytes(report("secret"))
    world.path("sub").mkdir()
    world.path("sub/a.json").hardlink_to(tmp_path / "out" / "a.json")  # so that even the inode agrees
    listing = world.sweeper.tree.full()
    world.path("sub").rename(tmp_path / "moved")
    world.path("sub").symlink_to(tmp_path / "out")
    world.sweeper.tree.full = lambda known=(): listing  # type: ignore[method-assign]
    world.sweep()
    assert world.inputs.ids == []


def test_fifo_socket_and_device_are_refused_once_without_blocking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(world.path("a.json"))
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(world.root)  # the path of a socket has a length that it may not pass
        listener.bind("b.json")
        world.path("c.json").mkdir()  # a directory is just a directory
        for _ in range(2):
            world.sweep()
            world.sweep()
            world.crash()
    assert sorted(world.inputs.quarantine) == [
        (str(world.path("a.json")), "not_regular", None),
        (str(world.path("b.json")), "not_regular", None),
    ]
    world.path("a.json").unlink()
    world.write("a.json", report("1"))
    world.sweep()
    world.sweep()
    assert world.inputs.ids == ["1"]
    assert len(world.inputs.rows) == 2


def test_f21_an_unreadable_file_is_reported_once_and_read_when_permission_is_back(open_world: World) -> None:
    world = open_world
    path = world.write("a.json", report("1"))
    path.chmod(0)
    with unprivileged():
        for _ in range(2):
            assert world.sweep().unreadable == (str(path),)
            world.sweep()
            world.crash()
    assert world.inputs.quarantine == [(str(path), "unreadable", None)]
    path.chmod(0o644)
    with unprivileged():
        assert world.sweep().unreadable == ()
    assert world.inputs.ids == ["1"]
    assert len(world.inputs.rows) == 1


def test_f21_a_stream_that_becomes_unreadable_while_stopped_goes_on_where_it_was(open_world: World) -> None:
    world = open_world
    path = world.write("a.ndjson", stream("1"))
    world.sweep()
    world.crash()
    path.chmod(0)
    world.append("a.ndjson", lines("2"))
    with unprivileged():
        world.sweep()
    path.chmod(0o644)
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_f21_a_closed_directory_is_reported_and_its_files_do_not_count_as_gone(open_world: World) -> None:
    world = open_world
    world.path("sub").mkdir()
    world.write("sub/a.ndjson", stream("1"))
    world.sweep()
    world.path("sub").chmod(0)
    with unprivileged():
        for _ in range(3):
            world.later(5000)
            assert str(world.path("sub")) in world.sweep().unreadable
        world.crash()
        world.sweep()
        world.later(5000)
    assert [reason for _, reason, _ in world.inputs.quarantine] == ["unreadable"]
    world.path("sub").chmod(0o755)
    world.append("sub/a.ndjson", lines("2"))
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_f27_names_may_be_any_bytes(world: World) -> None:
    names = [
        b"\xff\xfe.json",
        b"new\nline.json",
        b"x" * 250 + b".json",
        "ü ☃.json".encode(),
        b"*?[a].json",
        b"-rf.json",
    ]
    for number, name in enumerate(names):
        world.write(os.fsdecode(name), report(str(number)))
    world.sweep()
    world.crash()
    world.sweep()
    assert sorted(world.inputs.ids) == [str(number) for number in range(len(names))]
    assert {os.fsencode(known.name) for known in world.inputs.known(KIND)} == {
        os.fsencode(world.root) + b"/" + name for name in names
    }


def test_f28_without_descriptors_the_rest_is_read_later(world: World) -> None:
    for number in range(40):
        world.write(f"{number}.ndjson", stream(str(number)))
    sweeper = world.sweeper
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1
    hog = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, limits[1]))
    try:
        assert not world.sweep().exhausted  # idle descriptors make room for those that are needed
        sweeper.close()
        with contextlib.suppress(OSError):
            while True:
                hog.append(os.open("/dev/null", os.O_RDONLY))
        os.close(hog.pop())  # one is left, to list the directory with
        world.write("new.ndjson", stream("new"))
        with os.scandir(world.root):
            assert world.sweep().exhausted
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in hog:
            os.close(descriptor)
    assert not world.sweep().exhausted
    assert sorted(world.inputs.ids) == sorted([*(str(number) for number in range(40)), "new"])


def test_f28_no_more_files_are_held_than_allowed_but_what_is_gone_is_kept(world: World) -> None:
    world.settings = WatchSettings.model_construct(roots=(str(world.root),), max_open_files=4)
    for number in range(10):
        world.write(f"{number}.ndjson", stream(str(number)))
    world.sweep()
    assert len(world.sweeper._pool) == 4
    held = [file for file in world.sweeper._tracked.values() if file.descriptor is not None]
    for file in held:
        path = Path(file.path)
        world.append(path.name, lines("late" + path.name))
        path.unlink()
    for number in range(20, 25):
        world.write(f"{number}.ndjson", stream(str(number)))
    world.sweep()
    assert sum(name.startswith("late") for name in world.inputs.ids) == 4
    assert len(world.inputs.ids) == 19


def test_f19_a_root_that_is_deleted_and_made_again_is_watched_again(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    shutil.rmtree(world.root)
    result = world.sweep()
    assert result.missing_roots == (str(world.root),)
    world.later(5000)
    assert len(world.inputs.rows) == 1  # nothing is known of files below a root that is away
    world.root.mkdir()
    world.write("a.ndjson", stream("2"))
    result = world.sweep()
    assert (result.missing_roots, result.replaced_roots) == ((), (str(world.root),))
    assert world.inputs.ids == ["1", "2"]


def test_f19_a_root_that_is_renamed_and_replaced_is_noticed(world: World, tmp_path: Path) -> None:
    world.write("a.json", report("1"))
    world.write("b.ndjson", stream("2"))
    world.sweep()
    with world.writer("b.ndjson") as writer:
        world.root.rename(tmp_path / "old")
        world.root.mkdir()
        os.write(writer, lines("3"))
        world.write("a.json", report("4"))
        assert world.sweep().replaced_roots == (str(world.root),)
    assert sorted(world.inputs.ids) == ["1", "2", "3", "4"]


def test_f19_a_root_that_was_away_comes_back_with_nothing_read_twice(world: World, tmp_path: Path) -> None:
    world.write("a.json", report("1"))
    world.write("b.ndjson", stream("2"))
    world.sweep()
    world.root.rename(tmp_path / "away")  # as an unmounted file system with the same inodes
    world.sweep()
    world.later(10)
    world.crash()
    world.later(5000)
    (tmp_path / "away").rename(world.root)
    world.append("b.ndjson", lines("3"))
    world.sweep()
    assert sorted(world.inputs.ids) == ["1", "2", "3"]


def test_f16_what_lies_in_new_directories_is_found_from_a_hint_about_their_parent(world: World) -> None:
    world.sweep()
    world.path("a/b/c").mkdir(parents=True)
    world.write("a/b/c/x.json", report("1"))
    world.sweep(str(world.root))
    assert world.inputs.ids == ["1"]


def test_f16_a_tree_moved_in_is_found(world: World, tmp_path: Path) -> None:
    world.sweep()
    (tmp_path / "t" / "u").mkdir(parents=True)
    (tmp_path / "t" / "u" / "x.json").write_bytes(report("1"))
    (tmp_path / "t").rename(world.path("t"))
    world.sweep(str(world.root))
    assert world.inputs.ids == ["1"]


def test_a_hint_reads_only_the_directory_that_it_names(world: World) -> None:
    world.path("one").mkdir()
    world.path("two").mkdir()
    world.sweep()
    world.write("one/a.json", report("1"))
    world.write("two/b.json", report("2"))
    result = world.sweep(str(world.path("one")), "/etc", str(world.path("gone")))
    assert (world.inputs.ids, result.full) == (["1"], False)


def test_a_hint_about_a_rotation_across_directories_looks_everywhere(world: World) -> None:
    world.path("old").mkdir()
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.path("a.ndjson").rename(world.path("old/a.ndjson.1"))
    with world.path("old/a.ndjson.1").open("ab") as file:
        file.write(lines("2"))
    world.write("a.ndjson", stream("3"))
    result = world.sweep(str(world.root))
    assert (world.inputs.ids, result.full) == (["1", "2", "3"], True)


def test_our_own_output_and_state_are_never_read(world: World) -> None:
    world.path("out").mkdir()
    world.excluded = (str(world.path("out")), str(world.path("enriched.ndjson")))
    for name in (
        "out/a.json",
        "enriched.ndjson",
        "enriched.000001.ndjson",
        "enriched.ndjson.1",
        "enriched.ndjson-20261104.gz",
    ):
        world.write(name, report("own"))
    world.path("link.json").symlink_to("out/a.json")
    world.write("enriched2.ndjson", report("1"))
    world.sweep()
    assert world.inputs.ids == ["1"]
    assert world.inputs.quarantine == []


def test_a_single_file_can_be_watched_with_its_rotations(world: World) -> None:
    path = world.write("a[1].ndjson", stream("1"))
    world.write("b.ndjson", stream("other"))
    world.settings = WatchSettings(roots=(str(path),))
    world.sweep()
    path.rename(world.path("a[1].ndjson.1"))
    world.write("a[1].ndjson", stream("2"))
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.json", True),
        ("a.sarif", True),
        ("a.jsonl", True),
        ("a.ndjson.gz", True),
        ("a.json.1", True),
        ("a.json.12.gz", True),
        ("a.json-20261104", True),
        ("a.json-20261104.gz", True),
        ("a.json-20261104-0310", True),
        ("a.json.2026-11-04", True),
        ("a.json.1762225800", True),
        ("a.json.1.zst", True),
        ("a.ndjson-20261104.xz", True),
        ("a.jsonl.bz2", True),
        ("a.json.lz4", True),
        ("a.json.gz.1", True),
        ("A.JSON", True),
        ("a.Json.1.GZ", True),
        ("a.json.old", True),
        ("a.json-2026-11-04T03:10:44Z", True),
        ("a.json.2026-11-04_03-10-44.zst", True),
        ("a.txt.zst", False),
        ("a.JSON.TMP", False),
        (".a.json", False),
        ("a.json.tmp", False),
        ("a.json~", False),
        ("a.json.part", False),
        ("a.json.asc", False),
        ("a.txt", False),
        ("json", False),
        ("a.json\n", False),
    ],
)
def test_names(name: str, wanted: bool) -> None:
    assert NameRules(DEFAULT_NAMES).wanted(name) is wanted


def test_rotation_numbers() -> None:
    assert [rotation(name) for name in ("a.json", "d/a.json.3", "a.json.10.zst", "a.json-20261104")] == [0, 3, 10, 0]
