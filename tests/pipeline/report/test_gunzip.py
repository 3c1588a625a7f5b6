"""Compressed input is bounded, and early ends are told from damage."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Incomplete, ReportError
from pipeline.report.limits import Limits
from pipeline.report.read import decompress

DATA = bytes(range(256)) * 40
PACKED = gzip.compress(DATA, mtime=0)


def test_plain_data_passes_whatever_its_name_was() -> None:
    assert decompress(b'{"results":[]}', Limits()) == b'{"results":[]}'


def test_members_are_joined_and_padding_is_dropped() -> None:
    assert decompress(PACKED + PACKED + b"\0" * 512, Limits()) == DATA + DATA


@given(st.integers(1, len(PACKED) - 1))
def test_every_cut_is_incomplete(length: int) -> None:
    with pytest.raises(Incomplete) as caught:
        decompress(PACKED[:length], Limits())
    assert caught.value.reason == "truncated_gzip"


@given(st.integers(10, len(PACKED) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_never_taken_for_the_data(position: int, flip: int) -> None:
    damaged = bytearray(PACKED)
    damaged[position] ^= flip
    with pytest.raises(ReportError) as caught:
        decompress(bytes(damaged), Limits())
    assert caught.value.reason in ("corrupt_gzip", "truncated_gzip")


def test_something_else_behind_the_data_is_damage() -> None:
    with pytest.raises(ReportError) as caught:
        decompress(PACKED + b"garbage", Limits())
    assert (caught.value.reason, isinstance(caught.value, Incomplete)) == ("corrupt_gzip", False)


def test_too_much_is_refused_packed_or_not() -> None:
    small = Limits.model_construct(max_bytes=1000)
    for raw in (DATA, PACKED):
        with pytest.raises(ReportError) as caught:
            decompress(raw, small)
        assert caught.value.reason == "too_large"


def test_a_bomb_is_refused_by_its_ratio_and_a_small_one_is_not() -> None:
    bomb = gzip.compress(b"\0" * 4_000_000)
    with pytest.raises(ReportError) as caught:
        decompress(bomb, Limits(ratio_floor_bytes=1_000_000))
    assert caught.value.reason == "too_large"
    assert len(decompress(bomb, Limits())) == 4_000_000
