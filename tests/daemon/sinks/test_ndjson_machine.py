"""The NDJSON file against everything that happens to it: crashes, power cuts, full disks, and logrotate."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import daemon.sinks.ndjson_file as ndjson_file
from daemon.ports.outbox import OutboxRow
from daemon.sinks.delivery import Delivery
from daemon.sinks.ndjson_file import NdjsonFile
from pipeline.errors import LedgerError
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.depth import examples

FOREIGN = b"FFFFFFF"  # any piece of it can be told
ROW = re.compile(rb'\{"n":([0-9]+),"pad":"x*"\}')


class Crashed(BaseException):
    """The process is gone."""


class Disk:
    """Stands between the sink and the system: cuts writes short, and knows what was synced."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.error: BaseException = OSError(errno.ENOSPC, "No space left on device")
        self.sync_fails = False
        self.synced: dict[tuple[int, int], int] = {}

    def write(self, file: int, data: bytes) -> int:
        if self.room is None:
            return os_write(file, data)
        allowed = bytes(data)[: self.room]
        if not allowed:
            raise self.error
        self.room -= len(allowed)
        return os_write(file, allowed)

    def sync(self, file: int) -> None:
        if self.sync_fails:
            self.sync_fails = False
            raise OSError(errno.EIO, "Input/output error")
        status = os.fstat(file)
        self.synced[status.st_dev, status.st_ino] = status.st_size


os_write = os.write


@contextmanager
def replaced(disk: Disk) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk.write)
        patch.setattr(os, "fdatasync", disk.sync)
        patch.setattr(ndjson_file, "_SIBLINGS", 1000)  # files of one test have equal times
        yield


def lines_of(of: OutboxRow) -> list[bytes]:
    """Give the lines of a row, each numbered by row and place: every third row is three lines, as a scan is many."""
    count = 3 if of.position % 3 == 0 else 1
    return [of.line.replace(b'"n":%d' % of.position, b'"n":%d' % (of.position * 10 + at)) for at in range(count)]


class SinkMachine(RuleBasedStateMachine):
    """Each line comes once and in order over all files that there ever were, and no line of ours is torn."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "out.ndjson"
        self.outbox = MemoryOutbox()
        self.disk = Disk()
        self.now = 0.0
        self.archive = 0
        self.removed: list[bytes] = []
        self.again: set[int] = set()  # lines that were removed before their row was marked: they come once more
        self.torn_by_others = 0

    @initialize()
    def start(self) -> None:
        self.sink = NdjsonFile(self.path, rotate_bytes=1500, keep_segments=1000, lines=lines_of)
        self.delivery = Delivery(self.outbox, self.sink, lambda: self.now)

    def step(self) -> None:
        self.now += 60.0
        with replaced(self.disk):
            try:
                self.delivery.step()
            except LedgerError:
                pass
            finally:
                self.disk.room = None
                self.disk.sync_fails = False

    def restart(self) -> None:
        self.sink.close()
        self.start()

    @rule(count=st.integers(1, 5), pad=st.sampled_from([0, 30, 700]))
    def emit(self, count: int, pad: int) -> None:
        end = len(self.outbox.rows)
        self.outbox.add(*(row(end + 1 + index, pad=pad) for index in range(count)))

    @rule()
    def deliver(self) -> None:
        self.step()

    @rule()
    def stop_and_start(self) -> None:
        self.restart()

    @rule(room=st.integers(0, 200) | st.integers(0, 2000))
    def full_disk(self, room: int) -> None:
        self.disk.room = room
        self.disk.error = OSError(errno.ENOSPC, "No space left on device")
        self.step()

    @rule(room=st.integers(0, 200) | st.integers(0, 2000))
    def crash_while_writing(self, room: int) -> None:
        self.disk.room = room
        self.disk.error = Crashed()
        try:
            self.step()
        except Crashed:
            self.restart()

    @rule()
    def fail_to_sync(self) -> None:
        self.disk.sync_fails = True
        self.step()

    @rule()
    def fail_to_mark(self) -> None:
        self.outbox.mark_fails = True
        self.step()
        self.outbox.mark_fails = False

    @rule()
    def crash_before_the_mark(self) -> None:
        self.outbox.mark_fails = True
        self.step()
        self.outbox.mark_fails = False
        self.restart()

    @rule(data=st.data())
    def power_cut(self, data: st.DataObject) -> None:
        """Lose any part of what was not synced."""
        if self.path.exists():
            status = self.path.stat()
            least = min(self.disk.synced.get((status.st_dev, status.st_ino), 0), status.st_size)
            os.truncate(self.path, data.draw(st.integers(least, status.st_size)))
        self.restart()

    @rule()
    def logrotate_renames(self) -> None:
        if self.path.exists():
            self.path.rename(self.next_archive())

    @rule()
    def logrotate_copies_and_truncates(self) -> None:
        if self.path.exists():
            self.note_torn()
            shutil.copyfile(self.path, self.next_archive())
            os.truncate(self.path, 0)

    @rule()
    def somebody_removes_it(self) -> None:
        if self.path.exists():
            self.note_torn()
            content = self.path.read_bytes()
            mark = self.outbox.marks.get(self.sink.name, 0)
            self.again |= {number for number in numbers(content) if number // 10 > mark}
            self.removed.append(content)
            self.path.unlink()

    @rule(data=st.sampled_from([FOREIGN, FOREIGN + b"\n", b"\n" + FOREIGN + b"\n"]))
    def somebody_appends(self, data: bytes) -> None:
        if data.startswith(b"\n") and self.path.exists():
            self.note_torn()  # what was torn becomes a line of its own
        with self.path.open("ab") as file:
            file.write(data)

    def next_archive(self) -> Path:
        self.archive += 1
        return self.directory / f"out.ndjson.{self.archive}"

    def note_torn(self) -> None:
        content = self.path.read_bytes()
        self.torn_by_others += bool(content) and not content.endswith(b"\n")

    def teardown(self) -> None:
        if not hasattr(self, "sink"):
            shutil.rmtree(self.directory)
            return
        try:
            self.step()
            while self.outbox.marks.get(self.sink.name, 0) < len(self.outbox.rows):
                self.step()
            self.check()
        finally:
            self.sink.close()
            shutil.rmtree(self.directory)

    def check(self) -> None:
        contents = [path.read_bytes() for path in self.directory.iterdir()]
        there = [number for content in contents for number in numbers(content)]
        gone = [number for content in self.removed for number in numbers(content)]
        assert len(there) == len(set(there))
        assert set(there) | set(gone) == {at for one in self.outbox.rows for at in numbers(whole(one))}
        assert set(there) & set(gone) <= self.again
        for content in contents:
            assert numbers(content) == sorted(numbers(content))
        torn = 0
        for content in contents + self.removed:
            for line in content.splitlines():
                if line and not ROW.fullmatch(line) and b"F" not in line:
                    torn += 1
        assert torn <= self.torn_by_others


def whole(of: OutboxRow) -> bytes:
    return b"".join(line + b"\n" for line in lines_of(of))


def numbers(content: bytes) -> list[int]:
    """List the lines of ours that a reader of whole lines sees."""
    lines = content.split(b"\n")[:-1]
    return [int(match[1]) for line in lines if (match := ROW.fullmatch(line))]


SinkMachine.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=25, deadline=None)
test_each_line_is_written_once_whatever_happens = SinkMachine.TestCase
