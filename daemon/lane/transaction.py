"""What goes into the next transaction of a partition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from daemon.lane.mark import MAX_CUT, Cut, Held, Mark
from daemon.lane.port import Outgoing
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.ports.lane import Letter
from daemon.ports.outbox import OutboxRow
from daemon.sinks.kafka.connection import Record
from daemon.sinks.kafka.records import recorder, size_of
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.wanted import wanted

logger = get_logger(__name__)

SINK = "kafka"  # in the ledger; whatever the topics are called, one mark is committed for all of them
ROWS = 4_000  # in one transaction, more only for a scan record: 14 MB, 100 ms
BYTES = 16 << 20
_LETTERS, _LETTER_BYTES = 500, 4 << 20
_LETTER_KEY_BYTES = 255  # of a key that makes a letter too large
_FETCH = 1_000


@dataclass(slots=True, frozen=True)
class Transaction:
    """Records that become readable together, and the mark that says so; `letters` counts those among them."""

    records: Sequence[Outgoing]
    mark: Mark
    letters: int


def held_by(ledger: Ledger, sink: str, mark: Mark | None) -> Held:
    """Say what a ledger has itself, to be held against a mark."""
    key_at = None
    if mark is not None and mark.through > 0:
        row = ledger.database.connection.execute(
            "SELECT key FROM outbox WHERE position = ?", (mark.through,)
        ).fetchone()
        key_at = None if row is None else str(row[0])
    return Held(ledger.identity(), ledger.outbox.sinks().get(sink, 0), ledger.outbox.end(), key_at)


class Composer:
    """Makes transactions of what is finished.

    Scans go out whole, several at a time. One with more rows than a transaction takes goes in pieces: its rows in
    order, its record and the state of its host with the last of them. The mark says how many of them are out, so that a
    ledger which has to begin with the scan anew passes over as many.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: LaneStore,
        settings: KafkaSettings,
        partition: int,
        partitions: int,
        others: Sequence[str],
        resend: int = 0,
    ) -> None:
        """Args:
        partitions: of the input topic, for the mark.
        others: sinks that must have a row before it counts as delivered here.
        """
        self._ledger = ledger
        self._store = store
        self._settings = settings
        self._partition = partition
        self._partitions = partitions
        self._others = others
        self._resend = resend
        self._identity = ledger.identity()
        self._record = recorder(settings.topic, settings.scans_topic, settings.max_record_bytes)
        self._wants = wanted(changes_only=settings.emit == "changes", min_level=settings.min_level)

    def due(self, mark: Mark, *, offset: bool) -> bool:
        """Say whether there is something to commit; `offset`: a lower one that is needed counts."""
        if self._end(mark) > mark.through or self._store.letters(1, 1):
            return True
        if offset and self._store.told_at(mark.through) != mark.told:  # verdicts that others tell of
            return True
        needed = self._store.needed(mark.through)
        return offset and needed is not None and needed > mark.offset

    def compose(self, mark: Mark, *, claim: bool, offset: bool) -> Transaction | None:
        """Make the next transaction, or None where there is nothing to commit.

        Args:
            mark: that is committed.
            claim: the mark that is committed names another ledger, or none.
            offset: that less is needed is reason enough.
        """
        if not claim and not self.due(mark, offset=offset):
            return None
        end = self._end(mark)
        rows = self._rows(mark.through, end)
        through = rows[-1].position if rows else mark.through
        cut, skipped = self._cut(mark, rows)
        records = []
        if self._settings.send:
            wanted_rows = (row for number, row in enumerate(rows) if number not in skipped and self._wants(row))
            records = [_line(self._record(row)) for row in wanted_rows]
        for state in self._store.states(mark.through, through):
            records.append(Outgoing(self._settings.state_topic, state.key.encode(), state.value))
        letters = self._store.letters(_LETTERS, _LETTER_BYTES)
        records += [_dead(letter, self._settings, self._partition) for letter in letters]
        position = self._store.position()
        needed = self._store.needed(through)
        after = Mark(
            offset=max(mark.offset, needed if needed is not None else mark.offset),
            ledger=self._identity,
            through=through,
            last=rows[-1].key if rows else mark.last,
            letters=letters[-1].offset if letters else mark.letters,
            seen=(position.last, position.digest) if position is not None and position.last >= 0 else mark.seen,
            partitions=self._partitions,
            cut=cut,
            told=self._store.told_at(through),
        )
        return Transaction(records, after, len(letters))

    def _end(self, mark: Mark) -> int:
        """Give the position up to which rows may go out now."""
        latest = self._ledger.outbox.end()
        if self._others:
            marks = self._ledger.outbox.sinks()
            latest = min(marks[other] for other in self._others)
        ready = min(max(self._store.ready(mark.through), self._resend), latest)
        # Verdicts that were told since wait for nothing; those in the middle of a scan go out with it.
        beyond = self._store.next_but_verdicts(max(ready, mark.through))
        ready = max(ready, latest if beyond is None else min(latest, beyond - 1))
        if ready > mark.through:
            return ready
        unready = self._store.unready(mark.through)
        # No scan is finished: of one that has more rows than a transaction takes, a piece.
        most = min(latest, unready - 1 if unready is not None else latest)
        return most if most - mark.through >= ROWS else mark.through

    def _rows(self, after: int, end: int) -> list[OutboxRow]:
        """Give the rows of whole scans, and verdicts, as far as they go into one transaction, or else a piece of the
        first scan."""
        rows: list[OutboxRow] = []
        size = whole = 0
        while after < end and len(rows) < ROWS and size < BYTES:
            more = self._ledger.outbox.pending(SINK, min(_FETCH, end - after), after)
            if not more:
                break
            for row in more:
                rows.append(row)
                size += len(row.line)
                if row.kind == "scan" or (row.kind == "verdict" and whole == len(rows) - 1):
                    whole = len(rows)
            after = rows[-1].position
        return rows[:whole] if whole else rows

    def _cut(self, mark: Mark, rows: Sequence[OutboxRow]) -> tuple[Mapping[str, Cut], set[int]]:
        """Say of which scans only the beginning is out after these rows, and which rows were sent before."""
        cut = dict(mark.cut)
        skipped: set[int] = set()
        begin = 0
        while begin < len(rows):
            end = next((at for at in range(begin, len(rows)) if rows[at].kind == "scan"), len(rows))
            findings = [at for at in range(begin, end) if rows[at].kind == "finding"]
            if end == len(rows) and not findings:
                break
            scan = rows[end].key if end < len(rows) else _scan_of(rows[findings[0]])
            known = cut.get(scan, Cut(0, 0))
            skipped.update(findings[: max(0, known.sent - known.done)])
            if end < len(rows):
                cut.pop(scan, None)
            else:
                done = known.done + len(findings)
                cut[scan] = Cut(done, max(done, known.sent), self._store.pinned(scan))
            begin = end + 1
        return dict(list(cut.items())[-MAX_CUT:]), skipped


