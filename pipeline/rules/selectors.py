"""Finds the first of many entries that select a finding, without trying each.

An entry is filed under the rarest of its fixed parts: the beginning of a fingerprint, a whole slot value, class, host,
or what stands before the first wildcard of one. A finding looks under its own values; only what lies there is tried.
"""

import re
from collections import Counter
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
        keys = [_keys(entry) for entry in entries]
        common = Counter(key for several in keys for key in several)
        for number, several in enumerate(keys):
            if not several:
                self._others.append(number)
                continue
            exact, kind, value = min(several, key=lambda key: (common[key], key))
            if exact:
                self._exact.setdefault((kind, value), []).append(number)
            else:
                self._begun.setdefault((kind, value), []).append(number)
                self._lengths.setdefault(kind, set()).add(len(value))

    def first(
        self, host: str, finding: Classified, holds: Callable[[Entry], bool] = lambda entry: True
    ) -> Entry | None:
        """Return the first entry that `holds` and selects the finding: the same as trying all of them in order."""
        if not self._entries:
            return None
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

    @staticmethod
    def _values(host: str, finding: Classified) -> Iterator[_Key]:
        yield "fingerprint", finding.fingerprint[:_FINGERPRINT]
        yield "class", finding.class_id
        yield "host", host
        for name, value in finding.slots.items():
            yield f"slot {name}", value


def _keys(entry: _Selects) -> list[tuple[bool, str, str]]:
    """List what an entry may be filed under: whether the value is a whole one, its kind, and the value."""
    found = [(True, "fingerprint", entry.fingerprint[:_FINGERPRINT])] if entry.fingerprint is not None else []
    patterns = [(f"slot {name}", pattern) for name, pattern in entry.slots.items()]
    patterns += [("class", entry.class_)] if entry.class_ is not None else []
    patterns += [("host", entry.host)] if entry.host is not None else []
    for kind, pattern in patterns:
        beginning = _WILDCARD.split(pattern, maxsplit=1)[0]
        if beginning == pattern or beginning:
            found.append((beginning == pattern, kind, beginning))
    return found
