"""What comes from a browser, as values: what the list is narrowed to, and what a form decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlencode

from daemon.ledger.retained import Filter
from daemon.review.deciding import Decision
from daemon.review.queue import AT_STAKE
from pipeline.finding import LEVELS
from pipeline.review.verdict import SCOPES, Correction, Kind, Scope

MAX_BODY = 64 << 10
PER_PAGE = 50
_MAX_FIELDS = 400
_MAX_PAGE = 1_000_000
_KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "undo")
_ERRORS: Literal["surrogateescape"] = "surrogateescape"  # a host's name may hold bytes that are not UTF-8

Values = Mapping[str, Sequence[str]]


def parse(text: bytes) -> dict[str, list[str]]:
    """Read a query, or the body of a form.

    Raises:
        ValueError: when it holds too many fields.
    """
    found: dict[str, list[str]] = {}
    pairs = parse_qsl(
        text.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors=_ERRORS, max_num_fields=_MAX_FIELDS
    )
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def one(values: Values, name: str) -> str:
    """Give a field that is there once, without blanks around it; empty where it is missing."""
    given = values.get(name, ())
    return given[0].strip() if given else ""


@dataclass(slots=True, frozen=True)
class Asked:
    """What the list is narrowed to; an empty text is no condition.

    Attributes:
        text: somewhere in the line of a finding, as it is written there.
        all: also what passed, and what is no weakness.
    """

    text: str = ""
    class_: str = ""
    host: str = ""
    level: str = ""
    scanner: str = ""
    all: bool = False

    @classmethod
    def of(cls, values: Values) -> "Asked":
        """Read it from a query or a form."""
        level = one(values, "level")
        return cls(
            text=one(values, "q").encode("utf-8", "replace").decode(),
            class_=one(values, "class"),
            host=one(values, "host"),
            level=level if level in LEVELS else "",
            scanner=one(values, "scanner"),
            all=one(values, "all") == "1",
        )

    @property
    def filter(self) -> Filter:
        """Give it as the commands have it."""
        return Filter(
            self.class_ or None, self.host or None, self.level or None, self.scanner or None,
            () if self.all else AT_STAKE,
        )  # fmt: skip

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Give it as fields of a form, those that are set."""
        given = (
            ("q", self.text), ("class", self.class_), ("host", self.host), ("level", self.level),
            ("scanner", self.scanner), ("all", "1" if self.all else ""),
        )  # fmt: skip
        return [(name, value) for name, value in given if value]


def page_of(values: Values) -> int:
    """Give the number of a page, from 1."""
    given = one(values, "page")
    return min(max(int(given), 1), _MAX_PAGE) if given.isascii() and given.isdigit() else 1


def link(path: str, *parts: Sequence[tuple[str, str]], **more: str | int) -> str:
    """Make the address of a page; what is empty is left out."""
    pairs = [pair for part in parts for pair in part]
    pairs += [(name.rstrip("_"), str(value)) for name, value in more.items() if value not in ("", 0)]
    query = urlencode(pairs, encoding="utf-8", errors=_ERRORS)
    return f"{path}?{query}" if query else path


@dataclass(slots=True, frozen=True)
class Sent:
    """A form that decides, as it was sent.

    Attributes:
        form: its hidden field.
        typed: what it is to be shown with again where it is refused.
    """

    form: str
    scope: Scope | None
    kind: Kind | None
    typed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Values) -> "Sent":
        """Read it from the body of a form."""
        scope, kind = one(values, "scope"), one(values, "kind")
        return cls(
            form=one(values, "form"),
            scope=next((known for known in SCOPES if known == scope), None),
            kind=next((known for known in _KINDS if known == kind), None),
            typed={name: " ".join(one(values, name).split()) for name in FIELDS},
        )

    def decision(self, kind: Kind) -> Decision:
        """Give what it decides; fields that belong to other verdicts do not count."""
        said = self.typed
        correction = None
        if kind == "correct":
            correction = Correction(
                level=next((level for level in LEVELS if level == said["to-level"]), None),
                class_id=said["to-class"] or None,
                action=said["action"] or None,
                controls=tuple(said["control"].split()) or None,
                techniques=tuple(said["technique"].split()) or None,
                assessment=said["assessment"] or None,
                impact=said["impact"] or None,
            )
        accepts = kind == "accept"
        return Decision(
            kind, said["reason"], correction, (said["owner"] or None) if accepts else None,
            said["until"] if accepts else None,
        )  # fmt: skip


FIELDS = (
    "reason", "owner", "until", "to-level", "to-class", "action", "control", "technique", "assessment", "impact",
)  # fmt: skip
NOTHING_TYPED: Mapping[str, str] = dict.fromkeys(FIELDS, "")


def numbers(given: str) -> list[int]:
    """Read the numbers of verdicts: ``7`` or ``7-12``; none where it is neither, or far too many."""
    first, _, last = given.partition("-")
    last = last or first
    if not all(part.isascii() and part.isdigit() and len(part) < 12 for part in (first, last)):
        return []
    return list(range(int(first), int(last) + 1)) if int(last) - int(first) < 10_000 else []
