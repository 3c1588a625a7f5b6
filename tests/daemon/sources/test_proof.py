"""The digest of all that was consumed: the same however it was read, another one for any other byte."""

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.sources.directory.content import Content
from daemon.sources.directory.proof import BLOCK_BYTES, Proof, Prover, holds, prove
from tests.depth import examples

PARTS = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.integers(0, 3).map(lambda n: bytes(n * BLOCK_BYTES // 2)),
        st.integers(1, 2).map(lambda n: b"x" * (n * BLOCK_BYTES - 7)),
    ),
    max_size=6,
)


def returned(steps: object) -> object:
    while True:
        try:
            next(steps)  # type: ignore[call-overload]
        except StopIteration as end:
            return end.value


def of(data: bytes) -> Proof:
    proof = returned(prove(Content(-1, data), len(data)))
    assert isinstance(proof, Proof)
    return proof


@given(parts=PARTS, cuts=st.lists(st.integers(0, 400_000), max_size=3))
@settings(max_examples=examples(60), deadline=None)
def test_it_is_the_same_in_one_piece_in_several_and_after_a_restart(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    content = Content(-1, data)
    prover = Prover()
    for cut in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        if cut % 2:
            prover.take(data[prover.offset : cut])
        else:
            list(prover.read(content, cut))
        resumed = Prover.resume(prover.proof(), content)
        assert resumed is not None
        prover = resumed
    assert prover.proof() == of(data)


@given(parts=PARTS, at=st.integers(0, 400_000), grown=st.binary(max_size=9))
@settings(max_examples=examples(60), deadline=None)
def test_any_other_byte_is_noticed_and_growth_is_none(parts: list[bytes], at: int, grown: bytes) -> None:
    data = b"y" + b"".join(parts)
    at %= len(data)
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    assert returned(holds(of(data), Content(-1, data + grown))) is True
    assert returned(holds(of(data), Content(-1, changed + grown))) is False
    assert returned(holds(of(data), Content(-1, data[:-1]))) is False


def test_a_hole_of_any_size_costs_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("w+b") as file:
        os.pwrite(file.fileno(), b"after", 1 << 40)
        content = Content(file.fileno())
        proof = returned(prove(content, content.size()))
        assert isinstance(proof, Proof)
        assert (proof.offset, proof.nuls) == (content.size(), (1 << 40) // BLOCK_BYTES)
        assert returned(holds(proof, content)) is True
        os.pwrite(file.fileno(), b"x", 1 << 39)
        assert returned(holds(proof, content)) is False
