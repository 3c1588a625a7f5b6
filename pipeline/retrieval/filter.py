"""What is left of a stranger's text: a bag of words of the closed list, known names, and kinds of what was neither.

The order of the words is not kept. A bag says what a finding is about, which is all that it is searched by, and it
cannot tell anybody to do anything.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.retrieval.vocabulary import Vocabulary

MAX_TEXT = 2_000  # characters of one text that are looked at; a description is seldom longer than 200
MAX_CHUNK = 200  # between two blanks; a longer one is no word, and could be made to cost time
MAX_WORDS = 48  # that stand, in the order of the text; then they are sorted

# What may stand for something that is in no list.
KINDS: Final = ("ADDRESS", "HASH", "MODE", "NAME", "NUMBER", "PATH", "SETTING", "UNIT")
MODES: Final = frozenset(
    {
        "0400", "0440", "0600", "0640", "0644", "0660", "0664", "0666", "0700", "0711", "0750", "0755", "0770", "0775",
        "0777", "1777", "2755", "4755", "6755",
    }
)  # fmt: skip

_CHUNK = re.compile(r"\S+")
_TRIM = "\"'`()[]{}<>,;:!?."
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|[^@/]+@[^@/]+\.[^@/]+$", re.IGNORECASE)
_IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d+)?|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:/\d+)?", re.IGNORECASE)
_UNIT = re.compile(r"[A-Za-z0-9@:_.\\-]+\.(?:service|socket|timer|target|mount|automount|path|slice|scope|swap|device)")
_MODE = re.compile(r"0?[0-7]{3,4}")
_RWX = re.compile(r"[-dlbcps]?(?:[r-][w-][xsStT-]){3}")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:%|[a-zA-Z]{1,3})?")
_HASH = re.compile(r"(?:sha\d+:)?[0-9a-f]{12,}", re.IGNORECASE)
_SPLIT = re.compile(r"[^A-Za-z0-9_.\\@-]+")
_PIECES = re.compile(r"[A-Z]+(?![a-z])\d{0,3}|[A-Z]?[a-z]+\d{0,3}|\d+")
_CAMEL = re.compile(r"(?:[A-Z][a-z0-9]+){2,}[A-Z]*|[A-Z]+[a-z]+(?:[A-Z][a-z0-9]*)+|[a-z]+(?:[A-Z][a-z0-9]+)+")
_OF_THE_KERNEL = ("/proc/sys/", "/sys/")
# Words that say nothing of what a finding is about.
_FUNCTION = frozenset(
    {
        "a", "an", "the", "of", "and", "or", "in", "on", "at", "to", "for", "by", "with", "from", "as", "is",
        "are", "was", "were", "be", "been", "it", "its", "this", "that", "these", "those", "has", "have", "had",
        "which", "who", "whom", "whose", "there", "their", "they", "he", "she", "his", "her", "we", "our",
        "you", "your", "my", "me", "no", "not", "nor", "than", "then", "so", "such", "but", "if", "into",
        "onto", "over", "under", "via", "per", "can", "could", "may", "might", "will", "would", "do", "does",
        "did", "any", "all", "some", "one", "each", "other", "also", "set", "yes", "true", "value", "status",
        "found", "detected", "present", "expected", "check", "checked",
    }
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Filtered:
    """What is left of a text; every item is of a closed list, each tuple sorted and without repeats.

    Attributes:
        words: of the vocabulary.
        names: settings, places and modes that are known.
        kinds: of `KINDS`: what else there was.
    """

    words: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words or self.names)

    @property
    def tokens(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.words, *self.names, *self.kinds)


class WordFilter:
    """Holds texts to a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._words = vocabulary.words
        self._subjects = vocabulary.subjects
        self._names = vocabulary.names
        self._places = vocabulary.places

    def filter(self, texts: Iterable[str], label: str = "") -> Filtered:
        """Say what is left of texts, as one bag.

        Args:
            label: a technical id. A single word of it does not count: "test:17" is about no test, and
                "no_empty_passwords" is about passwords.
        """
        words: dict[str, None] = {}
        names: dict[str, None] = {}
        kinds: set[str] = set()
        labelled: dict[str, None] = {}
        labelled_kinds: set[str] = set()
        said = [(text, words, kinds) for text in texts]
        for text, into, others in (*said, (label, labelled, labelled_kinds)):
            for found in _CHUNK.finditer(text[:MAX_TEXT]):
                for kind, token in self._chunk(found[0]):
                    if kind == "word":
                        into.setdefault(token)
                    elif kind == "name":
                        names.setdefault(token)
                    else:
                        others.add(token)
        if len(labelled) > 1:
            words.update(labelled)
            kinds |= labelled_kinds
        return Filtered(
            tuple(sorted(list(words)[:MAX_WORDS])), tuple(sorted(list(names)[:MAX_WORDS])), tuple(sorted(kinds))
        )

    def known_names(self) -> tuple[str, ...]:
        """List the settings and places that stand as they are."""
        return tuple(sorted((*self._names.values(), *self._places)))

    def telling(self, filtered: Filtered) -> tuple[str, ...]:
        """Give what a model is shown of a bag: without words of common English, which could be put to any use."""
        return (*(word for word in filtered.words if word in self._subjects), *filtered.names, *filtered.kinds)

    def filter_ours(self, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Give the words and names of texts of our own, with repeats."""
        for text in texts:
            for found in _CHUNK.finditer(text):
                yield from self._chunk(found[0])

    def _chunk(self, chunk: str) -> Iterator[tuple[str, str]]:
        """Give what is left of what stands between two blanks."""
        bare = chunk.strip(_TRIM)
        if not bare:
            return
        if not bare.isascii() or not bare.isprintable() or len(bare) > MAX_CHUNK:
            # Letters that look like others, signs that hide, what no word is as long as: not what it seems.
            yield "kind", "NAME"
        elif _URL.match(bare) or _IP.fullmatch(bare):
            yield "kind", "ADDRESS"
        elif "=" in bare:
            for part in bare.split("="):
                yield from self._chunk(part)
        elif bare.startswith(("/", "~/", "./")):
            yield from self._place(bare)
        elif ":" in bare:
            for part in bare.split(":"):
                yield from self._chunk(part)
        else:
            yield from self._plain(bare)

    def _place(self, path: str) -> Iterator[tuple[str, str]]:
        """Give the longest beginning of a path that is known, and what the last parts of the kernel's own names say."""
        whole = path.rstrip("/") or "/"
        setting = self._names.get(whole.removeprefix("/proc/sys/").replace("/", ".").lower())
        if whole.startswith("/proc/sys/") and setting is not None:
            yield "name", setting
            return
        known = whole
        while known and known not in self._places:
            known = known.rpartition("/")[0]
        if known:
            yield "name", known
        if known == whole:
            return
        yield "kind", "PATH"
        if not whole.startswith(_OF_THE_KERNEL):
            return  # somebody chose these names
        for part in whole[len(known) :].split("/")[-3:]:
            for kind, token in self._identifier(part):
                if kind != "kind":
                    yield kind, token

    def _plain(self, bare: str) -> Iterator[tuple[str, str]]:
        if _RWX.fullmatch(bare):
            yield "kind", "MODE"
        elif _MODE.fullmatch(bare) and bare.zfill(4) in MODES:
            yield "name", bare.zfill(4)
        elif _MODE.fullmatch(bare) and bare[0] == "0" and len(bare) > 2:
            yield "kind", "MODE"
        elif _NUMBER.fullmatch(bare):
            yield "kind", "NUMBER"
        elif _HASH.fullmatch(bare):
            yield "kind", "HASH"
        elif _UNIT.fullmatch(bare):
            yield "kind", "UNIT"  # whose finding it is, not what about
        else:
            for part in _SPLIT.split(bare):
                yield from self._identifier(part.strip("._-@\\"))

    def _identifier(self, part: str) -> Iterator[tuple[str, str]]:
        """Give a word, a name that is known, or the known words that a longer name is made of."""
        if not part:
            return
        known = self._names.get(part.lower())
        if known is not None:
            yield "name", known
            return
        if part.lower() in self._words:
            if part.lower() not in _FUNCTION:
                yield "word", part.lower()
            return
        pieces = [piece.lower() for piece in _PIECES.findall(part)]
        if len(pieces) > 1 and (_CAMEL.fullmatch(part) or any(sign in part for sign in "_.-")):
            yield "kind", "SETTING"
            for piece in pieces:
                if piece in self._words and piece not in _FUNCTION:
                    yield "word", piece
        elif part.lower().removesuffix("s") in self._words:
            yield "word", part.lower().removesuffix("s")
        else:
            yield "kind", "NAME" if not part.isdigit() else "NUMBER"
