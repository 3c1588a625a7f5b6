"""How far a partition is delivered, as it stands with the offset that is committed in the same transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.review.chain import Head

VERSION = 2  # 1 knew of no verdicts: who reads only that would pass over what it says of them, so it must refuse this
MAX_BYTES = 4_000  # brokers take 4,096 of metadata if not told otherwise
MAX_CUT = 16  # scans of which only the beginning is delivered; there is more than one only after a rebuild

Kind = Literal["new", "own", "adopted", "rebuilt", "stale", "restored", "lost"]


@dataclass(slots=True, frozen=True)
class Cut:
    """A scan of which only the beginning is delivered.

    Attributes:
        done: of its rows, in the outbox of the ledger that the mark names.
        sent: of its rows, by whatever ledger; the first of them are not sent again.
        verdicts: up to which verdict it is judged with, also by a ledger that begins with it anew.
    """

    done: int
    sent: int
    verdicts: Head = field(default_factory=Head)


@dataclass(slots=True, frozen=True)
class Mark:
    """What is delivered.

    Attributes:
        offset: lowest one that is still needed: what is committed.
        ledger: identity of the one whose positions these are.
        through: position in its outbox up to which everything is delivered; `last` is the key of the row there.
        letters: offset up to which what cannot be used is sent on, -1 for none.
        seen: offset of the latest record that was read, and its digest; -1 before any.
        partitions: how many the input topic has.
        cut: scans of which the beginning is delivered, by id.
        told: verdict up to which everything is told, and which no scan is judged with less than from here on.
    """

    offset: int
    ledger: str
    through: int = 0
    last: str = ""
    letters: int = -1
    seen: tuple[int, str] = (-1, "")
    partitions: int = 0
    cut: Mapping[str, Cut] = field(default_factory=dict)
    told: Head = field(default_factory=Head)

    def metadata(self) -> str:
        """Write all but the offset."""
        said: dict[str, Any] = {
            "v": VERSION, "ledger": self.ledger, "through": self.through, "last": self.last, "letters": self.letters,
            "seen": list(self.seen), "partitions": self.partitions,
        }  # fmt: skip
        if self.cut:
            said["cut"] = {
                scan: [one.done, one.sent, *([one.verdicts.seq, one.verdicts.hash] if one.verdicts.seq else [])]
                for scan, one in self.cut.items()
            }
        if self.told.seq:
            said["told"] = [self.told.seq, self.told.hash]
        return json.dumps(said, separators=(",", ":"))

    def whole(self) -> str:
        """Write all of it."""
        return json.dumps({"offset": self.offset, "mark": self.metadata()}, separators=(",", ":"))


class NewerMark(ValueError):
    """Raised when a mark is of a version that this one does not know; the message says which."""


def read_mark(offset: int, metadata: str) -> Mark:
    """Read a mark, of this version or an earlier one.

    Raises:
        NewerMark: when a newer worker wrote it.
        ValueError: when it is none of ours.
    """
    try:
        said = json.loads(metadata)
        version = int(said["v"])
        if version > VERSION and "ledger" in said:
            raise NewerMark(
                f"was written by a worker of a newer version (its mark is of version {version}, and this one reads up "
                f"to {VERSION}): all workers of a group must be of one version, so upgrade this one"
            )
        if not 1 <= version <= VERSION:
            raise ValueError(f"version {version}")
        return Mark(
            offset, str(said["ledger"]), int(said["through"]), str(said["last"]), int(said["letters"]),
            (int(said["seen"][0]), str(said["seen"][1])), int(said["partitions"]),
            {str(scan): Cut(int(one[0]), int(one[1]), _head(one[2:])) for scan, one in said.get("cut", {}).items()},
            _head(said.get("told", ())),
        )  # fmt: skip
    except NewerMark:
        raise
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"no mark of ours: {error}") from error


def _head(said: Sequence[Any]) -> Head:
    return Head(int(said[0]), str(said[1])) if said else Head()


def read_whole(text: str) -> Mark:
    """Read what `Mark.whole` wrote.

    Raises:
        NewerMark: when a newer worker wrote it.
        ValueError: when it is none of ours.
    """
    try:
        said = json.loads(text)
        offset, metadata = int(said["offset"]), said["mark"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no mark of ours: {error}") from error
    return read_mark(offset, metadata)


@dataclass(slots=True, frozen=True)
class Held:
    """What a ledger has itself.

    Attributes:
        ledger: its identity.
        delivered: position up to which it knows everything to be delivered.
        end: of its outbox.
        key_at: key of its row at the position of the mark, None where that row is gone or never was.
    """

    ledger: str
    delivered: int
    end: int
    key_at: str | None = None


def decide(mark: Mark | None, held: Held | None) -> Kind:
    """Say what a ledger is to the mark that was read after its partition was acquired.

    new       nothing was ever delivered: begin
    own       the ledger is where the mark is: go on
    adopted   a transaction went through that the ledger does not know of: note it, and go on
    rebuilt   there is no ledger here: make one of the states
    stale     another ledger has gone on: put this one aside, and make one of the states
    restored  the mark is further than this ledger ever was, or differs from it: it is a copy, or a backup; as stale
    lost      the brokers know of less than they had confirmed
    """
    if mark is None:
        return "new" if held is None or held.delivered == 0 else "lost"
    if held is None:
        return "rebuilt"
    if mark.ledger != held.ledger:
        return "stale"
    if mark.through < held.delivered:
        return "lost"
    if mark.through > held.end:
        return "restored"
    if mark.through == held.delivered:
        return "own"
    return "adopted" if held.key_at == mark.last else "restored"
