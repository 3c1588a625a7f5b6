"""Open files, of which there are only so many."""

import errno
import os
from collections import OrderedDict

from daemon.sources.directory.identity import NotRegular, open_regular
from daemon.sources.directory.tracked import Tracked


class Exhausted(Exception):
    """Raised when no descriptor is to be had; what is left waits for the next sweep."""


class DescriptorPool:
    """Keeps files open so that what is unlinked can still be read, and closes the longest unused when it must.

    A file that is gone is never closed to make room: it could not be opened again. Nor is one that is being taken in,
    which may be gone by the time that it has to be read once more.
    """

    def __init__(self, max_open: int) -> None:
        self._max = max_open
        self._open: OrderedDict[int, Tracked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, file: Tracked) -> int:
        """Give the file's descriptor, opening it if need be.

        Raises:
            Exhausted: when the process has none left.
            NotRegular: when the name stands for something else by now.
            OSError: when it is gone or may not be read.
        """
        if file.descriptor is not None:
            self._open.move_to_end(file.descriptor)
            return file.descriptor
        while len(self._open) >= self._max and self._close_one():
            pass
        while True:
            try:
                descriptor = open_regular(file.target)
                break
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    raise
                if not self._close_one():
                    raise Exhausted from error
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != file.key:
            os.close(descriptor)
            raise NotRegular(file.target)  # another file has taken the name; the next listing will say so
        file.descriptor = descriptor
        self._open[descriptor] = file
        return descriptor

    def close(self, file: Tracked) -> None:
        if file.descriptor is not None:
            del self._open[file.descriptor]
            os.close(file.descriptor)
            file.descriptor = None

    def close_idle(self) -> bool:
        """Make room for another part of the program; returns False when nothing could be closed."""
        return self._close_one()

    def close_all(self) -> None:
        for file in list(self._open.values()):
            self.close(file)

    def _close_one(self) -> bool:
        for file in self._open.values():
            if file.gone_at is None and not file.taken:
                self.close(file)
                return True
        return False
