"""Finds the first of many entries that select a finding, without trying each.

An entry is filed under the most telling of its fixed parts: the beginning of a fingerprint, else a whole slot value,
class or host, else what stands before the first wildcard of one. A finding looks under its own values; only what lies
there is tried.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from pipeline.finding import Classified

_WILDCARD = re.compile(r"[*?]")
_FINGERPRINT = 8  # characters that every prefix has at least
_Key = tuple[str, str]


class _Selects(Protocol):
    @property
    def class_(self) -> str | None: ...
    @property
    def fingerprint(self) -> str | None: ...
    @property
    def host(self) -> str | None: ...
    @property
    def slots(self) -> Mapping[str, str]: ...
    def selects(self, host: str, finding: Classified) -> bool: ...


Entry = TypeVar("Entry", bound=_Selects)


class Selectors(Generic[Entry]):
    """Entries in their order, filed. `tried` counts how many were tried in all."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._exact: dict[_Key, list[int]] = {}
        self._begun: dict[_Key, list[int]] = {}
        self._lengths: dict[str, set[int]] = {}
        self._others: list[int] = []
        self.tried = 0
        for number, entry in enumerate(entries):
            self._file(number, entry)

    def first(
        self, host: str, finding: Classified, holds: Callable[[Entry], bool] = lambda entry: True
    ) -> Entry | None:
        """Return the first entry that `holds` and selects the finding: the same as trying all of them in order."""
        numbers = [*self._others]
        for kind, value in self._values(host, finding):
            numbers += self._exact.get((kind, value), ())
            for length in self._lengths.get(kind, ()):
                if length <= len(value):
                    numbers += self._begun.get((kind, value[:length]), ())
        for number in sorted(numbers):
            entry = self._entries[number]
            self.tried += 1
            if holds(entry) and entry.selects(host, finding):
                return entry
        return None

    def _file(self, number: int, entry: Entry) -> None:
        if entry.fingerprint is not None:
            self._exact.setdefault(("fingerprint", entry.fingerprint[:_FINGERPRINT]), []).append(number)
            return
        patterns = [(f"slot {name}", pattern) for name, pattern in entry.slots.items()]
        patterns += [("class", entry.class_)] if entry.class_ is not None else []
        patterns += [("host", entry.host)] if entry.host is not None else []
        whole = next((pair for pair in patterns if not _WILDCARD.search(pair[1])), None)
        begun = [(kind, _WILDCARD.split(pattern, maxsplit=1)[0]) for kind, pattern in patterns]
        kind, beginning = max(begun, key=lambda pair: (len(pair[1]), pair), default=("", ""))
        # A class may be shared by thousands of entries that differ in a path, so what is longer tells more.
        if whole is not None and (whole[0].startswith("slot ") or len(whole[1]) >= len(beginning)):
            self._exact.setdefault(whole, []).append(number)
        elif beginning:
            self._begun.setdefault((kind, beginning), []).append(number)
            self._lengths.setdefault(kind, set()).add(len(beginning))
        else:
            self._others.append(number)

    @staticmethod
    def _values(host: str, finding: Classified) -> Iterator[_Key]:
        yield "fingerprint", finding.fingerprint[:_FINGERPRINT]
        yield "class", finding.class_id
        yield "host", host
        for name, value in finding.slots.items():
            yield f"slot {name}", value
