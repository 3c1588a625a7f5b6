"""What the commands see of a cluster, without the library that sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Member:
    """A member of a group: a worker.

    Attributes:
        instance: id of a static member, or what the group calls it.
        partitions: of the input topic, that it has.
    """

    instance: str
    client: str
    address: str
    partitions: Sequence[int]


@dataclass(slots=True, frozen=True)
class PartitionState:
    """How far a partition is.

    Attributes:
        begin, end: offsets of the oldest record that is kept, and of the next one that will come.
        committed: everything below is delivered; None where nothing was committed, or it has expired.
        metadata: what was committed with it.
    """

    partition: int
    begin: int
    end: int
    committed: int | None
    metadata: str = ""


@dataclass(slots=True, frozen=True)
class GroupState:
    """What the group's coordinator says: ``Stable``, ``Empty``, ``Dead`` (there is none), or that it is in between."""

    state: str
    members: Sequence[Member]


@dataclass(slots=True, frozen=True)
class Brokers:
    """Who is there.

    Attributes:
        addresses: HOST:PORT by number.
        release: of Kafka, as far as it shows.
    """

    addresses: Mapping[int, str]
    release: str
