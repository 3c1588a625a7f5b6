"""Whole reports: written in place, published by rename, cut, refused, compressed."""

import bz2
import gzip
import lzma
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.ports.files import KIND
from daemon.sources.directory.settings import WatchSettings
from pipeline.errors import LedgerError
from pipeline.report.limits import Limits
from tests.daemon.sources.world import World, line, report, stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

REAL = Path(__file__).parents[2] / "data" / "scans"


def test_a_report_is_read_once(world: World) -> None:
    world.write("a.json", report("1", "2"))
    world.sweep()
    world.sweep()
    world.crash()
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_f7_a_report_rewritten_in_place_is_a_new_report(world: World) -> None:
    path = world.write("a.json", report("1"))
    world.sweep()
    inode = path.stat().st_ino
    world.write("a.json", b"")
    assert world.sweep().waiting == 1
    world.write("a.json", report("2", "3"))
    world.sweep()
    assert path.stat().st_ino == inode
    assert world.inputs.ids == ["1", "2", "3"]
    assert len(world.inputs.rows) == 1


def test_f7_a_rewrite_within_one_tick_of_the_clock_is_noticed(world: World) -> None:
    path = world.write("a.json", report("1"))
    world.wall_ns = path.stat().st_ctime_ns + 1_000_000
    world.sweep()
    path.write_bytes(report("2"))
    for file in world.sweeper._tracked.values():  # as if the new times were those that were seen
        status = path.stat()
        file.current = file.signature = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    world.wall_ns = 0
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_f17_a_report_published_by_rename_over_the_old_one_is_read(world: World) -> None:
    world.write("a.json", report("1"))
    world.sweep()
    for number in range(2, 5):
        world.write(".a.json.tmp", report(str(number)))
        world.sweep()
        world.path(".a.json.tmp").rename(world.path("a.json"))
        world.sweep(str(world.root))
    assert world.inputs.ids == ["1", "2", "3", "4"]
    world.later(4000)
    world.later(10)
    assert len(world.inputs.rows) == 1


def test_f17_a_report_renamed_in_from_outside_is_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(report("1"))
    (tmp_path / "x").rename(world.path("a.json"))
    world.sweep()
    assert world.inputs.ids == ["1"]


def test_f18_a_hard_link_is_one_file_with_two_names(world: World, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(report("1"))
    world.path("b.json").hardlink_to(tmp_path / "x")
    world.path("a.json").hardlink_to(tmp_path / "x")
    world.sweep()
    assert world.inputs.findings == [(str(world.path("a.json")), "1")]
    world.path("a.json").unlink()
    world.sweep()
    assert [known.name for known in world.inputs.known(KIND)] == [str(world.path("b.json"))]
    assert world.inputs.ids == ["1"]


@pytest.mark.parametrize("size", [0, 1, 64, 1023])
def test_f10_a_small_document_that_never_grows_is_quarantined_whole(world: World, size: int) -> None:
    data = report("1", "2", "3", "4", "5", "6", "7", "8", "9")[:size]
    assert len(data) == size
    world.write("a.json", data)
    assert world.sweep().waiting == 1
    assert world.later(59).waiting == 1
    assert world.inputs.quarantine == []
    world.later(1)
    world.later(100)
    world.crash()
    world.sweep()
    world.later(100)
    assert world.inputs.reasons == ["truncated" if size else "empty"]
    assert world.path("a.json").read_bytes() == data


def test_f13_a_finished_report_needs_no_line_end(world: World) -> None:
    world.write("a.json", report("1").rstrip())
    world.sweep()
    assert world.inputs.ids == ["1"]


def test_a_report_written_in_two_halves_waits_for_the_second(world: World) -> None:
    data = report("1", "2")
    world.write("a.json", data[:100])
    for _ in range(5):
        world.later(50)  # the file grows all the time
        world.append("a.json", b" ")
    assert (world.inputs.ids, world.inputs.quarantine) == ([], [])
    world.write("a.json", data)
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_what_is_not_json_is_refused_after_it_has_settled(world: World) -> None:
    world.write("a.json", b"<html>")
    world.sweep()
    assert world.inputs.quarantine == []
    world.later(1)
    assert len(world.inputs.quarantine) == 1
    world.later(1)
    world.write("a.json", report("1"))
    world.sweep()
    assert (len(world.inputs.quarantine), world.inputs.ids) == (1, ["1"])


def test_a_document_that_is_replaced_while_incomplete_is_quarantined(world: World) -> None:
    world.write("a.json", report("1", host="other")[:50])
    world.sweep()
    world.write("b.json.part", report("2"))
    world.path("b.json.part").rename(world.path("a.json"))
    world.sweep()
    world.later(6)
    assert (world.inputs.ids, world.inputs.reasons) == (["2"], ["truncated"])


def test_a_document_that_is_completed_after_it_was_unlinked_is_read(world: World) -> None:
    data = report("1")
    with world.writer("a.json") as writer:
        os.write(writer, data[:50])
        world.sweep()
        world.path("a.json").unlink()
        os.write(writer, data[50:])
        world.sweep()
    assert world.inputs.ids == ["1"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(report("1"))[:-4], "truncated_gzip"),
        (gzip.compress(report("1"))[:-8] + bytes(8), "corrupt_gzip"),
        (gzip.compress(bytes(40_000_000)), "too_large"),
    ],
)
def test_f25_bad_gzip_is_quarantined_with_its_reason(world: World, data: bytes, reason: str) -> None:
    world.write("a.json.gz", data)
    world.sweep()
    world.later(61)
    world.later(61)
    assert world.inputs.reasons == [reason]


