"""Opens files that were found, and says which of them cannot be read."""

from collections.abc import Callable

from daemon.sources.directory.descriptors import DescriptorPool
from daemon.sources.directory.identity import NotRegular, opened_path
from daemon.sources.directory.lineage import Lineage
from daemon.sources.directory.reading import Reader
from daemon.sources.directory.tracked import SweepResult, Tracked
from daemon.sources.directory.tree import Tree
from pipeline.shortage import is_shortage


class Opener:
    """Gives descriptors out of the pool; what may not be read is refused once, and read as soon as it may be."""

    def __init__(
        self, pool: DescriptorPool, tree: Tree, lineage: Lineage, reader: Reader, blocked: Callable[[], bool]
    ) -> None:
        """`blocked` says that the ledger takes nothing more just now, not even a refusal."""
        self._pool = pool
        self._tree = tree
        self._lineage = lineage
        self._reader = reader
        self._blocked = blocked

    def open(self, file: Tracked, result: SweepResult) -> int | None:
        """Open a file, if it can be.

        Raises:
            Exhausted: when there is no descriptor left.
        """
        try:
            descriptor = self._pool.open(file)
        except (NotRegular, FileNotFoundError, NotADirectoryError):
            result.again = True  # replaced since the listing
            return None
        except OSError as error:
            if is_shortage(error):
                result.again = True
                return None
            file.retry_at = None
            file.drained = False
            result.unreadable = (*result.unreadable, file.path)
            if not file.unreadable and not self._blocked():
                self._lineage.recognise_unopened(file)
                self.refuse(file, f"{error.strerror}; it is read as soon as that is possible", result)
            return None
        file.unreadable = False
        real = opened_path(descriptor)
        if real is not None and file.gone_at is None and not self._tree.inside(real):
            # A directory on the way was replaced by a link since the listing.
            self._pool.close(file)
            result.again = True
            return None
        return descriptor

    def refuse(self, file: Tracked, detail: str, result: SweepResult) -> None:
        """Say that a file cannot be read, once."""
        if not file.unreadable:
            self._reader.refuse(file, "unreadable", detail, result)
            file.unreadable = True
