"""NDJSON streams through rotation, truncation, replacement and restart."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from daemon.ports.files import KIND
from pipeline.report.limits import Limits
from tests.daemon.sources.world import META, World, line, lines, report, stream


def test_lines_are_read_as_they_are_appended(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.append("a.ndjson", lines("3"))
    world.sweep()
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_f3_a_renamed_file_is_followed_while_its_writer_keeps_it(world: World) -> None:
    with world.writer("a.ndjson") as old:
        os.write(old, stream("1"))
        world.sweep()
        world.path("a.ndjson").rename(world.path("a.ndjson.1"))
        world.write("a.ndjson", stream("3"))
        os.write(old, lines("2"))
        world.sweep()
        os.write(old, lines("4"))
        world.append("a.ndjson", lines("5"))
        world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4", "5"]
    assert [known.name for known in world.inputs.known(KIND)] == [
        str(world.path("a.ndjson.1")),
        str(world.path("a.ndjson")),
    ]


def test_f3_a_file_renamed_to_a_name_that_is_no_report_is_followed(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.path("a.ndjson").rename(world.path("old-stuff"))
    world.append("old-stuff", lines("2"))
    world.crash()
    world.append("old-stuff", lines("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_f4_rotations_faster_than_the_sweeps_lose_nothing_and_keep_their_order(world: World) -> None:
    world.write("a.ndjson", stream("0"))
    world.sweep()
    for number in range(1, 8):
        for older in range(number, 1, -1):
            world.path(f"a.ndjson.{older - 1}").rename(world.path(f"a.ndjson.{older}"))
        world.path("a.ndjson").rename(world.path("a.ndjson.1"))
        world.write("a.ndjson", stream(str(number)))
        os.utime(world.path("a.ndjson"), (5, 5))  # within one tick of the clock
    world.sweep()
    assert world.inputs.ids == [str(number) for number in range(8)]


def test_f5_copytruncate_with_an_appending_writer_continues_in_the_copy(world: World) -> None:
    with world.writer("a.ndjson") as writer:
        os.write(writer, stream("1", "2"))
        world.sweep()
        os.write(writer, lines("3") + line("4")[:20])
        world.copytruncate("a.ndjson", "a.ndjson.1")
        os.write(writer, line("4")[20:])  # the stale half of a line, at the start of the emptied file
        os.write(writer, lines("5"))
        world.sweep()
        os.write(writer, lines("6"))
        world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "5", "6"]
    assert world.inputs.reasons == ["invalid_json"]  # the second half of line 4


def test_f5_copytruncate_under_a_writer_that_does_not_append_leaves_a_hole_that_is_passed_over(world: World) -> None:
    with world.writer("a.ndjson", flags=0) as writer:
        os.write(writer, META + line("1", pad=3_000_000))
        world.limits = Limits(max_line_bytes=8_000_000)
        world.sweep()
        os.write(writer, lines("2"))
        world.copytruncate("a.ndjson", "copy.ndjson")
        os.write(writer, lines("3", "4"))
        assert world.path("a.ndjson").read_bytes()[:1000] == bytes(1000)
        world.sweep()
        os.write(writer, lines("5"))
        world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4", "5"]
    assert world.inputs.quarantine == []


def test_space_reserved_by_a_writer_is_waited_for(world: World) -> None:
    world.write("a.ndjson", stream("1") + bytes(5000))
    size = len(stream("1"))
    world.sweep()
    with world.path("a.ndjson").open("r+b") as file:
        file.seek(size)
        file.write(lines("2"))
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_f5_a_copy_that_is_seen_before_the_truncation_is_not_read_twice(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.append("a.ndjson", lines("3"))
    shutil.copyfile(world.path("a.ndjson"), world.path("a.ndjson.1"))
    world.sweep()
    world.append("a.ndjson", lines("4"))
    world.sweep()
    os.truncate(world.path("a.ndjson"), 0)
    world.append("a.ndjson", lines("5"))
    world.later(60)
    assert world.inputs.ids == ["1", "2", "3", "4", "5"]


def test_a_scan_that_only_begins_like_another_is_read_whole(world: World) -> None:
    world.write("a.ndjson", META + lines("1", "2", "3"))
    world.sweep()
    world.write("b.ndjson", META + lines("1", "2"))
    world.sweep()
    world.later(6)
    assert world.inputs.ids == ["1", "2", "3"]
    world.crash()
    world.sweep()
    world.append("b.ndjson", lines("4"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "1", "2", "4"]


def test_f6_a_file_replaced_while_stopped_is_read_anew_although_it_is_larger(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.crash()
    world.append("a.ndjson", lines("3"))
    world.copytruncate("a.ndjson", "a.ndjson.1")
    world.append("a.ndjson", stream("4", "5", "6", "7"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4", "5", "6", "7"]


def test_f7_a_file_rewritten_to_a_larger_size_is_read_anew(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.write("a.ndjson", stream("3", "4", "5", "6"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4", "5", "6"]


def test_f7_a_rewrite_with_the_same_size_and_time_is_noticed(world: World) -> None:
    path = world.write("a.ndjson", stream("1", "2"))
    status = path.stat()
    world.sweep()
    world.write("a.ndjson", stream("3", "4"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4"]


def test_f8_a_new_file_with_a_reused_inode_number_is_another_file(world: World) -> None:
    old = world.write("a.ndjson", stream("1", "2"))
    inode = old.stat().st_ino
    world.sweep()
    world.crash()  # nobody holds the inode any more
    old.unlink()
    for attempt in range(2000):
        path = world.write(f"b{attempt}.ndjson", stream("3", "4", "5"))
        if path.stat().st_ino == inode:
            break
        path.unlink()
    else:
        pytest.skip("this file system does not reuse inode numbers")
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4", "5"]


def test_f9_files_with_identical_beginnings_are_told_apart(world: World) -> None:
    head = META + lines(*(f"same{number}" for number in range(40)))
    assert len(head) > 3 * 1024
    world.write("a.ndjson", head + lines("a"))
    world.sweep()
    world.write("b.ndjson", head + lines("b"))
    world.sweep()
    world.path("a.ndjson").unlink()
    world.write("c.ndjson", head + lines("c"))
    world.later(10)
    assert [name for name in world.inputs.ids if len(name) == 1] == ["a", "b", "c"]
    assert world.inputs.ids.count("same0") == 3


@pytest.mark.parametrize("size", [1, 64, 1023])
def test_f10_a_small_stream_that_never_grows_is_read(world: World, size: int) -> None:
    data = (line("1") + line("2") + b" " * 1024)[: max(size, len(line("1")) + 1)]
    world.write("a.ndjson", data)
    world.sweep()
    world.later(61)
    assert world.inputs.ids[0] == "1"


def test_f10_an_empty_stream_is_only_waiting_for_its_first_line(world: World) -> None:
    world.write("a.ndjson", b"")
    world.sweep()
    world.later(100)
    world.append("a.ndjson", stream("1"))
    world.path("a.ndjson").unlink()
    world.sweep()
    assert (world.inputs.ids, world.inputs.quarantine) == (["1"], [])


def test_f11_a_partial_line_is_completed_once_across_a_restart(world: World) -> None:
    whole = line("2")
    world.write("a.ndjson", stream("1") + whole[:30])
    world.sweep()
    world.crash()
    world.append("a.ndjson", whole[30:40])
    world.sweep()
    world.append("a.ndjson", whole[40:] + line("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]
    assert world.inputs.quarantine == []


def test_f11_a_line_completed_after_it_was_given_up_still_counts(world: World) -> None:
    whole = line("2")
    world.write("a.ndjson", stream("1") + whole[:30])
    world.sweep()
    world.later(61)
    assert world.inputs.reasons == ["truncated"]
    world.crash()
    world.sweep()
    world.later(61)
    assert world.inputs.reasons == ["truncated"]
    world.append("a.ndjson", whole[30:])
    world.sweep()
    assert world.inputs.ids == ["1", "2"]


def test_f12_the_unfinished_last_line_of_an_unlinked_file_goes_to_quarantine(world: World) -> None:
    with world.writer("a.ndjson") as writer:
        os.write(writer, stream("1"))
        world.sweep()
        world.path("a.ndjson").unlink()
        os.write(writer, lines("2") + line("3")[:40])
    world.sweep()
    assert (world.inputs.ids, world.inputs.reasons) == (["1", "2"], [])
    world.later(6)
    assert world.inputs.quarantine == [(str(world.path("a.ndjson")), "truncated", len(stream("1") + lines("2")))]
    assert world.inputs.closed == [str(world.path("a.ndjson"))]
    assert len(world.sweeper._pool) == 0
    world.later(4000)
    assert world.inputs.rows == {}


def test_f12_the_unfinished_last_line_of_a_rotated_file_goes_to_quarantine(world: World) -> None:
    world.write("a.ndjson", stream("1") + line("2")[:40])
    world.sweep()
    world.path("a.ndjson").rename(world.path("a.ndjson.1"))
    world.sweep()
    world.later(6)
    assert world.inputs.reasons == ["truncated"]
    assert world.inputs.closed == [str(world.path("a.ndjson.1"))]


def test_a_graceful_stop_reads_what_would_be_lost(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.append("a.ndjson", lines("2") + line("3")[:20])
    world.path("a.ndjson").unlink()
    world.sweep()
    world.stop()
    assert (world.inputs.ids, world.inputs.reasons) == (["1", "2"], ["truncated"])
    assert world.inputs.closed == [str(world.path("a.ndjson"))]


def test_f13_a_whole_last_line_without_a_line_end_counts_when_the_stream_is_idle(world: World) -> None:
    world.write("a.ndjson", stream("1", "2")[:-1])
    world.sweep()
    assert world.inputs.ids == ["1"]
    result = world.later(31)
    assert world.inputs.ids == ["1", "2"]
    assert world.inputs.quarantine == []
    world.append("a.ndjson", b"\n" + lines("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]
    assert result.waiting == 0


def test_f22_files_that_come_and_go_while_the_ledger_is_blocked_are_held(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.blocked = True
    for number in range(2, 6):
        world.append("a.ndjson", lines(str(number)))
        assert world.sweep().unread_bytes > 0
        world.path("a.ndjson").rename(world.path("a.ndjson.1"))  # over the one before: that one is gone
        world.write("a.ndjson", b"")
        world.now += 100
    world.write("b.json", report("doc"))
    world.sweep()
    world.path("b.json").unlink()
    world.sweep()
    world.blocked = False
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4", "5", "doc"]


def test_f25_a_rotated_file_that_is_compressed_is_not_read_again(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.append("a.ndjson", lines("3"))
    world.write("a.ndjson.1.gz", gzip.compress(world.path("a.ndjson").read_bytes()))
    world.path("a.ndjson").unlink()
    world.sweep()
    world.later(10)
    assert world.inputs.ids == ["1", "2", "3"]
    world.crash()
    world.sweep()
    world.later(10)
    assert world.inputs.ids == ["1", "2", "3"]
    assert [known.name for known in world.inputs.known(KIND)] == [str(world.path("a.ndjson.1.gz"))]


def test_f25_a_growing_gzip_waits_until_it_is_whole(world: World) -> None:
    data = gzip.compress(stream("1", "2"))
    world.write("a.ndjson.gz", data[:30])
    assert world.sweep().waiting == 1
    world.append("a.ndjson.gz", data[30:-1])
    world.sweep()
    assert (world.inputs.ids, world.inputs.quarantine) == ([], [])
    world.append("a.ndjson.gz", data[-1:])
    world.sweep()
    assert world.inputs.ids == ["1", "2"]
    world.append("a.ndjson.gz", gzip.compress(lines("3")))  # a second member
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_f26_a_line_past_the_limit_is_refused_without_being_held(world: World) -> None:
    world.limits = Limits(max_line_bytes=1 << 16)
    world.settings = type(world.settings)(roots=world.settings.roots, chunk_bytes=1 << 12)
    with world.writer("a.ndjson") as writer:
        os.write(writer, stream("1") + b'{"x":"')
        for _ in range(5):
            os.write(writer, b"x" * 50_000)
            world.sweep()
        os.write(writer, b'"}\n' + lines("2") + line("3", pad=60_000) + lines("4"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3", "4"]
    assert world.inputs.quarantine == [(str(world.path("a.ndjson")), "line_too_long", len(stream("1")))]


def test_a_line_past_the_limit_that_never_ends_is_reported(world: World) -> None:
    world.limits = Limits(max_line_bytes=1 << 12)
    world.write("a.ndjson", stream("1") + b"x" * 10_000)
    world.sweep()
    world.later(61)
    assert world.inputs.reasons == ["line_too_long"]


def test_lines_cross_the_borders_of_chunks(world: World) -> None:
    world.settings = world.settings.model_copy(update={"chunk_bytes": 97})
    names = [f"n{number}" for number in range(50)]
    world.write("a.ndjson", stream(*names).replace(b"\n", b"\r\n"))
    world.sweep()
    assert world.inputs.ids == names


def test_a_scan_that_stops_growing_is_closed_once(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    due = world.sweep().next_due
    assert due == world.now + world.settings.stream_idle_s
    world.later(29)
    assert world.inputs.closed == []
    world.later(1)
    world.later(100)
    assert world.inputs.closed == [str(world.path("a.ndjson"))]


def test_an_open_scan_of_a_file_that_went_while_stopped_is_closed(world: World) -> None:
    world.write("a.ndjson", stream("1"))
    world.sweep()
    world.crash()
    world.path("a.ndjson").unlink()
    world.sweep()
    assert world.inputs.closed == [str(world.path("a.ndjson"))]
    world.later(4000)
    assert world.inputs.rows == {}


def test_a_stream_that_becomes_a_document_is_read_as_one(world: World) -> None:
    world.write("a.json", stream("1"))
    world.sweep()
    world.write("a.json", report("2"))
    world.sweep()
    world.write("a.json", stream("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_a_stream_asked_for_again_is_read_from_its_start(world: World) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.later(40)
    world.inputs.asked_again = set(world.inputs.rows)
    world.sweep()
    world.sweep()
    assert world.inputs.ids == ["1", "2", "1", "2"]


def test_a_move_to_another_file_system_continues(world: World, tmp_path: Path) -> None:
    world.write("a.ndjson", stream("1", "2"))
    world.sweep()
    world.later(40)
    shutil.copyfile(world.path("a.ndjson"), tmp_path / "x")  # a new inode, as on another device
    world.path("a.ndjson").unlink()
    world.sweep()
    (tmp_path / "x").rename(world.path("a.ndjson"))
    world.append("a.ndjson", lines("3"))
    world.sweep()
    assert world.inputs.ids == ["1", "2", "3"]


def test_a_ledger_that_fills_up_during_a_sweep_stops_it_between_two_transactions(world: World) -> None:
    for number in range(10):
        world.write(f"{number}.ndjson", stream(str(number)))
    world.blocked_after = 3
    result = world.sweep()
    assert len(world.inputs.ids) == 3
    assert (result.again, result.unread_bytes > 0) == (True, True)
    world.blocked_after = None
    world.sweep()
    assert sorted(world.inputs.ids) == [str(number) for number in range(10)]
