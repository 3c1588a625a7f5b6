"""What waits for the sinks: one ordered queue, and a high-water mark for each of them."""

from collections.abc import Collection
from typing import Literal

from daemon.ledger.store import Store
from daemon.ports.outbox import OutboxRow
from pipeline.errors import LedgerError

PENDING_BYTES = 8 << 20  # of the rows that are handed out together; the usual thousand take 3.5 MB


class OutboxStore(Store):
    """Implements `daemon.ports.outbox.Outbox`. Positions are without gaps and are never used twice."""

    def register(self, sink: str, start: Literal["retained", "end"] = "retained") -> int:
        """Make a sink known; what it has not taken is kept from then on.

        Args:
            start: where a new sink begins: at the oldest row that is still there, or after the latest.

        Returns:
            its high-water mark; that of a sink which is known already is left alone.
        """
        known = self.sinks().get(sink)
        if known is not None:  # a disk without room must not keep what waits from being delivered
            return known
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO sinks (name, delivered) VALUES (?, ?)",
                (sink, self.end() if start == "end" else self._begin()),
            )
            return self._mark(sink)

    def keep_only(self, names: Collection[str]) -> list[str]:
        """Make these the sinks that there are; returns the names of those that are released, in order.

        What only a released sink had not taken goes. A new one goes on where the earliest of those stopped, so that
        of two files one after the other none lacks a row and no row is in both; where none is released it begins with
        the oldest row that is still there.
        """
        if self.sinks().keys() == set(names):
            return []
        with self._database.write() as connection:
            released = {name: mark for name, mark in self.sinks().items() if name not in names}
            start = min(released.values()) if released else self._begin()
            connection.executemany(
                "INSERT OR IGNORE INTO sinks (name, delivered) VALUES (?, ?)", ((name, start) for name in names)
            )
            connection.executemany("DELETE FROM sinks WHERE name = ?", ((name,) for name in released))
        return sorted(released)

    def sinks(self) -> dict[str, int]:
        """Give the high-water mark of each sink."""
        with self._database.read() as connection:
            return dict(connection.execute("SELECT name, delivered FROM sinks ORDER BY name").fetchall())

    def pending(self, sink: str, limit: int, after: int | None = None) -> list[OutboxRow]:
        """Give the next rows for a sink, in order: fewer than `limit`, but one at least, where they are large.

        Args:
            after: a position past the high-water mark, for a sink that has rows in flight.
        """
        with self._database.read() as connection:
            begin = max(self._mark(sink), after or 0)
            found, taken = [], 0
            for position, kind, key, level, changed, line in connection.execute(
                "SELECT position, kind, key, level, changed, line FROM outbox WHERE position > ? ORDER BY position"
                " LIMIT ?",
                (begin, limit),
            ):
                found.append(OutboxRow(position, kind, key, level, bool(changed), line))
                taken += len(line)
                if taken >= PENDING_BYTES:
                    break
        return found

    def delivered(self, sink: str, position: int) -> None:
        """Record that a sink holds everything up to `position` durably; a mark never goes back.

        Raises:
            LedgerError: when there has been no such row, or no such sink.
        """
        with self._database.write() as connection:
            if position > self.end():
                raise LedgerError(f"sink {sink}: delivered {position}, but the outbox ends at {self.end()}")
            if position > self._mark(sink):
                connection.execute("UPDATE sinks SET delivered = ? WHERE name = ?", (position, sink))

    def lower(self, sink: str, position: int) -> None:
        """Offer a sink what it had confirmed and has lost, from after a position on."""
        with self._database.write() as connection:
            connection.execute("UPDATE sinks SET delivered = min(delivered, ?) WHERE name = ?", (position, sink))

    def first(self) -> int:
        """Give the position of the oldest row that is there, or the one that comes next where there is none."""
        return self._begin() + 1

    def backlog(self) -> dict[str, int]:
        """Count the rows that each sink has yet to take."""
        end = self.end()
        return {name: end - mark for name, mark in self.sinks().items()}

    def prune(self, limit: int = 10_000) -> int:
        """Delete at most `limit` rows that every sink has; returns how many. Without a sink, all rows wait."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM outbox WHERE position <= min((SELECT min(delivered) FROM sinks),"
                " (SELECT min(position) FROM outbox) + ? - 1)",
                (limit,),
            ).rowcount

    def end(self) -> int:
        """Give the position of the latest row there has been."""
        with self._database.read() as connection:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        return 0 if row is None else int(row[0])

    def _mark(self, name: str) -> int:
        row = self._database.connection.execute("SELECT delivered FROM sinks WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise LedgerError(f"sink {name} is not registered")
        mark: int = row[0]
        return mark

    def _begin(self) -> int:
        with self._database.read() as connection:
            (first,) = connection.execute("SELECT min(position) FROM outbox").fetchone()
        return self.end() if first is None else int(first) - 1
