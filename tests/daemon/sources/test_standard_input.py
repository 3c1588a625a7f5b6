"""Reports that are piped in."""

import asyncio
import gzip
import io
import os
from pathlib import Path

import pytest

from daemon.ports.inputs import FileIdentity
from daemon.ports.source import Source, Taken
from daemon.sources.standard_input import Descriptor, Read, StandardInput
from pipeline.errors import LedgerError, SourceError
from pipeline.report.limits import Limits
from tests.daemon.sources.memory_intake import MemoryIntake
from tests.daemon.sources.world import META, line, lines, report, stream


def reader(data: bytes, size: int) -> Read:
    """Give at most `size` bytes at a time, as a slow pipe does."""
    file = io.BytesIO(data)

    async def read(length: int) -> bytes:
        return file.read(min(size, length))

    return read


def drain(source: StandardInput) -> list[Taken]:
    """Read to the end; returns what was told of meanwhile."""
    told: list[Taken] = []
    asyncio.run(source.run(asyncio.Event(), told.append, dry=True))
    return told


def read(data: bytes, size: int = 1 << 16, **limits: int) -> MemoryIntake:
    intake = MemoryIntake()
    drain(StandardInput(reader(data, size), intake, Limits.model_construct(None, **limits), "web-01"))
    assert intake.states == {}
    return intake


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_stream_is_read_line_by_line_and_closed_at_its_end(size: int) -> None:
    intake = read(stream("1", "2").replace(b"\n", b"\r\n") + line("3")[:-1], size)
    assert (intake.ids, intake.quarantine, intake.closed) == (["1", "2", "3"], [], ["-"])
    assert set(intake.hosts) == {"web-01"}


def test_lines_are_admitted_as_they_come() -> None:
    intake = MemoryIntake()
    pieces = iter([META, lines("1"), lines("2"), b""])
    seen: list[list[str]] = []

    async def read(length: int) -> bytes:
        seen.append(list(intake.ids))
        return next(pieces)

    (*_, last) = drain(StandardInput(read, intake, Limits()))
    assert seen == [[], [], ["1"], ["1", "2"]]
    assert last.admitted.findings == 2


@pytest.mark.parametrize("data", [report("1", "2"), gzip.compress(report("1", "2")), gzip.compress(stream("1", "2"))])
@pytest.mark.parametrize("size", [13, 1 << 16])
def test_anything_else_is_read_whole(data: bytes, size: int) -> None:
    intake = read(data, size)
    assert (intake.ids, intake.quarantine) == (["1", "2"], [])


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (report("1")[:-5], "truncated"), (b"\x1f\x8bx", "truncated_gzip")]
)
def test_what_cannot_be_used_is_quarantined(data: bytes, reason: str) -> None:
    assert read(data).reasons == [reason]


def test_a_torn_last_line_is_quarantined() -> None:
    intake = read(stream("1") + line("2")[:40])
    assert (intake.ids, intake.reasons) == (["1"], ["truncated"])


@pytest.mark.parametrize("size", [100, 1 << 16])
def test_f26_a_line_past_the_limit_is_passed_over_without_being_held(size: int) -> None:
    data = stream("1") + b"x" * 100_000 + b"\n" + lines("2") + b"y" * 100_000
    intake = read(data, size, max_line_bytes=1000)
    assert intake.ids == ["1", "2"]
    first, last = len(stream("1")), len(data) - 100_000
    assert [(reason, offset) for _, reason, offset in intake.quarantine] == [
        ("line_too_long", first),
        ("line_too_long", last),
    ]


def test_a_document_past_the_limit_is_not_held() -> None:
    asked = []

    async def endless(length: int) -> bytes:
        asked.append(length)
        return b'{"meta":' if len(asked) == 1 else b" " * length

    intake = MemoryIntake()
    drain(StandardInput(endless, intake, Limits(max_bytes=1 << 20)))
    assert intake.reasons == ["too_large"]
    assert sum(asked) < 2 << 20


def test_what_an_earlier_run_left_open_is_closed() -> None:
    intake = MemoryIntake()
    left = intake.add_file("-", FileIdentity(0, 0, None, 0, ""), "stream")
    intake.open.add(left.file_id)
    drain(StandardInput(reader(report("1"), 100), intake, Limits()))
    assert intake.closed == ["-"]
    assert intake.states == {}


def test_a_ledger_that_took_nothing_gets_it_in_the_next_run() -> None:
    """What was read once cannot be read again."""
    intake = MemoryIntake()
    pieces = iter([stream("1"), lines("2"), b""])

    async def read(length: int) -> bytes:
        piece = next(pieces)
        intake.full = len(intake.ids) == 1 and not failed
        return piece

    failed: list[LedgerError] = []
    source = StandardInput(read, intake, Limits())
    with pytest.raises(LedgerError) as caught:
        drain(source)
    failed.append(caught.value)
    intake.full = False
    drain(source)
    assert (intake.ids, intake.closed) == (["1", "2"], ["-"])


def test_nothing_is_read_while_the_ledger_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.sources.standard_input._TELL_S", 0.001)
    intake = MemoryIntake()
    answers = iter([True, True, False])
    blocked_at: list[int] = []

    async def read(length: int) -> bytes:
        blocked_at.append(len(list(answers)))
        return b""

    source = StandardInput(read, intake, Limits(), blocked=lambda: next(answers, False))
    drain(source)
    assert blocked_at == [0]  # all three answers were asked for before the first read


def test_told_to_stop_it_closes_what_is_open_and_ends() -> None:
    intake = MemoryIntake()
    first = [stream("1")]

    async def test() -> None:
        stop = asyncio.Event()

        async def read(length: int) -> bytes:
            if first:
                return first.pop()
            stop.set()
            await asyncio.sleep(3600)
            return b""

        source: Source = StandardInput(read, intake, Limits())
        await source.run(stop, lambda taken: None)

    asyncio.run(test())
    assert (intake.ids, intake.closed, intake.states) == (["1"], ["-"], {})


def test_a_pipe_gives_what_is_there_and_a_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"of a file")

    async def test() -> None:
        read_end, write_end = os.pipe()
        reading = asyncio.ensure_future(Descriptor(read_end)(100))
        await asyncio.sleep(0)
        assert not reading.done()
        os.write(write_end, b"of a pipe")
        assert await reading == b"of a pipe"
        os.close(write_end)
        assert await Descriptor(read_end)(100) == b""
        os.close(read_end)
        with (tmp_path / "file").open("rb") as file:
            assert await Descriptor(file.fileno())(100) == b"of a file"

    asyncio.run(test())


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(SourceError, match="standard input: cannot be read: Is a directory"):
            drain(StandardInput(Descriptor(directory), MemoryIntake(), Limits()))
    finally:
        os.close(directory)
