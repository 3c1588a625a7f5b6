"""The chain of hashes over the log, and what is wrong with one that was touched.

Each row's hash covers its number, its content and the hash before it. Whoever changes, removes or reorders a row would
have to compute all later ones anew, and even then what was noted elsewhere (`Anchor`) no longer fits.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

START = "0" * 64  # stands before the first row
_NAME = b"sysscan-review/1\n"


@dataclass(slots=True, frozen=True)
class Row:
    """A row of the log as it is stored."""

    seq: int
    body: bytes
    hash: str


@dataclass(slots=True, frozen=True)
class Head:
    """How far a log goes: its last number and the hash there; 0 and `START` where it is empty."""

    seq: int = 0
    hash: str = START


@dataclass(slots=True, frozen=True)
class Anchor:
    """What somebody outside of the log noted of it; `where` says who, for people."""

    head: Head
    where: str


def link(before: str, seq: int, body: bytes) -> str:
    """Hash a row behind another one."""
    state = hashlib.sha256(_NAME)
    state.update(f"{before} {seq} {len(body)}\n".encode())
    state.update(body)
    return state.hexdigest()


def check(rows: Iterable[Row], anchors: Sequence[Anchor] = ()) -> Iterator[str]:
    """Name every row that is not what was written, one line each; nothing when all is well.

    A row is checked against its own hash on the hash that stands before it, so that one changed row is one line and not
    all that follow it.
    """
    before, expected = START, 1
    hashes: dict[int, str] = {}
    for row in rows:
        if row.seq > expected:
            yield _missing(expected, row.seq - 1)
        inside = _number(row.body)
        if inside is not None and inside != row.seq:
            yield f"row {row.seq}: holds verdict {inside}; rows were reordered"
        elif row.seq == expected and link(before, row.seq, row.body) != row.hash:  # behind a gap it cannot be right
            yield f"row {row.seq}: changed, or the row before it: its hash is not that of its content"
        before, expected = row.hash, row.seq + 1
        hashes[row.seq] = row.hash
    last = expected - 1
    gone = max((anchor for anchor in anchors if anchor.head.seq > last), key=lambda one: one.head.seq, default=None)
    if gone is not None:
        yield f"{_missing(last + 1, gone.head.seq)}: cut off at the end; {gone.where} has seen {gone.head.seq}"
    told: set[int] = set()
    for anchor in anchors:
        seq = anchor.head.seq
        if 0 < seq <= last and hashes.get(seq, anchor.head.hash) != anchor.head.hash and seq not in told:
            told.add(seq)
            yield f"row {seq}: not the one that {anchor.where} has seen; it or a row before it was written anew"


def _missing(first: int, last: int) -> str:
    return f"row {first}: missing" if first == last else f"rows {first} to {last}: missing"


def _number(body: bytes) -> int | None:
    try:
        number = orjson.loads(body)["seq"]
    except (ValueError, TypeError, KeyError):
        return None
    return number if isinstance(number, int) else None
