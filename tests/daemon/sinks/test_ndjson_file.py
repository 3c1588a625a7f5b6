"""The NDJSON file, one behaviour at a time; `test_ndjson_machine.py` mixes them."""

import errno
import gzip
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.ports.outbox import OutboxRow
from daemon.ports.sink import Sink
from daemon.sinks.ndjson_file import NdjsonFile
from pipeline.errors import SinkError
from tests.daemon.sinks.memory_outbox import row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.ndjson"


def sink(path: Path, **settings: Any) -> NdjsonFile:
    made = NdjsonFile(path, **{"rotate_bytes": 1 << 20, "keep_segments": 8, **settings})
    held: Sink = made  # it is one
    assert held.name == f"file:{path}"
    return made


def lines(*rows: OutboxRow) -> bytes:
    return b"".join(one.line + b"\n" for one in rows)


def pages(*rows: OutboxRow) -> Any:
    """Give the rows after a position, as the ledger does."""
    return lambda position: [one for one in rows if one.position > position]


def test_rows_are_lines_in_order_and_durable_when_write_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: synced.append(os.fstat(file).st_size))
    out = sink(path)
    assert out.recover(0, pages()) == 0
    out.write([row(1), row(2)])
    assert synced == [path.stat().st_size]
    out.write([row(3)])
    assert path.read_bytes() == lines(row(1), row(2), row(3))
    assert synced[-1] == path.stat().st_size


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_owner_and_group_can_read_it_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        sink(path).recover(0, pages())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_operators_mode_is_left_alone(path: Path) -> None:
    path.touch(0o600)
    path.chmod(0o604)
    sink(path).recover(0, pages())
    assert path.stat().st_mode & 0o777 == 0o604


def test_only_what_is_wanted_is_written_and_scan_records_always(path: Path) -> None:
    rows = [
        row(1, changed=False, level="critical"),
        row(2, changed=True, level="low"),
        row(3, changed=True, level="medium"),
        row(4, changed=False, level="info", kind="scan"),
    ]
    out = sink(path, emit_changes_only=True, min_level="medium")
    out.write(rows)
    assert path.read_bytes() == lines(rows[2], rows[3])


def test_adoption_knows_that_unwanted_rows_were_passed_over(path: Path) -> None:
    rows = [row(1, level="high"), row(2, level="info"), row(3, level="high"), row(4, level="high")]
    path.write_bytes(lines(rows[0], rows[2]))
    assert sink(path, min_level="medium").recover(0, pages(*rows)) == 3


def test_a_full_file_is_closed_under_the_next_number_and_the_oldest_are_deleted(path: Path) -> None:
    out = sink(path, rotate_bytes=100, keep_segments=2)
    for number in range(1, 7):
        out.write([row(number, pad=60)])
    assert sorted(item.name for item in path.parent.iterdir()) == [
        "out.000004.ndjson", "out.000005.ndjson", "out.ndjson",
    ]  # fmt: skip
    assert path.read_bytes() == lines(row(6, pad=60))
    assert path.with_name("out.000005.ndjson").read_bytes() == lines(row(5, pad=60))


@pytest.mark.parametrize("name", ["findings", "out[1].ndjson", "a.b.c", ".hidden"])
def test_any_name_can_be_rotated(tmp_path: Path, name: str) -> None:
    out = sink(tmp_path / name, rotate_bytes=50, keep_segments=100)
    for number in range(1, 5):
        out.write([row(number, pad=40)])
    written = sorted(item.read_bytes() for item in tmp_path.iterdir())
    assert written == sorted(lines(row(number, pad=40)) for number in range(1, 5))


def test_a_batch_is_never_split_over_two_files(path: Path) -> None:
    out = sink(path, rotate_bytes=100)
    out.write([row(number, pad=60) for number in range(1, 5)])
    assert path.read_bytes().count(b"\n") == 4


def test_a_missing_directory_is_not_made_and_writing_begins_when_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "not-mounted" / "out.ndjson"
    out = sink(path)
    with pytest.raises(SinkError, match=r"No such file or directory; create the directory, or mount") as error:
        out.recover(0, pages())
    assert str(path) in str(error.value)
    assert not path.parent.exists()
    path.parent.mkdir()
    assert out.recover(0, pages()) == 0
    out.write([row(1)])
    assert path.read_bytes() == lines(row(1))


