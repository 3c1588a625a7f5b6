"""What moves when the input topic has got more partitions: the states of hosts, and the marks.

A host is in another partition then, and its baseline must be where its reports are read from now on. Ledgers do not
move; each is made anew of the states, because the marks name a ledger that nobody has.

Scans are numbered in each ledger for itself. Where hosts from several partitions meet, the numbers would, too: so they
are spread, N * BEFORE + P, which keeps their order in each partition and makes them differ between them.
"""

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from daemon.lane.mark import Mark
from pipeline.errors import ConfigError
from pipeline.review.chain import Head

StateRecord = tuple[int, str, bytes | None]  # partition, key, value
_LAST_SCAN_NO = 5  # of a row of a baseline, as `daemon.ledger.lane_states` writes it


@dataclass(slots=True, frozen=True)
class OldPartition:
    """A partition that was worked on before.

    Attributes:
        end: offset behind its latest record.
        states: reads the latest by key; those of all partitions at once may be more than there is memory.
        waiting: keys of the records that are not delivered; None stands for those without one.
    """

    mark: Mark
    end: int
    states: Callable[[], Mapping[str, bytes]]
    waiting: Collection[bytes | None] = ()


@dataclass(slots=True, frozen=True)
class Adoption:
    """What is to become of the state topic.

    Attributes:
        records: gives (partition, key, value) to be written there; a value of None deletes. It reads the states again,
            those of one partition after the other.
        marks: of all partitions.
        hosts: how many there are, and how many of them move.
    """

    records: Callable[[], Iterator[StateRecord]]
    marks: Mapping[int, Mark]
    hosts: int
    moved: int


def adopt(
    old: Mapping[int, OldPartition],
    first: Sequence[int],
    place_of: Callable[[bytes, int], int],
    ledger: str,
    *,
    force: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Adoption:
    """Say what moves where.

    Args:
        old: those that were worked on.
        first: of each partition as there are now, the offset of its oldest record.
        place_of: the partition of a key among so many.
        ledger: an identity that no ledger has.
        force: whose records are not all delivered begins anew.
        tell: is told how far it is, a line for each partition.

    Raises:
        ConfigError: when it cannot be done like this, and what must be done first.
    """
    counts = {one.mark.partitions for one in old.values()}
    if len(counts) != 1:
        raise ConfigError(f"the partitions were delivered under different numbers of them: {sorted(counts)}")
    (before,), after = counts, len(first)
    if after <= before:
        raise ConfigError(f"the topic has {after} partitions and had {before}; there is nothing to adopt")
    told = _told(old, force=force)
    if not force:
        _check_drained(old, after, place_of)
    hosts = moved = 0
    for number, (partition, one) in enumerate(sorted(old.items()), 1):
        states = one.states()
        _check_partitioner(states, partition, before, place_of)
        names = [name for name in states if name.startswith('["host",')]
        hosts += len(names)
        moved += sum(place_of(_key_of(name), after) != partition for name in names)
        for _ in _moving(states, before, after, partition, place_of):
            pass  # what cannot be moved is found before anything is
        tell(f"{number} of {len(old)} partitions looked at, {hosts:,} hosts, {moved:,} of them move")

    def records() -> Iterator[StateRecord]:
        for number, (partition, one) in enumerate(sorted(old.items()), 1):
            yield from _moving(one.states(), before, after, partition, place_of)
            tell(f"{number} of {len(old)} partitions written")

    marks = {}
    for partition in range(after):
        if partition in old:
            mark = old[partition].mark
            marks[partition] = replace(mark, ledger=ledger, through=0, last="", partitions=after, cut={}, told=told)
        else:
            marks[partition] = Mark(first[partition], ledger, partitions=after, told=told)
    return Adoption(records, marks, hosts, moved)


def _told(old: Mapping[int, OldPartition], *, force: bool) -> Head:
    """Say up to which verdict everything is told: who tells of one goes by the number of partitions, too."""
    found = sorted({one.mark.told for one in old.values()}, key=lambda head: head.seq)
    if len(found) > 1 and not force:
        behind = sorted(partition for partition, one in old.items() if one.mark.told != found[-1])
        raise ConfigError(
            f"partitions {', '.join(map(str, behind[:10]))} have told of the verdicts up to {found[0].seq} only, and "
            f"others up to {found[-1].seq}: they were to be told everywhere before the number was raised; with --force "
            "nothing more is told of those"
        )
    return found[-1]


def _check_partitioner(
    states: Mapping[str, bytes], partition: int, before: int, place_of: Callable[[bytes, int], int]
) -> None:
    for name in states:
        if name.startswith('["host",') and place_of(_key_of(name), before) != partition:
            host = _key_of(name).decode("utf-8", "replace")
            raise ConfigError(
                f"the host {host} was in partition {partition}, where Kafka's usual partitioner (murmur2) does not "
                "put it: nobody can say where its producer will put it now"
            )


def _moving(
    states: Mapping[str, bytes], before: int, after: int, partition: int, place_of: Callable[[bytes, int], int]
) -> Iterator[StateRecord]:
    """Give what is to be written of the hosts of a partition."""
    for name in sorted(states):
        if not name.startswith('["host",'):
            continue
        place = place_of(_key_of(name), after)
        for key, value in _renumbered(states, name, before, partition, stays=place == partition):
            yield place, key, value
            if place != partition:
                yield partition, key, None


def _check_drained(old: Mapping[int, OldPartition], after: int, place_of: Callable[[bytes, int], int]) -> None:
    for partition, one in sorted(old.items()):
        leaving = sum(key is None or place_of(key, after) != partition for key in one.waiting)
        if leaving:
            raise ConfigError(
                f"partition {partition}: {one.end - one.mark.offset:,} records are not delivered, {leaving:,} of them "
                "of hosts that move: they were to be delivered before the number was raised; with --force they are "
                "read where they are, and compared with nothing"
            )


def _renumbered(
    states: Mapping[str, bytes], name: str, before: int, partition: int, *, stays: bool
) -> list[tuple[str, bytes]]:
    """Give the state of a host, and the pieces of its baselines, with the numbers of scans spread."""

    def spread(number: int) -> int:
        return number * before + partition

    state = _open(states[name])
    state["history"] = [[spread(int(row[0])), *row[1:]] for row in state["history"]]
    if not stays:
        state["through"] = 0  # an offset of the partition that it leaves
        state.pop("within", None)
    found = [(name, _close(state))]
    for host, profile, pieces in state["pieces"]:
        for number in range(pieces):
            key = orjson.dumps(["baseline", host, profile, number]).decode()
            if key not in states:
                raise ConfigError(f"piece {number} of {pieces} of the baseline of {host} is missing in the state topic")
            piece = _open(states[key])
            for row in piece["rows"]:
                row[_LAST_SCAN_NO] = spread(int(row[_LAST_SCAN_NO]))
            found.append((key, _close(piece)))
    return found


def _key_of(name: str) -> bytes:
    key: str = orjson.loads(name)[1]
    return key.encode()


def _open(value: bytes) -> Any:
    try:
        return orjson.loads(zlib.decompress(value))
    except (zlib.error, ValueError) as error:
        raise ConfigError(f"a state in the state topic cannot be read: {error}") from error


def _close(value: Any) -> bytes:
    return zlib.compress(orjson.dumps(value), 3)
