"""Looks for a text in every line that is kept for reviews, beside whatever else goes on.

SQLite reads and compares without Python's lock, so several connections do it at the same time, each for a part of the
rows, and none of them keeps the thread waiting that serves a page. What is read are the words that were taken from the
lines (`daemon.ledger.words`); a line itself only where they were not yet, and where words alone do not tell.
"""

import os
from asyncio import gather, run, to_thread
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.ledger.database import Database
from daemon.ledger.retained import Filter
from daemon.ledger.words import words_of
from pipeline.harmless import as_json

_MOST_PARTS = 4  # read at the same time
_MOST_PATTERN = 1000  # characters; SQLite refuses a pattern that is very long
_WILD = str.maketrans("*[", "??")
_HEX = frozenset("0123456789abcdef")


# Each line by itself.
_LINES = (
    "SELECT DISTINCT r.situation FROM retained_words w CROSS JOIN retained_lines l ON l.row = w.row"
    " CROSS JOIN retained r ON r.row = w.row WHERE w.row BETWEEN ? AND ? AND"
)

Query = tuple[str, list[Any]]  # gives situations; with its values


async def holding(state_dir: Path, text: str, wanted: Filter) -> frozenset[str]:
    """Give the situations with a finding whose line, or one of whose keys, holds a text as it is written.

    Raises:
        LedgerError: when the ledger cannot be read.
    """
    queries = await to_thread(_queries, state_dir, text, wanted)
    found = await gather(*(to_thread(_asked, state_dir, one) for one in queries))
    return frozenset[str]().union(*found)


def held_in(state_dir: Path, text: str, wanted: Filter) -> frozenset[str]:
    """Give what `holding` gives, to who has nothing else to do meanwhile."""
    return run(holding(state_dir, text, wanted))


def _queries(state_dir: Path, text: str, wanted: Filter) -> list[Query]:
    """Say what is to be asked for a text; the answers together are what holds it."""
    spelt = as_json(text)[1:-1]  # as the line has it
    found = words_of(spelt)
    conditions, values = wanted.conditions()
    narrowed = "".join(f" AND {one}" for one in conditions)
    whole = f"CAST(l.line AS TEXT) GLOB ? AND instr(l.line, ?) {narrowed}"
    whole_values = [_pattern(spelt), spelt, *values]
    queries: list[Query] = []
    for part in _parts(state_dir):
        lines = f"{_LINES} {whole}"
        if not found:  # nothing but what stands between words
            queries.append((lines, [*part, *whole_values]))
            continue
        queries.append((f"{lines} AND w.words IS NULL", [*part, *whole_values]))
        longest = max(found, key=len)
        is_word = longest == spelt
        own = (
            "SELECT DISTINCT r.situation FROM retained_words w CROSS JOIN retained r ON r.row = w.row"  # noqa: S608
            f"{'' if is_word else ' CROSS JOIN retained_lines l ON l.row = w.row'}"
            f" WHERE w.row BETWEEN ? AND ? AND w.words GLOB ? AND instr(w.words, ?)"
            f"{'' if is_word else ' AND instr(l.line, ?)'} {narrowed}"
        )
        word = longest.decode()
        queries.append((own, [*part, _pattern(longest), word, *(() if is_word else (spelt,)), *values]))
    if found:
        # The words of a situation are those of its first line: which of its lines have them, the lines say.
        queries.append(
            (
                "SELECT s.situation FROM situation_words s WHERE s.words GLOB ? AND instr(s.words, ?) AND EXISTS"  # noqa: S608
                " (SELECT 1 FROM retained r CROSS JOIN retained_lines l ON l.row = r.row"
                f" WHERE r.situation = s.situation AND {whole})",
                [_pattern(longest), word, *whole_values],
            )
        )
    if _HEX.issuperset(text):  # the line has the key of one of its twins
        queries.append(
            (f"SELECT DISTINCT r.situation FROM retained r WHERE instr(r.keys, ?) {narrowed}", [text, *values])  # noqa: S608
        )
    return queries


def _pattern(spelt: bytes) -> str:
    """Give a pattern for GLOB, which is quick; where it finds something, `instr` says whether it is the text itself."""
    return f"*{spelt.decode()[:_MOST_PATTERN].translate(_WILD)}*"


def _parts(state_dir: Path) -> list[tuple[int, int]]:
    """Divide the rows into ranges of about the same size, as (first, last)."""
    query = "SELECT coalesce(min(row), 0), coalesce(max(row), -1) FROM retained"
    with closing(Database.open(state_dir, read_only=True, check=False)) as database, database.read() as connection:
        first, last = connection.execute(query).fetchone()
    count = min(_MOST_PARTS, os.cpu_count() or 1)
    step = max(1, -(-(last - first + 1) // count))
    return [(start, min(start + step - 1, last)) for start in range(first, last + 1, step)]


def _asked(state_dir: Path, query: Query) -> set[str]:
    with closing(Database.open(state_dir, read_only=True, check=False)) as database, database.read() as connection:
        return {situation for (situation,) in connection.execute(*query)}
