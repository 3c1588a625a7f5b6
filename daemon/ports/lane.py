"""What the reader of a topic's partition hands to its ledger, and what the ledger hands to whoever delivers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.ports.parts import ReportPart
from pipeline.finding import ParsedReport, Reject
from pipeline.report.records import StreamRecord


@dataclass(slots=True, frozen=True)
class Letter:
    """A record as it was received, for a topic of those that could not be used."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    reason: str = ""
    detail: str = ""


@dataclass(slots=True, frozen=True)
class Whole:
    """Whole reports, and what could not be used of them; `digest` is of the bytes that they came as."""

    digest: str
    reports: Sequence[ParsedReport]
    rejects: Sequence[Reject]


@dataclass(slots=True, frozen=True)
class Joined:
    """A report whose parts are all there; it is to be handed over in the place of its last part.

    Attributes:
        part_set: number of the set in the ledger.
        first: offset of the first of its parts.
    """

    value: bytes
    part_set: int
    first: int


@dataclass(slots=True, frozen=True)
class Arrival:
    """One record of a partition, understood.

    Attributes:
        received: when it was written to the topic, RFC 3339: reading it again must give the same.
        key: of the record, by which its lines are one stream; empty where it has none.
        host: that the key binds what it holds to; None without a key, and then there is no baseline.
        content: whole reports, lines of a stream with their offsets in the value, a part, or why it is refused.
        letter: the record as it came, to be sent on if it is refused.
        digest: of the record, to know it again.
        joined: what it was put together from, if it did not come whole.
        begins_foreign: it is refused because it begins a scan of another host line by line.
        upto: of lines that are a slice of a large record and not the last one: where in it the next one begins.
        goes_on: they are a slice and not the first one.
    """

    offset: int
    received: str
    key: bytes
    host: str | None
    content: Whole | Iterable[tuple[int, StreamRecord]] | ReportPart | Reject
    letter: Letter
    digest: str
    joined: "Joined | None" = None
    begins_foreign: bool = False
    upto: int | None = None
    goes_on: bool = False


@dataclass(slots=True, frozen=True)
class State:
    """A record of the state topic: what it takes to go on with a host elsewhere; a value of None deletes it."""

    key: str
    value: bytes | None