def test_f25_gzip_is_recognised_by_content_not_by_name(world: World) -> None:
    world.write("a.json", gzip.compress(report("1")))
    world.write("b.json.gz", report("2"))
    world.sweep()
    assert sorted(world.inputs.ids) == ["1", "2"]


@pytest.mark.parametrize(("name", "pack"), [("zst", zstd.compress), ("xz", lzma.compress), ("bz2", bz2.compress)])
def test_a_report_is_read_however_it_was_compressed(world: World, name: str, pack: Callable[[bytes], bytes]) -> None:
    world.write(f"a.json.1.{name}", pack(report("1")))
    world.sweep()
    assert world.inputs.ids == ["1"]


@pytest.mark.parametrize(("name", "pack"), [("zst", zstd.compress), ("xz", lzma.compress), ("bz2", bz2.compress)])
def test_a_stream_goes_on_where_it_was_left_when_it_was_compressed(
    world: World, name: str, pack: Callable[[bytes], bytes]
) -> None:
    data = stream("1", "2", "3")
    cut = data.rindex(b"\n", 0, data.rindex(b"\n")) + 1
    path = world.write("a.ndjson", data[:cut])
    world.sweep()
    world.crash()
    path.unlink()
    world.write(f"a.ndjson.1.{name}", pack(data))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_what_is_compressed_otherwise_is_named(world: World) -> None:
    world.write("a.json.zip", b"PK\x03\x04" + bytes(100))
    world.sweep()
    world.later(61)
    assert world.inputs.reasons == ["not_a_report"]


def test_f26_a_document_past_the_limit_is_not_read(world: World) -> None:
    world.limits = Limits.model_construct(max_bytes=1000)
    world.write("a.json", report(*"123456789"))
    world.sweep()
    world.append("a.json", b" " * 1000)
    world.sweep()
    world.crash()
    world.sweep()
    assert (world.inputs.ids, world.inputs.reasons) == ([], ["too_large"])
    world.write("a.json", report("1"))
    world.sweep()
    assert world.inputs.ids == ["1"]


def test_f33_the_same_report_under_another_name_is_handed_over_with_the_same_digest(world: World) -> None:
    world.write("a.json", report("1"))
    shutil.copy2(world.path("a.json"), world.path("b.json"))
    world.write("c.json.gz", gzip.compress(report("1")))
    world.sweep()
    assert len(world.inputs.documents) == 3
    assert len({digest for _, digest in world.inputs.documents}) == 1


def test_f29_modification_times_order_only_what_is_found_together(world: World) -> None:
    for name, when in (("c.json", 10), ("a.json", 30), ("b.json", 4_102_444_800), ("d.json", 20)):
        world.write(name, report(name))
        os.utime(world.path(name), (when, when))
    world.sweep()
    assert world.inputs.ids == ["c.json", "d.json", "a.json", "b.json"]
    world.write("e.json", report("e.json"))
    os.utime(world.path("e.json"), (1, 1))
    world.sweep()
    assert world.inputs.ids[-1] == "e.json"


def test_f29_files_with_one_time_are_ordered_by_rotation_and_name(world: World) -> None:
    for name in ("a.json", "a.json.1", "a.json.10", "a.json.2", "b.json"):
        world.write(name, report(name))
        os.utime(world.path(name), (5, 5))
    world.sweep()
    assert world.inputs.ids == ["a.json.10", "a.json.2", "a.json.1", "a.json", "b.json"]


def test_f29_a_time_that_was_kept_does_not_hide_a_change(world: World) -> None:
    path = world.write("a.json", report("1"))
    status = path.stat()
    world.sweep()
    world.write("a.json", report("2"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_a_document_asked_for_again_is_read_again(world: World) -> None:
    world.write("a.json", report("1"))
    world.sweep()
    world.inputs.asked_again = set(world.inputs.rows)
    world.sweep()
    world.sweep()
    assert world.inputs.ids == ["1", "1"]


def test_the_directory_says_whose_reports_lie_in_it(world: World) -> None:
    world.settings = WatchSettings(
        roots=(str(world.root),), bind={str(world.root / "web"): "web-01", str(world.root / "web/db"): "db-02"}
    )
    for age, name in enumerate(("web/a.json", "web/db/b.json", "web/dbx/c.ndjson", "website.json")):
        world.path(name).parent.mkdir(parents=True, exist_ok=True)
        world.write(name, stream("1") if name.endswith("ndjson") else report("1"))
        os.utime(world.path(name), (age, age))
    world.sweep()
    assert world.inputs.hosts == ["web-01", "db-02", "web-01", None]


def test_a_full_ledger_loses_nothing(world: World) -> None:
    world.write("a.json", report("1"))
    world.write("b.ndjson", stream("2"))
    world.inputs.full = True
    with pytest.raises(LedgerError):
        world.sweep()
    world.append("b.ndjson", line("3"))
    with pytest.raises(LedgerError):
        world.sweep()
    world.inputs.full = False
    world.sweep()
    assert sorted(world.inputs.ids) == ["1", "2", "3"]


def test_every_real_report_is_read(world: World) -> None:
    names = sorted(path.name for path in REAL.iterdir() if path.is_file() and path.name != "index.json")
    for name in names:
        shutil.copy(REAL / name, world.path(name))
    world.sweep()
    world.later(61)
    assert world.inputs.quarantine == []
    assert len(world.inputs.rows) == len(names)
    assert len(world.inputs.ids) == 14_297
