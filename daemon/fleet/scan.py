"""What the view needs of a scan record, read from a record of Kafka that may hold anything."""

import functools
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import msgspec
import orjson

from pipeline.display import printable
from pipeline.finding import LEVELS, Level

SCHEMA = "sysscan.scan/1"
MAX_ISSUES = 500  # of one scan; they come worst first
_MAX_HOST = 255  # characters; what a host name may have
_MAX_TEXT = 200
_MAX_FEATURES = 10  # of one issue; a class has one or two that tell its issues apart
_MOST = 2**53
_LEVELS: Mapping[str, Level] = {level: level for level in LEVELS}
_KNOWN_BY_TITLE = frozenset({"unknown", "ambiguous"})  # the classes that say nothing of what it is begin with these

Reason = Literal[
    "empty",  # a record without a value
    "not_json",
    "not_a_scan",  # of another schema, such as a finding where both go to one topic
    "newer_format",  # a scan record of a version that this program does not know
    "malformed",  # a key is missing or has another type
    "no_host",  # nobody knows which host it is about
    "key_differs",  # the key of the record names another host: nobody speaks for another
    "failed",  # a fault of this program
]
REASONS: tuple[Reason, ...] = (
    "empty", "not_json", "not_a_scan", "newer_format", "malformed", "no_host", "key_differs", "failed",
)  # fmt: skip


