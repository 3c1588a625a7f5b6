"""What of a feed cannot be used, counted: a feed is other people's data, and never stops anybody."""

from dataclasses import dataclass

_MAX_REASONS = 50  # of one file; what a file says must not decide how much is kept about it
_OTHER = "for other reasons"


@dataclass(slots=True, frozen=True)
class Skipped:
    """Entries of one file that are not used for one reason.

    Attributes:
        first: line or object of the first of them; empty where the whole file is meant.
        used: all the same, without the part that is wrong.
    """

    file: str
    reason: str
    count: int
    first: str
    used: bool = False

    def __str__(self) -> str:
        place = f" (first: {self.first})" if self.first else ""
        if self.used:
            return f"{self.file}: {self.count} used in part: {self.reason}{place}"
        return (
            f"{self.file}: {self.count} not used: {self.reason}{place}" if self.first else f"{self.file}: {self.reason}"
        )


class SkipLog:
    """Counts what is not used by file and reason, and remembers the first of each."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, bool], int] = {}
        self._first: dict[tuple[str, str, bool], str] = {}
        self._reasons: dict[str, int] = {}

    def add(self, file: str, place: str, reason: str, *, used: bool = False) -> None:
        """Count one entry; `place` is its line or object."""
        key = (file, reason, used)
        if key not in self._counts:
            if self._reasons.get(file, 0) >= _MAX_REASONS:
                key = (file, _OTHER, used)
            self._reasons[file] = self._reasons.get(file, 0) + 1
            self._first.setdefault(key, place)
        self._counts[key] = self._counts.get(key, 0) + 1

    def entries(self) -> tuple[Skipped, ...]:
        """Give what was counted, in the order of files and reasons."""
        return tuple(
            Skipped(file, reason, self._counts[file, reason, used], self._first[file, reason, used], used)
            for file, reason, used in sorted(self._counts)
        )
