"""What was shown under a name, so that a state a host returns to is told from one that is delivered again.

A report without times says nothing but what the host is like. When it is equal to one that is known, it may be a copy
of that (rotation, compression, a restored file), or the host may be again as it was. The place tells: under one name,
a host's states come in order. So a known scan is shown again, and its report is a redelivery, when

- the content that it is found in has not shown it yet (a file that shows a scan twice holds two), and
- it was closed after the host's latest that this name had shown before this content (shown under another name first: a
  copy that lags behind), or it is that one and the content has shown nothing later yet, or the content which this one
  replaced had shown it (a file that is written anew, or read again).

Otherwise the name has moved past it, and this is a new scan. A name that has shown nothing has not moved past anything:
every copy is a redelivery.

Scans are numbered as they are closed, which is not always the order in which their host made them: a copy may have
shown a later one first. So within a content what was closed earlier may follow what was closed later. A name that has
shown the two is past both, which its mark says with a half: past 59, and not past 60.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from sqlite3 import Connection

from daemon.log import get_logger

logger = get_logger(__name__)

NOBODY = 0  # bears a name whose input has moved on
MAX_HOSTS = 1_000  # remembered of one name; of the one whose latest scan is oldest the least is lost


class Place:
    """A name of a kind of inputs, inside a transaction of the caller."""

    def __init__(self, connection: Connection, kind: str, name: str) -> None:
        self._connection = connection
        self._key = (kind, os.fsencode(name))

    def begin_anew(self, input_id: int) -> None:
        """Note that an input is read from its start again, or that its content is another one."""
        shown = self._shown(input_id)
        row = self._row()
        if row is not None and row[0] == input_id and shown:
            self._store(input_id, shown, row[3], row[3])
        self._connection.execute("DELETE FROM claims WHERE input_id = ?", (input_id,))

    def leave(self, input_id: int) -> None:
        """Keep what an input that is dropped has shown here."""
        row = self._row()
        if row is not None and row[0] == input_id and (shown := self._shown(input_id)):
            self._store(input_id, shown, row[3], row[3])

    def follow(self, input_id: int, others: Iterable[int]) -> None:
        """Let a new input begin behind what others have shown, where that is further than this name has come.

        They were moved out of its way, so what they show, whatever they are called by now, comes before what it shows.
        """
        row = self._row()
        marks = dict(row[3]) if row is not None else {}
        known = dict(marks)
        for other in others:
            for host, number in self._marks(other).items():
                marks[host] = max(marks.get(host, 0), number)
        if marks != known:
            self._store(input_id, [], _bounded(marks), _bounded(marks))

    def hand_on(self, input_id: int, name: str) -> None:
        """Note that an input bears another name from now on: what this one has shown goes with it."""
        row, other = self._row(), Place(self._connection, self._key[0], name)
        if row is None or row[0] != input_id or other._key == self._key:
            return
        marks = dict(row[3])
        there = other._row()
        for host, number in (there[3] if there is not None else {}).items():
            marks[host] = max(marks.get(host, 0), number)
        other._store(input_id, row[1], row[2], _bounded(marks))
        # Now, not when somebody else is found here: by then the input may be dropped, or be back.
        self._store(NOBODY, [], row[3], row[3])

    def find(
        self, input_id: int, host: str, known: Collection[tuple[int, int | None]], *, timed: bool, once: bool = False
    ) -> int | None:
        """Give the first of the known scans with this content that the input shows again, or None.

        Args:
            known: (row, number in the order of closing or None) of each, in order.
            timed: the report has times: it can be no other scan.
            once: two equal reports one after the other are one.
        """
        if not known:
            return None
        shown = self._shown(input_id)
        if timed:
            return next((scan for scan, _ in known if once or scan not in shown), None)
        before, base = self._enter(input_id)
        mark = base.get(host, 0)
        past = self._last(input_id, host) > mark  # the latest from before this content
        for scan, number in known:
            if scan in shown:
                if once and scan == shown[-1]:
                    return scan
            elif number is None or number > mark or (number == mark and not past) or scan in before:
                return scan
        return None

    def show(self, input_id: int, host: str, scan: int, *, timed: bool) -> None:
        """Note that an input has shown a closed scan."""
        if timed:
            return
        before, base = self._enter(input_id)
        last = self._last(input_id, host)
        self._connection.execute("INSERT OR IGNORE INTO claims (input_id, scan) VALUES (?, ?)", (input_id, scan))
        number: int = self._connection.execute("SELECT scan_no FROM scans WHERE scan = ?", (scan,)).fetchone()[0]
        row = self._row()
        marks = dict(row[3]) if row is not None else {}
        marks[host] = max(marks.get(host, 0), _moved(last, number))
        self._store(input_id, before, base, _bounded(marks))

    def _enter(self, input_id: int) -> tuple[list[int], dict[str, float]]:
        """Give the scans of the content that this one replaced, and the latest of each host from before it."""
        row = self._row()
        if row is None:
            return [], {}
        owner, before, base, marks = row
        if owner == input_id:
            return before, base
        # Another input bears the name now.
        there = self._connection.execute("SELECT kind, name FROM inputs WHERE input_id = ?", (owner,)).fetchone()
        if there is None:
            pass  # nobody, or dropped: `leave` has kept what it had shown
        elif (there[0], there[1]) == self._key:
            before = self._shown(owner)  # replaced, and about to be dropped
        else:
            before = []  # it goes on under another name, so this one shows nothing again but what is latest
        self._store(input_id, before, marks, marks)
        return before, marks

    def _shown(self, input_id: int) -> list[int]:
        rows = self._connection.execute("SELECT scan FROM claims WHERE input_id = ? ORDER BY claim", (input_id,))
        return [scan for (scan,) in rows.fetchall()]

    def _last(self, input_id: int, host: str) -> int:
        """Give the highest number of a scan of a host that the present content of an input has shown, else 0."""
        row = self._connection.execute(
            "SELECT coalesce(max(s.scan_no), 0) FROM claims c JOIN scans s ON s.scan = c.scan"
            " WHERE c.input_id = ? AND s.host = ?",
            (input_id, host),
        ).fetchone()
        last: int = row[0]
        return last

    def _marks(self, input_id: int) -> dict[str, float]:
        """Say of each host what the present content of an input has moved past."""
        rows = self._connection.execute(
            "SELECT s.host, s.scan_no FROM claims c JOIN scans s ON s.scan = c.scan WHERE c.input_id = ?"
            " ORDER BY c.claim",
            (input_id,),
        )
        marks: dict[str, float] = {}
        for host, number in rows.fetchall():
            marks[host] = max(marks.get(host, 0), _moved(int(marks.get(host, 0)), number))
        return marks

    def _row(self) -> tuple[int, list[int], dict[str, float], dict[str, float]] | None:
        row = self._connection.execute(
            "SELECT owner, before, base, marks FROM places WHERE kind = ? AND name = ?", self._key
        ).fetchone()
        if row is None:
            return None
        try:
            before, base, marks = (json.loads(text) for text in row[1:])
            if isinstance(before, list) and isinstance(base, dict) and isinstance(marks, dict):
                return row[0], before, base, marks
        except ValueError:
            pass
        logger.error("place.damaged", source=os.fsdecode(self._key[1]), advice="what it shows next is taken for known")
        return row[0], [], {}, {}

    def _store(self, owner: int, before: list[int], base: dict[str, float], marks: dict[str, float]) -> None:
        self._connection.execute(
            "INSERT INTO places (kind, name, owner, before, base, marks) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (kind, name) DO UPDATE SET owner = excluded.owner, before = excluded.before,"
            " base = excluded.base, marks = excluded.marks",
            (*self._key, owner, json.dumps(before), json.dumps(base), json.dumps(marks)),
        )


def _moved(last: int, number: int) -> float:
    """Give the mark of what has shown a scan after another one."""
    return number if number > last else last + 0.5


def _bounded(marks: Mapping[str, float]) -> dict[str, float]:
    kept = sorted(marks, key=marks.__getitem__)[-MAX_HOSTS:] if len(marks) > MAX_HOSTS else marks
    return {host: marks[host] for host in kept}