class Unusable(Exception):
    """Raised where a record says nothing to the view; it stays in its topic."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(slots=True, frozen=True)
class Place:
    """Where a record stands, and when it was written there.

    Attributes:
        written: the record's timestamp, in milliseconds since 1970.
    """

    partition: int
    offset: int
    written: int


class Issue(
    msgspec.Struct, frozen=True
):  # of which a scan may have hundreds: a dataclass takes ten times as long to make
    """Findings of one kind on a host, as one.

    Attributes:
        id: the same in every scan of the host.
        situation: the same on every host that has it.
        split: the features that tell it from others of its class, for people.
        label: one thing of the host that it is about.
        first: what to do first, or empty.
        fresh: it was not there before, or not open.
    """

    id: str
    situation: str
    class_: str
    title: str
    split: str
    status: str
    level: Level
    score: int
    things: int
    label: str
    first: str
    fresh: bool


@dataclass(slots=True, frozen=True)
class Scan:
    """One scan of one host.

    Attributes:
        scope: what it covered; scans of different scopes do not replace each other.
        at: when it ended, in milliseconds since 1970, and never later than it was written to the topic.
        counts: different findings at stake, by level.
        issues: the worst first.
    """

    host: str
    scan_id: str
    scope: str
    at: int
    place: Place
    complete: bool
    counts: Mapping[Level, int]
    issues: tuple[Issue, ...]

    @property
    def order(self) -> tuple[int, str]:
        """Give what decides which of two scans is newer, wherever and however often they stand in the topic."""
        return self.at, self.scan_id


def read_scan(key: bytes | None, value: bytes | None, place: Place) -> Scan:
    """Read a record.

    Raises:
        Unusable: with a reason from a closed list.
    """
    if not value:
        raise Unusable("empty")
    try:
        record = _DECODER.decode(value)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise _refusal(value, error) from error
    if record.schema != SCHEMA:
        raise _refusal(value)
    host = record.host
    if not host or len(host) > _MAX_HOST or record.host_source == "unknown":
        raise Unusable("no_host", f"host {printable(host, 60)}")
    if key is not None and key != host.encode("utf-8", "surrogatepass"):
        raise Unusable(
            "key_differs", f"key {printable(key[:60].decode('utf-8', 'replace'))}, host {printable(host, 60)}"
        )
    counts = record.counts.level
    return Scan(
        host=host,
        scan_id=record.scan_id[:_MAX_TEXT],
        scope=record.profile or "",
        at=min(_time(record.as_of), place.written),
        place=place,
        complete=record.complete,
        counts={level: counts[level] for level in LEVELS if level in counts},
        issues=tuple([_issue(one) for one in record.issues[:MAX_ISSUES]]),
    )


def _refusal(value: bytes, refused: Exception | None = None) -> Unusable:
    """Say why a record was refused; only then is all of it read."""
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return Unusable("not_json", str(error))
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        newer = isinstance(schema, str) and schema.startswith("sysscan.scan/")
        return Unusable("newer_format" if newer else "not_a_scan", f"schema {printable(str(schema), 60)}")
    return Unusable("malformed", printable(str(refused), 120))


def read_counts(levels: object) -> Mapping[Level, int]:
    """Read numbers by level; levels that are not there have none.

    Raises:
        Unusable: if they are none.
    """
    if not isinstance(levels, dict):
        raise Unusable("malformed", "counts.level is no object")
    return {level: number(levels, level) for level in LEVELS if level in levels}


def text(record: Mapping[str, Any], name: str) -> str:
    """Give a text.

    Raises:
        Unusable: if there is none.
    """
    value = record.get(name)
    if not isinstance(value, str):
        raise Unusable("malformed", f"{name} is no text")
    return value


def number(record: Mapping[str, Any], name: str, least: int = 0, most: int = _MOST) -> int:
    """Give a whole number.

    Raises:
        Unusable: if there is none, or it is out of range.
    """
    value = record.get(name)
    if type(value) is not int or not least <= value <= most:
        raise Unusable("malformed", f"{name} is no number from {least} to {most}")
    return value


def level_of(record: Mapping[str, Any]) -> Level:
    """Give the level.

    Raises:
        Unusable: if there is none.
    """
    found = text(record, "level")
    if found not in LEVELS:
        raise Unusable("malformed", f"level {printable(found, 20)}")
    return cast(Level, sys.intern(found))


def _time(written: str) -> int:
    try:
        at = datetime.fromisoformat(written)
    except ValueError as error:
        raise Unusable("malformed", f"as_of {printable(written, 40)} is no time") from error
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _issue(record: "_Issue") -> Issue:
    # What most issues share is put into words once.
    features = sorted(record.split.items())[:_MAX_FEATURES] if len(record.split) > 1 else record.split.items()
    words = _words(
        record.class_[:_MAX_TEXT], record.status[:_MAX_TEXT], record.title[:_MAX_TEXT],
        tuple([(feature[:_MAX_TEXT], value[:_MAX_TEXT]) for feature, value in features]),
    )  # fmt: skip
    first, baseline = record.do_first, record.baseline
    return Issue(
        record.id[:_MAX_TEXT], words.situation, words.class_, words.title, words.split, words.status,
        _LEVELS[record.level], record.score, record.distinct, record.labels[0][:_MAX_TEXT] if record.labels else "",
        first.summary[:_MAX_TEXT] if first is not None else "",
        baseline is not None and ("new" in baseline or "regressed" in baseline),
    )  # fmt: skip


# What is read of a record; all else, most of it, is passed over without being made anything of.

_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class _First(msgspec.Struct):
    summary: str = ""


class _Issue(msgspec.Struct, rename={"class_": "class"}):
    id: str
    class_: str
    status: str
    title: str
    split: dict[str, str]
    level: Level
    score: Annotated[int, msgspec.Meta(ge=0, le=100)]
    distinct: _Count
    labels: list[str] = []
    do_first: _First | None = None
    baseline: dict[str, Any] | None = None


class _Counts(msgspec.Struct):
    level: dict[str, _Count]


class _Record(msgspec.Struct):
    schema: str
    host: str
    scan_id: str
    as_of: str
    counts: _Counts
    issues: list[_Issue]
    host_source: str = ""
    profile: str | None = None
    complete: bool = False


_DECODER = msgspec.json.Decoder(_Record)


@dataclass(slots=True, frozen=True)
class _Words:
    """What issues of many hosts have in common."""

    situation: str
    class_: str
    status: str
    title: str
    split: str


@functools.lru_cache(maxsize=1024)  # what is kept is cut, so that hostile texts do not fill the memory
def _words(class_: str, status: str, title: str, features: tuple[tuple[str, str], ...]) -> _Words:
    split = ", ".join(f"{name}: {value}" for name, value in features)[:_MAX_TEXT]
    situation = situation_of(class_, status, features, title)
    return _Words(situation, class_, status, title, split)


def situation_of(class_: str, status: str, features: Sequence[tuple[str, str]], title: str) -> str:
    """Name what is alike on all hosts that have it: class, status and features, and no name of any host.

    Findings of no known class are alike where their titles are.
    """
    words = title if class_.partition(".")[0] in _KNOWN_BY_TITLE else ""
    alike = orjson.dumps([class_, status, [list(one) for one in features], words])
    return hashlib.sha256(alike).hexdigest()[:16]
