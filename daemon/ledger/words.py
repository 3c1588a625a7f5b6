"""The words of the lines that are kept for reviews, so that a search reads these instead of the lines.

Lines of one situation are nearly alike: of 4 KB, some 200 bytes are a line's own. So the words of the first line of a
situation are kept once, and of every line those that are not among them. A text without blanks and quotes that stands
in a line stands in one of these; for any other the line itself is asked (`daemon.ledger.searching`).

Words are not taken while a scan is worked on: a row is stored without them, in the transaction of its line, and gets
them when the ledger has nothing else to do. Until then a search reads the line.
"""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection

# What parts words. A backslash too: with it, what JSON escapes stands between words.
_BETWEEN = b" \t\n\"',;(){}[]=`\\"
_BLANKS = bytes(0x20 if code in _BETWEEN else code for code in range(256))
_VARIABLES = 500  # in one statement

_STATEMENTS = (
    # NULL: not taken yet.
    "CREATE TABLE retained_words (row INTEGER PRIMARY KEY, words TEXT) STRICT",
    "CREATE INDEX retained_wordless ON retained_words (row) WHERE words IS NULL",
    "CREATE TABLE situation_words (situation TEXT PRIMARY KEY, words TEXT NOT NULL) STRICT, WITHOUT ROWID",
)


def make_tables(connection: Connection) -> None:
    """Add the tables to a ledger of schema 8; what is kept in it gets its words when nothing else is done."""
    for statement in _STATEMENTS:
        connection.execute(statement)
    connection.execute("INSERT INTO retained_words (row, words) SELECT row, NULL FROM retained")


def words_of(line: bytes) -> list[bytes]:
    """Part a text, as JSON spells it inside quotes, into words."""
    return line.translate(_BLANKS).split()


def without(connection: Connection, rows: Iterable[int]) -> None:
    """Note that rows have other lines now, whose words are not taken yet."""
    connection.executemany(
        "INSERT OR REPLACE INTO retained_words (row, words) VALUES (?, NULL)", [(row,) for row in rows]
    )


def forget(connection: Connection, rows: Sequence[tuple[int]]) -> None:
    """Forget the words of rows that are not kept any more."""
    connection.executemany("DELETE FROM retained_words WHERE row = ?", rows)


def forget_situations(connection: Connection) -> None:
    """Forget the words of situations that nothing is kept of."""
    connection.execute("DELETE FROM situation_words WHERE situation NOT IN (SELECT situation FROM situations)")


def lacking(connection: Connection) -> bool:
    """Say whether there are rows whose words are not taken yet."""
    return connection.execute("SELECT 1 FROM retained_words WHERE words IS NULL LIMIT 1").fetchone() is not None


def take(connection: Connection, limit: int) -> int:
    """Take the words of at most `limit` rows; returns of how many. The caller holds the transaction."""
    rows = connection.execute(
        "SELECT w.row, r.situation, l.line FROM retained_words w CROSS JOIN retained r ON r.row = w.row"
        " CROSS JOIN retained_lines l ON l.row = w.row WHERE w.words IS NULL ORDER BY w.row LIMIT ?",
        (limit,),
    ).fetchall()
    known = _known(connection, sorted({situation for _, situation, _ in rows}))
    first: list[tuple[str, str]] = []
    own: list[tuple[str, int]] = []
    sizes: list[tuple[int, int]] = []
    for row, situation, line in rows:
        words = set(words_of(line))
        size = 0
        if situation not in known:
            known[situation] = words
            text = _text(words)
            first.append((situation, text))
            size = len(text)
        text = _text(words - known[situation])
        own.append((text, row))
        sizes.append((size + len(text), row))
    connection.executemany("INSERT INTO situation_words (situation, words) VALUES (?, ?)", first)
    connection.executemany("UPDATE retained_words SET words = ? WHERE row = ?", own)
    connection.executemany("UPDATE retained SET bytes = bytes + ? WHERE row = ?", sizes)
    return len(rows)


def _known(connection: Connection, situations: Sequence[str]) -> dict[str, set[bytes]]:
    known: dict[str, set[bytes]] = {}
    for start in range(0, len(situations), _VARIABLES):
        chunk = situations[start : start + _VARIABLES]
        marks = ",".join("?" * len(chunk))
        query = f"SELECT situation, words FROM situation_words WHERE situation IN ({marks})"  # noqa: S608
        for situation, text in connection.execute(query, chunk):
            known[situation] = set(text.encode().split(b" "))
    return known


def _text(words: set[bytes]) -> str:
    return b" ".join(sorted(words)).decode()
