"""Records of a partition on their way into its ledger, in one transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile
from sqlite3 import Connection

import orjson

from daemon.ledger import codec, lane_states, parts
from daemon.ledger.documents import StagedDocument
from daemon.ledger.inputs import InputStore
from daemon.ledger.lane_states import LINES
from daemon.ledger.parts import PartStore
from daemon.ledger.quarantine import NOT_FINDINGS, store_reject
from daemon.ledger.stream import StreamAdmission
from daemon.ports.inputs import Admitted, Input
from daemon.ports.lane import Arrival, Joined, Whole
from daemon.ports.parts import ReportPart
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.report.records import BadLine, MetaLine, StreamRecord

_NOTHING = (0, 0)
DOCUMENTS = "kafka-documents"  # kind of the inputs that are reports; those that are streams are LINES


@dataclass(slots=True, frozen=True)
class ReadPosition:
    """How far a partition was read.

    Attributes:
        next: offset of the record that comes next.
        last: offset of the latest record, -1 before there was one; `digest` is what it is known by.
        within: how many bytes of the record that comes next are taken already, of its text once it is unpacked.
    """

    next: int
    last: int = -1
    digest: str = ""
    within: int = 0


@dataclass(slots=True, frozen=True)
class Taken:
    """What became of some records.

    Attributes:
        refused: by record, in order, of those that were new.
        joined: the last record was the last part of this report, which is to be handed over in its place.
    """

    admitted: Admitted
    refused: tuple[bool, ...]
    joined: Joined | None = None


class Admission:
    """Takes records inside one transaction of the caller.

    Attributes:
        admitted: what became of them.
        position: behind the last one that was taken.
    """

    def __init__(
        self,
        connection: Connection,
        inputs: InputStore,
        parts: PartStore,
        source: Callable[[Connection, str, bytes], Input],
        through: Mapping[bytes, tuple[int, int]],
        position: ReadPosition | None,
    ) -> None:
        """Args:
        source: gives the input of a kind for a key.
        through: by key, the offset before which everything is delivered already, and how much of the record there:
            bytes of the text of lines, reports of a document.
        position: how far the partition was read before.
        """
        self.admitted = Admitted()
        self.position = position
        self._connection = connection
        self._inputs = inputs
        self._parts = parts
        self._source = source
        self._through = through
        self._streams: dict[bytes, StreamAdmission] = {}
        self._barred = set(_all_barred(connection))
        self._latest: dict[int, int] = {}  # by scan, the offset of the last record of it; stored at the end
        self._refused: list[bool] = []
        self._joined: Joined | None = None

    def take(self, arrivals: Sequence[Arrival]) -> Taken:
        """Take records, in order of their offsets; those that were taken before are passed over."""
        for arrival in arrivals:
            if self.position is not None and _is_behind(arrival, self.position):
                continue
            if arrival.offset >= self._through.get(arrival.key, _NOTHING)[0]:
                self._take(arrival)
            if self._joined is not None:  # the position moves when it is admitted
                break
            self.position = _after(arrival, self.position)
        for stream in self._streams.values():
            self.admitted += stream.finish()
        # Once for all records of a scan: line by line, a record each would cost more than its line.
        self._connection.executemany("UPDATE lane_scans SET last = ?2 WHERE scan = ?1", sorted(self._latest.items()))
        self._latest.clear()
        return Taken(self.admitted, tuple(self._refused), self._joined)

    def take_staged(self, arrival: Arrival, staged: StagedDocument, source: Input, digest: str) -> Taken:
        """Let a large document count that was stored in pieces."""
        if arrival.offset >= self._through.get(arrival.key, _NOTHING)[0]:
            admitted, scans = staged.count(self._connection, source, digest)
            self.admitted += admitted
            for scan, number in scans.items():
                self._note_report(scan, number, arrival)
            self._refused.append(False)
        self.position = _after(arrival, self.position)
        return Taken(self.admitted, tuple(self._refused))

    def close(self, key: bytes, *, incomplete: bool = False) -> None:
        """End the open scan of a stream."""
        if incomplete:
            self._connection.execute(
                "UPDATE scans SET continued = 1 WHERE scan IN (SELECT scan FROM lane_scans WHERE key = ?)"
                " AND state = 'open'",
                (key,),
            )
        stream = self._stream(key, None, self._inputs.now())
        scan = stream.scan
        keyed = stream.host_key is not None
        stream.close()
        if scan is not None:
            self._note_end(stream, scan)
            if not keyed:
                self._note_stranger(scan)
        self.admitted += stream.finish()
        del self._streams[key]

    def _take(self, arrival: Arrival) -> None:
        content = arrival.content
        if isinstance(content, Reject):
            if arrival.begins_foreign:
                self._bar(arrival)
            self._refuse(arrival, content, stored=False)
        elif isinstance(content, Whole):
            self._take_whole(arrival, content)
        elif isinstance(content, ReportPart):
            self._take_part(arrival, content)
        else:
            self._take_lines(arrival, content)

    def _bar(self, arrival: Arrival) -> None:
        """Take no lines under a key before a scan of its host begins: what comes now goes on with another host's."""
        if self._stream(arrival.key, None, arrival.received).scan is not None:
            self.close(arrival.key, incomplete=True)
        name = _barred(arrival)
        self._connection.execute("INSERT OR REPLACE INTO lane_notes (name, value) VALUES (?, '')", (name,))
        self._barred.add(name)

    def _admissible(
        self, arrival: Arrival, lines: Iterable[tuple[int, StreamRecord]]
    ) -> Iterable[tuple[int, StreamRecord]] | None:
        """Give the lines that may be taken under a key; None where none may."""
        if not self._barred or (name := _barred(arrival)) not in self._barred:
            return lines
        own = list(dropwhile(lambda line: not isinstance(line[1], MetaLine), lines))
        if not own:
            return None
        self._connection.execute("DELETE FROM lane_notes WHERE name = ?", (name,))
        self._barred.discard(name)
        return own

    def _take_lines(self, arrival: Arrival, received: Iterable[tuple[int, StreamRecord]]) -> None:
        if arrival.joined is not None:
            if arrival.upto is None:
                parts.taken(self._connection, arrival.joined.part_set)
            else:
                lane_states.note_slicing(self._connection, arrival.joined.part_set, arrival.offset)
        lines = self._admissible(arrival, received)
        if lines is None:
            value = arrival.letter.value or b""
            detail = "goes on with a report that is refused, because it is of another host than its key names"
            self._refuse(arrival, Reject("foreign_host", detail, excerpt=value[:EXCERPT_BYTES]), stored=False)
            return
        stream = self._stream(arrival.key, arrival.host, arrival.received)
        bad: Reject | None = None
        begun = _begun(arrival)
        within = delivered_of(arrival, self._through)
        used = arrival.goes_on or within > 0  # whether a record is of any use is said by its beginning
        concerned: set[int] = set()
        for offset, record in lines:
            if offset < within:
                continue
            if isinstance(record, BadLine):
                # By the record's place in the partition: offsets in the value are the same in all of them.
                path = f"byte {offset} of the record" if offset else None
                reject = replace(record.reject, offset=arrival.offset, path=path)
                record = BadLine(reject)
                if bad is None or bad.reason in NOT_FINDINGS:
                    bad = reject
            else:
                used = True
            before = stream.scan
            stream.take(arrival.offset, record)
            if stream.scan == before and not stream.opened:
                if before is not None:
                    concerned.add(before)
                continue
            opened, stream.opened = stream.opened, []
            for scan in opened:
                self._note_scan(scan, arrival, begun, offset)
            if before is not None:
                self._note_end(stream, before)
                if not opened:  # it ended with a line of its own
                    concerned.add(before)
                elif arrival.host is None:
                    self._note_stranger(before)
            concerned.update(opened)
            for scan in opened:
                if scan != stream.scan:
                    self._note_end(stream, scan)
        for scan in sorted(concerned):
            self._latest[scan] = arrival.offset
            if arrival.host is None:
                self._note_stranger(scan)
        if bad is not None and (not used or bad.reason not in NOT_FINDINGS):
            self._refuse(arrival, bad, stored=True)
        else:
            self._refused.append(False)

    def _take_whole(self, arrival: Arrival, whole: Whole) -> None:
        connection = self._connection
        source = self._source(connection, DOCUMENTS, arrival.key)
        if arrival.joined is not None:
            source = replace(source, part_set=arrival.joined.part_set)
        self.admitted += self._inputs.take_document(
            connection, source, whole.digest, whole.reports, whole.rejects, arrival.host, arrival.received,
            delivered=delivered_of(arrival, self._through), note=partial(self._note_report, arrival=arrival),
        )  # fmt: skip
        if whole.reports:
            self._refused.append(False)
        else:
            self._refuse(arrival, whole.rejects[0], stored=True)

    def _take_part(self, arrival: Arrival, part: ReportPart) -> None:
        connection = self._connection
        source = self._source(connection, DOCUMENTS, arrival.key)
        taken = self._parts.take(connection, source, part, arrival.received)
        if taken.whole is not None and taken.part_set is not None:
            (first,) = connection.execute(
                "SELECT first FROM part_sets WHERE part_set = ?", (taken.part_set,)
            ).fetchone()
            self._joined = Joined(taken.whole, taken.part_set, first)
        elif taken.reject is not None:
            self._refuse(arrival, taken.reject, stored=True)
        else:
            self._refused.append(False)

    def _stream(self, key: bytes, host: str | None, now: str) -> StreamAdmission:
        stream = self._streams.get(key)
        if stream is None:
            source = self._source(self._connection, LINES, key)
            if host is None:
                (kept,) = self._connection.execute(
                    "SELECT host_key FROM inputs WHERE input_id = ?", (source.input_id,)
                ).fetchone()
                host = kept
            else:
                self._connection.execute(
                    "UPDATE inputs SET host_key = ? WHERE input_id = ?", (codec.text(host), source.input_id)
                )
            stream = self._streams[key] = self._inputs.stream(self._connection, source, now, host)
        stream.now = now
        return stream

    def _note_report(self, scan: int, number: int, arrival: Arrival) -> None:
        """Note the scan of a report, and which one in its document this is."""
        self._note_scan(scan, arrival, _begun(arrival), number)
        if arrival.host is None:
            self._note_stranger(scan)

    def _note_scan(self, scan: int, arrival: Arrival, begun: int, begins: int) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO lane_scans (scan, key, first, last, begins) SELECT scan, ?, ?, ?, ? FROM scans"
            " WHERE scan = ?",
            (arrival.key, begun, arrival.offset, begins, scan),
        )

    def _note_stranger(self, scan: int) -> None:
        """Have a scan without a key compared with no other: whoever may write to the topic can claim any host."""
        self._connection.execute("UPDATE scans SET host_source = 'unknown' WHERE scan = ?", (scan,))

    def _note_end(self, stream: StreamAdmission, scan: int | None) -> None:
        self._connection.execute("UPDATE lane_scans SET context = ? WHERE scan = ?", (stream.context(), scan))

    def _refuse(self, arrival: Arrival, reject: Reject, *, stored: bool) -> None:
        self._refused.append(True)
        if not stored:
            at = replace(reject, offset=arrival.offset)
            source = self._source(self._connection, DOCUMENTS, arrival.key)
            new = store_reject(self._connection, source, at, digest=None, scan=None, now=arrival.received)
            self.admitted += Admitted(quarantined=int(new))
        letter = arrival.letter
        headers = orjson.dumps([[name, value.decode("latin-1")] for name, value in letter.headers])
        self._connection.execute(
            "INSERT OR IGNORE INTO lane_letters (offset, key, value, headers, reason, detail)"
            " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE ?1 > coalesce((SELECT CAST(value AS INTEGER) FROM lane_notes"
            " WHERE name = 'letters'), -1)",
            (letter.offset, letter.key, letter.value, headers, reject.reason, codec.text(reject.detail)),
        )