def test_what_is_no_file_is_refused_in_one_line_without_blocking(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    advice = {
        "link": "it is a symbolic link; name the file itself",
        "directory": "name a file in it",
        "fifo": "name a regular file",
        "target/below": "a part of the path is a file",
    }
    for name, expected in advice.items():
        with pytest.raises(SinkError, match=expected) as error:
            sink(tmp_path / name).recover(0, pages())
        assert "\n" not in str(error.value)
    assert target.read_bytes() == b""
    if os.path.exists("/dev/full"):  # noqa: PTH110
        with pytest.raises(SinkError, match="name a regular file"):
            sink(Path("/dev/full")).recover(0, pages())


@pytest.mark.parametrize("cut", range(1, len(lines(row(2)))))
def test_a_torn_line_is_completed_wherever_it_was_torn(path: Path, cut: int) -> None:
    rows = [row(1), row(2), row(3)]
    path.write_bytes(lines(rows[0]) + lines(rows[1])[:cut])
    out = sink(path)
    assert out.recover(0, pages(*rows)) == 2
    out.write(rows[2:])
    assert path.read_bytes() == lines(*rows)


def test_what_is_adopted_is_synced_before_it_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(lines(row(1)))
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    sink(path).recover(0, pages(row(1)))
    assert synced


def test_nothing_is_adopted_that_others_wrote(path: Path) -> None:
    path.write_bytes(b"notes of somebody\nand an unfinished one")
    out = sink(path)
    assert out.recover(0, pages(row(1))) == 0
    out.write([row(1)])
    assert path.read_bytes() == b"notes of somebody\nand an unfinished one\n" + lines(row(1))


def test_zeros_left_by_a_power_cut_do_not_swallow_a_line(path: Path) -> None:
    path.write_bytes(lines(row(1)) + b"\0" * 4096)
    out = sink(path)
    assert out.recover(1, pages(row(2))) == 1
    out.write([row(2)])
    assert path.read_bytes().splitlines() == [row(1).line, b"\0" * 4096, row(2).line]


@pytest.mark.parametrize("rotated", ["out.ndjson.1", "out.ndjson-20261104", "out-20261104.ndjson", "out.1.ndjson"])
@pytest.mark.parametrize("how", ["rename", "copytruncate"])
def test_what_logrotate_took_away_between_crash_and_restart_is_not_written_again(
    path: Path, rotated: str, how: str
) -> None:
    rows = [row(1), row(2), row(3)]
    torn = lines(*rows)[: len(lines(*rows)) - 5]
    path.write_bytes(torn)
    if how == "rename":
        path.rename(path.with_name(rotated))
    else:
        shutil.copyfile(path, path.with_name(rotated))
        os.truncate(path, 0)
    out = sink(path)
    assert out.recover(0, pages(*rows, row(4))) == 3
    out.write([row(4)])
    assert path.with_name(rotated).read_bytes() == lines(*rows)
    assert path.read_bytes() == lines(row(4))


def test_a_compressed_copy_in_between_is_no_obstacle(path: Path) -> None:
    path.with_name("out.ndjson.1.gz").write_bytes(gzip.compress(lines(row(1))))
    assert sink(path).recover(1, pages(row(2))) == 1


def test_a_sync_that_failed_is_not_believed_the_second_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed sync the kernel calls pages clean that never reached the disk, so they are written again."""
    sync, fails = os.fdatasync, [True]

    def fail_once(file: int) -> None:
        if fails:
            fails.pop()
            raise OSError(errno.EIO, "Input/output error")
        sync(file)

    again: list[bytes] = []
    pwrite = os.pwrite
    monkeypatch.setattr(os, "fdatasync", fail_once)

    def noting_pwrite(file: int, data: bytes, at: int) -> int:
        again.append(bytes(data))
        return pwrite(file, data, at)

    monkeypatch.setattr(os, "pwrite", noting_pwrite)
    out = sink(path)
    with pytest.raises(SinkError, match="Input/output error"):
        out.write([row(1), row(2)])
    out.write([row(1), row(2), row(3)])
    assert path.read_bytes() == lines(row(1), row(2), row(3))
    assert again == [lines(row(1), row(2))]


def test_more_rows_may_be_offered_after_a_fault(path: Path) -> None:
    out = sink(path)
    with file_size_limit(60), pytest.raises(SinkError):
        out.write([row(1, pad=30), row(2, pad=30)])
    assert 0 < path.stat().st_size <= 60
    out.write([row(1, pad=30), row(2, pad=30), row(3)])
    assert path.read_bytes() == lines(row(1, pad=30), row(2, pad=30), row(3))


def test_f24_a_full_file_system_is_waited_for_and_nothing_is_torn(tmp_path: Path) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        ballast = mounted / "ballast"
        ballast.write_bytes(b"x" * 40_000)
        rows = [row(number, pad=3000) for number in range(1, 12)]
        out = sink(mounted / "out.ndjson")
        for _ in range(3):
            with pytest.raises(SinkError, match="No space left on device; make room"):
                out.write(rows)
        assert out._file is not None
        ballast.unlink()
        out.write(rows)
        out.close()
        assert (mounted / "out.ndjson").read_bytes() == lines(*rows)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Have the kernel cut writes short at this size (Python ignores the signal that comes with it)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