def carried(mark: Mark, ledger: str) -> Mark:
    """Give the mark with which a ledger begins that was made of the states that go with another's mark."""
    cut = {scan: Cut(0, one.sent, one.verdicts) for scan, one in mark.cut.items()}
    return replace(mark, ledger=ledger, through=0, last="", cut=cut)


def _scan_of(row: OutboxRow) -> str:
    return str(orjson.loads(row.line)["scan_id"])


def _line(record: Record) -> Outgoing:
    return Outgoing(record.topic, record.key, record.value, record.headers)


def _dead(letter: Letter, settings: KafkaSettings, partition: int) -> Outgoing:
    """Give a record as it was received, with the reason in front of its own headers.

    Packed by its producer, it may be larger than `kafka.max_record_bytes` here. It must not keep what follows waiting,
    so it ends earlier then, and `dlq-cut` says how much of it is there.
    """
    headers = (
        ("dlq-reason", letter.reason.encode()),
        ("dlq-detail", letter.detail.encode("utf-8", "backslashreplace")),
        ("dlq-topic", settings.input_topic.encode()),
        ("dlq-partition", str(partition).encode()),
        ("dlq-offset", str(letter.offset).encode()),
    )
    most, value = settings.max_record_bytes, letter.value or b""
    whole = (*headers, *letter.headers)
    if size_of(letter.key, value, whole) <= most:
        return Outgoing(settings.dlq_topic, letter.key, letter.value, whole)
    key = None if letter.key is None else letter.key[:_LETTER_KEY_BYTES]
    own = letter.headers if size_of(None, None, letter.headers) <= most // 4 else ()
    taken = size_of(key, b"%d of %d bytes" % (len(value), len(value)), (*headers, ("dlq-cut", b""), *own))
    kept = value[: max(0, most - taken)]
    cut = b"%d of %d bytes" % (len(kept), len(value))
    logger.warning("dead_letter.cut", partition=partition, offset=letter.offset, bytes=len(value), kept=len(kept))
    return Outgoing(settings.dlq_topic, key, kept, (*headers, ("dlq-cut", cut), *own))