def delivered_of(arrival: Arrival, through: Mapping[bytes, tuple[int, int]]) -> int:
    """Say how much of a record is delivered that stands in front of what is not: bytes of lines, reports of a document.

    Args:
        through: by key, the offset before which everything is delivered, and so much of what begins there.
    """
    offset, within = through.get(arrival.key, _NOTHING)
    return within if _begun(arrival) == offset else 0


def _begun(arrival: Arrival) -> int:
    return arrival.offset if arrival.joined is None else arrival.joined.first


def _is_behind(arrival: Arrival, position: ReadPosition) -> bool:
    """Say whether a record, or a slice of one, was taken before."""
    if arrival.offset == position.next and arrival.upto is not None:
        return arrival.upto <= position.within
    return arrival.offset < position.next


def _after(arrival: Arrival, before: ReadPosition | None) -> ReadPosition:
    if arrival.upto is None:
        return ReadPosition(arrival.offset + 1, arrival.offset, arrival.digest)
    last = before or ReadPosition(arrival.offset)
    return ReadPosition(arrival.offset, last.last, last.digest, arrival.upto)


def _barred(arrival: Arrival) -> str:
    return f"barred {arrival.key.hex()}"


def _all_barred(connection: Connection) -> list[str]:
    found = connection.execute("SELECT name FROM lane_notes WHERE name GLOB 'barred *'").fetchall()
    return [name for (name,) in found]
