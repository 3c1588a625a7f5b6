"""Compressed input is bounded, early ends are told from damage, and no file costs more than its size."""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline.report.decompress as module
from pipeline.errors import Incomplete, ReportError
from pipeline.report.decompress import MAGIC_BYTES, is_compressed, may_become_compressed
from pipeline.report.limits import Limits
from pipeline.report.read import decompress, read_document

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DATA = bytes(range(256)) * 40
PACKED = gzip.compress(DATA, mtime=0)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
FORMATS = pytest.mark.parametrize("name", sorted(PACK))
SKIPPED_FRAME = b"\x50\x2a\x4d\x18\x03\0\0\0abc"  # as pzstd puts one before each frame


def test_plain_data_passes_whatever_its_name_was() -> None:
    assert decompress(b'{"results":[]}', Limits()) == b'{"results":[]}'


@FORMATS
def test_members_are_joined_and_padding_is_dropped(name: str) -> None:
    packed = PACK[name](DATA)
    assert decompress(packed + packed + b"\0" * 512, Limits()) == DATA + DATA


def test_a_file_may_have_members_of_several_formats_and_frames_without_content() -> None:
    parts = [PACK[name](name.encode()) for name in sorted(PACK)]
    assert decompress(SKIPPED_FRAME + b"".join(parts) + SKIPPED_FRAME, Limits()) == "".join(sorted(PACK)).encode()


@FORMATS
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_incomplete(name: str, share: float) -> None:
    packed = PACK[name](DATA)
    cut = packed[: 2 + int(share * (len(packed) - 2))]
    with pytest.raises(Incomplete) as caught:
        decompress(cut, Limits())
    assert caught.value.reason == "truncated_gzip"


@FORMATS
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_never_taken_for_the_data(name: str, share: float, flip: int) -> None:
    damaged = bytearray(PACK[name](DATA))
    damaged[10 + int(share * (len(damaged) - 10))] ^= flip
    try:
        data = decompress(bytes(damaged), Limits())
    except ReportError as error:
        assert error.reason in ("corrupt_gzip", "truncated_gzip", "too_large")
    else:
        assert data == DATA  # a bit that stands for nothing, such as padding of a block


@FORMATS
def test_something_else_behind_the_data_is_damage(name: str) -> None:
    with pytest.raises(ReportError) as caught:
        decompress(PACK[name](DATA) + b"garbage", Limits())
    assert (caught.value.reason, isinstance(caught.value, Incomplete)) == ("corrupt_gzip", False)


def test_too_much_is_refused_packed_or_not() -> None:
    small = Limits.model_construct(max_bytes=1000)
    for raw in (DATA, *(pack(DATA) for pack in PACK.values())):
        with pytest.raises(ReportError) as caught:
            decompress(raw, small)
        assert caught.value.reason == "too_large"


@FORMATS
def test_a_bomb_is_refused_by_its_ratio_and_a_small_one_is_not(name: str) -> None:
    bomb = PACK[name](b"\0" * 4_000_000)
    with pytest.raises(ReportError) as caught:
        decompress(bomb, Limits(ratio_floor_bytes=1_000_000))
    assert caught.value.reason == "too_large"
    assert len(decompress(bomb, Limits())) == 4_000_000


@FORMATS
def test_a_member_costs_what_it_is_long_however_much_follows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    touched = 0
    opened = module._open

    class Counting:
        def __init__(self, kind: str) -> None:
            self._inner = opened(kind)

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self._inner, attribute)

        @property
        def unused_data(self) -> bytes:
            nonlocal touched
            touched += len(self._inner.unused_data)
            return self._inner.unused_data

        def decompress(self, data: Any, max_length: int) -> bytes:
            nonlocal touched
            touched += len(data)
            return self._inner.decompress(data, max_length)

    monkeypatch.setattr(module, "_open", Counting)
    costs = []
    for members in (1_000, 2_000, 4_000):
        touched = 0
        assert decompress(PACK[name](b"") * members, Limits()) == b""
        costs.append(touched)
    assert costs[1] < 2.1 * costs[0]
    assert costs[2] < 2.1 * costs[1]


@FORMATS
def test_members_have_a_limit(name: str) -> None:
    with pytest.raises(ReportError, match=r"limits\.max_members") as caught:
        decompress(PACK[name](b"") * 11, Limits(max_members=10))
    assert caught.value.reason == "too_large"
    assert decompress(PACK[name](b"x") * 10, Limits(max_members=10)) == b"x" * 10


def test_a_writer_cannot_ask_for_more_memory_than_the_tools_take() -> None:
    streamed = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 30})
    wide = streamed.compress(b"x" * 100) + streamed.flush()  # of unknown size, so the frame names its window
    small = lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}])
    for raw in (wide, _with_dictionary(small)):
        with pytest.raises(ReportError, match="too much memory") as caught:
            decompress(raw, Limits())
        assert caught.value.reason == "too_large"
    assert decompress(lzma.compress(DATA, preset=9), Limits()) == DATA


def _with_dictionary(packed: bytes) -> bytes:
    """Make the block header of an xz file ask for a dictionary of 1 GiB, without the memory to compress with one."""
    header = bytearray(packed[12 : 12 + (packed[12] + 1) * 4])
    assert header[2:4] == b"\x21\x01"  # LZMA2, one byte of properties
    header[4] = 36  # 2 << (36 // 2 + 11) bytes
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    return packed[:12] + bytes(header) + packed[12 + len(header) :]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"PK\x03\x04rest", "zip"),
        (b"\x04\x22\x4d\x18rest", "lz4"),
        (b"7z\xbc\xaf\x27\x1crest", "7z"),
        (b"\x5d\x00\x00\x80\x00", "lzma"),
        (b"\x1f\x9drest", "compress"),
    ],
)
def test_a_compression_that_is_not_read_is_named(raw: bytes, name: str) -> None:
    with pytest.raises(ReportError, match=f"compressed with {name}, which is not read; unpack it"):
        read_document(raw, Limits())


@pytest.mark.parametrize(("missing", "name", "hint"), [("zstd", "zstd", "backports.zstd"), ("lzma", "xz", "lzma")])
def test_a_library_that_is_missing_is_named(
    missing: str, name: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, missing, None)
    with pytest.raises(ReportError, match=f"compressed with {name}, which cannot be read here: .*{hint}"):
        decompress(PACK[name](DATA), Limits())
    assert decompress(PACKED, Limits()) == DATA


@FORMATS
def test_the_first_bytes_tell(name: str) -> None:
    packed = PACK[name](DATA)
    assert is_compressed(packed[:MAGIC_BYTES])
    assert may_become_compressed(packed[:2]) or is_compressed(packed[:2])
    assert not may_become_compressed(packed[:MAGIC_BYTES])


@pytest.mark.parametrize("head", [b"", b"{", b"[", b"[I", b"B", b"(", b"\xef"])
def test_the_beginning_of_a_text_is_not_taken_for_compression(head: bytes) -> None:
    assert not is_compressed(head)
    assert not may_become_compressed(head)
