"""The closed list: the words, settings and places of which alone a stranger's text may consist once it is filtered.

Common English words and those of security come with the package, in a file that names its own digest
(`trainer/data/words.py` makes it). The words, settings and paths of topics come from the knowledge that is in use, so
that an operator's own topics can be found, too. Words that speak to whoever reads a finding (ignore,
instruction, approved, severity) are in no list, wherever they come from.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson

from pipeline.errors import AgentError
from pipeline.keys import digest
from pipeline.knowledge.schema import Knowledge

FILE = Path(__file__).parent / "data" / "vocabulary.json"
SCHEMA = "sysscan.vocabulary/1"

_WORD = re.compile(r"[A-Za-z][a-z]*\d{0,3}|[A-Z]{2,}")
_SLASHED = re.compile(r"(?<![\w/])/[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_DOTTED = re.compile(r"\b(?:kernel|net|fs|vm|user|dev)(?:\.[a-z0-9_]+)+\b")
_DIRECTIVE = re.compile(r"\b(?=[A-Z]*[a-z])(?:[A-Z][A-Za-z]+){2,}(?==)")
_PREFIX = re.compile(r"^(?:sysctl|systemd|module)\.")
_ENDINGS = (
    "ations", "ation", "ions", "ion", "ings", "ing", "ities", "ity", "ies", "ied", "es", "ed", "er", "s", "e", "y",
)  # fmt: skip
_LEAST_STEM = 4


class VocabularyDamaged(AgentError):
    """Raised when the closed list is missing or altered; unknown findings are then told without it."""


def seal(body: bytes) -> bytes:
    """Give the first line of the file for what follows it."""
    return hashlib.sha256(body).hexdigest().encode()


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """Cut the ending of an English word, so that its forms are one; what is short stays whole."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM:
            return word[: -len(ending)]
    return word


class Vocabulary:
    """The closed list.

    Attributes:
        words: lower case.
        subjects: those of them that the title of a topic or the list by hand has; the others are plain English.
        names: settings and directives by their lower-case spelling, in the spelling that is shown.
        places: absolute paths.
        digest: names all of it.
    """

    def __init__(self, common: "CommonWords", knowledge: Knowledge) -> None:
        barred = {stem(word) for word in common.spoken}
        titles = list(_titles(knowledge))
        notes = (note for topic in knowledge.topics.values() for note in topic.notes)
        groups = (*knowledge.aliases.values(), *knowledge.off_topic.values())
        texts = [*titles, *notes, *(phrase for phrases in groups for phrase in phrases)]

        def own(said: Iterable[str]) -> frozenset[str]:
            return frozenset(word for text in said for word in words_in(text) if stem(word) not in barred)

        self.subjects = common.words | own(titles)
        self.words = common.common | self.subjects | own(texts)
        self.names = {name.lower(): name for name in sorted(_settings(knowledge, texts)) if _is_clean(name, barred)}
        listed = {*common.places, *knowledge.paths, *(path for text in texts for path in _SLASHED.findall(text))}
        self.places = frozenset(path for path in listed if _is_clean(path, barred))
        self.digest = digest("vocabulary", common.seal, knowledge.digest)

    @classmethod
    def load(cls, knowledge: Knowledge, file: Path = FILE) -> "Vocabulary":
        """Read the file, and add what the knowledge has.

        Raises:
            VocabularyDamaged: if it is missing or was changed by anything but its own command.
        """
        return cls(CommonWords.read(file), knowledge)


@dataclass(slots=True, frozen=True)
class CommonWords:
    """What the file of the package holds.

    Attributes:
        words: by hand; `common` are those of common English beside them.
        spoken: that are in no list.
        seal: names it all.
    """

    words: frozenset[str]
    common: frozenset[str]
    places: frozenset[str]
    spoken: frozenset[str]
    seal: str

    @classmethod
    def read(cls, file: Path) -> "CommonWords":
        """Read the file.

        Raises:
            VocabularyDamaged: if it is missing or was changed by anything but its own command.
        """
        try:
            first, _, body = file.read_bytes().partition(b"\n")
            if first != seal(body):
                raise ValueError("it was altered")
            parts = orjson.loads(body)
            if parts["schema"] != SCHEMA:
                raise ValueError(f"it is not {SCHEMA}")
            words, common, places, spoken = (
                frozenset(parts[name].split()) for name in ("words", "common", "places", "spoken")
            )
        except OSError as error:
            raise VocabularyDamaged(f"vocabulary {file}: {error.strerror}; install the package again") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise VocabularyDamaged(f"vocabulary {file}: {error}; install the package again") from error
        return cls(words, common, places, spoken, first.decode())


def words_in(text: str) -> Iterator[str]:
    """Give the words of a text of our own, lower case; a name of several words (`NoNewPrivileges`) as each of them."""
    for found in _WORD.finditer(text):
        word = found[0].lower()
        if len(word) > 1:
            yield word


def _is_clean(name: str, barred: set[str]) -> bool:
    """Say whether none of a name's words is one that speaks to a reader."""
    return not any(stem(word) in barred for word in words_in(name))


def _titles(knowledge: Knowledge) -> Iterator[str]:
    for key, topic in knowledge.topics.items():
        yield key
        yield topic.title
    for group in knowledge.synonyms.values():
        yield from group


def _settings(knowledge: Knowledge, texts: Iterable[str]) -> set[str]:
    found = {_PREFIX.sub("", key) for key in (*knowledge.topics, *knowledge.expected) if _PREFIX.match(key)}
    for text in texts:
        found.update(_DOTTED.findall(text), _DIRECTIVE.findall(text))
    return found
