"""What was rotated out of the way of a new file, and so comes before it."""

from collections.abc import Generator, Iterable

from daemon.sources.directory.content import Content, begins
from daemon.sources.directory.lineage import Lineage
from daemon.sources.directory.names import rotation, unrotated
from daemon.sources.directory.opening import Opener
from daemon.sources.directory.tracked import SweepResult, Tracked


class Predecessors:
    """Knows the rotated files by the name that they had."""

    def __init__(self, lineage: Lineage, opener: Opener) -> None:
        self._lineage = lineage
        self._opener = opener
        self._files: Iterable[Tracked] = ()
        self._rotated: dict[str, list[Tracked]] | None = None  # made when it is needed

    def among(self, files: Iterable[Tracked]) -> None:
        """Look for them among these from now on."""
        self._files = files
        self._rotated = None

    def of(self, file: Tracked, result: SweepResult) -> Generator[None, None, tuple[int, ...]]:
        """Give the inputs that a new file comes after: those of the files that were rotated out of its way before it.

        There are none where the newest of them is a copy of it, made before it was truncated, or without that; nor
        where it is the compressed form of one that is there.
        """
        stem = unrotated(file.path)
        found = [other for other in self._of_name(stem) if other is not file and other.state is not None]
        if stem != file.path:
            if any(file.path.startswith(f"{other.path}.") for other in found):
                return ()
            found = [other for other in found if _is_older(other, file)]
        elif found:
            newest = found[0]
            for other in found:
                if _is_older(newest, other):
                    newest = other
            descriptors = self._opener.open(newest, result), self._opener.open(file, result)
            if descriptors[0] is not None and descriptors[1] is not None:
                old, new = self._lineage.content(newest, descriptors[0]), Content(descriptors[1])
                if old is not None and old.size() and (yield from begins(old, new)):
                    return ()
        return tuple(other.state.input_id for other in found if other.state is not None)

    def _of_name(self, stem: str) -> list[Tracked]:
        if self._rotated is None:
            self._rotated = {}
            for other in self._files:
                name = unrotated(other.path)
                if name != other.path:
                    self._rotated.setdefault(name, []).append(other)
        return self._rotated.get(stem, [])


def _is_older(one: Tracked, other: Tracked) -> bool:
    """Say whether a rotated file is older than another of its name."""
    numbers = rotation(one.path), rotation(other.path)
    return numbers[0] > numbers[1] if all(numbers) else one.order < other.order
