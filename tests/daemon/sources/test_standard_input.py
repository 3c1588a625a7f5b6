"""Reports that are piped in."""

import gzip
import io
from collections.abc import Callable

import pytest

from daemon.sources.directory.tracked import SweepResult
from daemon.sources.standard_input import KIND, StandardInput
from pipeline.report.limits import Limits
from tests.daemon.memory_inputs import MemoryInputs
from tests.daemon.sources.world import META, line, lines, report, stream


def reader(data: bytes, size: int) -> Callable[[int], bytes]:
    """Give at most `size` bytes at a time, as a slow pipe does."""
    file = io.BytesIO(data)
    return lambda length: file.read(min(size, length))


def read(data: bytes, size: int = 1 << 16, **limits: int) -> MemoryInputs:
    inputs = MemoryInputs()
    StandardInput(reader(data, size), inputs, Limits.model_construct(None, **limits), "web-01").read_all()
    assert inputs.rows == {}
    return inputs


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_stream_is_read_line_by_line_and_closed_at_its_end(size: int) -> None:
    inputs = read(stream("1", "2").replace(b"\n", b"\r\n") + line("3")[:-1], size)
    assert (inputs.ids, inputs.quarantine, inputs.closed) == (["1", "2", "3"], [], ["-"])
    assert set(inputs.hosts) == {"web-01"}


def test_lines_are_admitted_as_they_come() -> None:
    inputs = MemoryInputs()
    pieces = iter([META, lines("1"), lines("2"), b""])
    seen = [list(inputs.ids) for _ in StandardInput(lambda length: next(pieces), inputs, Limits()).steps(SweepResult())]
    assert seen[-1] == ["1", "2"]
    assert ["1"] in seen


@pytest.mark.parametrize("data", [report("1", "2"), gzip.compress(report("1", "2")), gzip.compress(stream("1", "2"))])
@pytest.mark.parametrize("size", [13, 1 << 16])
def test_anything_else_is_read_whole(data: bytes, size: int) -> None:
    inputs = read(data, size)
    assert (inputs.ids, inputs.quarantine) == (["1", "2"], [])


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (report("1")[:-5], "truncated"), (b"\x1f\x8bx", "truncated_gzip")]
)
def test_what_cannot_be_used_is_quarantined(data: bytes, reason: str) -> None:
    assert read(data).reasons == [reason]


def test_a_torn_last_line_is_quarantined() -> None:
    inputs = read(stream("1") + line("2")[:40])
    assert (inputs.ids, inputs.reasons) == (["1"], ["truncated"])


@pytest.mark.parametrize("size", [100, 1 << 16])
def test_f26_a_line_past_the_limit_is_passed_over_without_being_held(size: int) -> None:
    data = stream("1") + b"x" * 100_000 + b"\n" + lines("2") + b"y" * 100_000
    inputs = read(data, size, max_line_bytes=1000)
    assert inputs.ids == ["1", "2"]
    first, last = len(stream("1")), len(data) - 100_000
    assert [(reason, offset) for _, reason, offset in inputs.quarantine] == [
        ("line_too_long", first),
        ("line_too_long", last),
    ]


def test_a_document_past_the_limit_is_not_held() -> None:
    asked = []

    def endless(length: int) -> bytes:
        asked.append(length)
        return b'{"meta":' if len(asked) == 1 else b" " * length

    inputs = MemoryInputs()
    StandardInput(endless, inputs, Limits(max_bytes=1 << 20)).read_all()
    assert inputs.reasons == ["too_large"]
    assert sum(asked) < 2 << 20


def test_what_an_earlier_run_left_open_is_closed() -> None:
    inputs = MemoryInputs()
    left = inputs.add(KIND, "-")
    inputs.open.add(left.input_id)
    StandardInput(reader(report("1"), 100), inputs, Limits()).read_all()
    assert inputs.closed == ["-"]
    assert inputs.rows == {}
