"""What a source hands to the ledger of a report that comes in several messages."""

from dataclasses import dataclass
from typing import Protocol

from daemon.ports.inputs import Input
from pipeline.finding import Reject


@dataclass(slots=True, frozen=True)
class ReportPart:
    """One piece of a report.

    Attributes:
        host: whose it is by its place or key, or None. Parts of two hosts never belong together.
        report: sha256 in hex of all pieces put together.
        number: from 1 to `count`.
        at: where the source found it, as a number that grows: it must be able to read from here again.
    """

    host: str | None
    report: str
    number: int
    count: int
    data: bytes
    at: int


@dataclass(slots=True, frozen=True)
class PartTaken:
    """What became of a part.

    Attributes:
        whole: the bytes of the report, where this was the last part that was missing. Then nothing is stored yet, not
            even the position: what they hold is to be admitted with `part_set` in the input, which ends the set.
        missing: how many parts are still to come.
        reject: why the part, or with it the whole set, went to the quarantine.
    """

    whole: bytes | None = None
    part_set: int | None = None
    missing: int = 0
    reject: Reject | None = None


@dataclass(slots=True, frozen=True)
class Expired:
    """A report of which not all parts came, and what the quarantine says of it."""

    source: Input
    host: str | None
    report: str
    reject: Reject


class Parts(Protocol):
    """The ledger's side of it. Every call is one durable transaction."""

    def admit_part(self, source: Input, part: ReportPart) -> PartTaken:
        """Keep a part until the others are there; `source` carries the position behind it.

        A part that is there already changes nothing. One that contradicts it is refused, and so is a set that grows too
        large or that, put together, is not what it says.

        Raises:
            LedgerError: when the input is not known, or nothing can be stored just now.
        """

    def parts_from(self, kind: str) -> int | None:
        """Say from where on the parts that are kept for inputs of a kind came, or None where none are kept.

        What was read before here is not needed again, even where this ledger is lost.
        """

    def expire_parts(self, kind: str, after_s: float) -> list[Expired]:
        """Give up reports to which no part was added for `after_s` seconds; call again while it returns something.

        Only for a source that has read all there is: what a source that was away has not read yet is not missing.
        """
