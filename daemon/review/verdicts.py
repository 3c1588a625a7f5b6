"""The log of verdicts as the daemon reads it: up to a number for a scan, and what is new for everybody."""

from pathlib import Path

from daemon.log import get_logger
from pipeline.errors import LedgerError
from pipeline.review.chain import Head
from pipeline.review.log import NotBegun, VerdictLog
from pipeline.review.standing import NONE, Standing
from pipeline.review.verdict import Verdict

logger = get_logger(__name__)


class PinnedVerdicts:
    """Reads the log beside those who write it.

    A log that is damaged, cut off or replaced lowers nothing: a scan that was pinned to what it no longer shows is
    judged without verdicts, and `problem` says so.

    Attributes:
        problem: what is wrong with the log, or None.
    """

    def __init__(self, path: Path, *, copied_from: str | None = None) -> None:
        """Args: `copied_from`: what the file is a copy of, which may be lost and made anew while we read: what was read
        of it stays.
        """
        self._path = path
        self._log: VerdictLog | None = None
        self._file: tuple[int, int] | None = None
        self._changes: int | None = None
        self._read: list[Verdict] = []
        self._heads: list[Head] = [Head()]
        self._standing = NONE
        self.problem: str | None = None
        self._unread = False  # it could not be read just now
        self._is_copy = copied_from is not None
        self._advice = (
            "See `sysscan-agent audit verify`, and restore a backup"
            if copied_from is None
            else f"It is a copy of {copied_from}, and is read anew"
        )

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._log.close()
        self._log = None

    def at(self, pinned: Head) -> Standing:
        """Give the verdicts up to a number; none where the log does not show them as they were."""
        if not pinned.seq:
            return NONE
        if self._standing.head == pinned:
            return self._standing
        self.refresh()
        if pinned.seq >= len(self._heads) or self._heads[pinned.seq] != pinned:
            self._complain(
                f"{self._path}: does not hold verdict {pinned.seq} as it was; nothing is lowered by it. {self._advice}"
            )
            return NONE
        self._standing = Standing(self._read[: pinned.seq], pinned)
        return self._standing

    def new(self, told: Head) -> tuple[list[Verdict], list[Head]] | None:
        """Give the verdicts behind `told`, and where the log is behind each of them; None where nothing was written
        since this was last asked, or the log is not to be trusted."""
        changed = self.refresh()
        if self._unread or (not changed and told.seq < len(self._heads)):
            return None
        if told.seq >= len(self._heads) or (told.seq and self._heads[told.seq] != told):
            self._complain(
                f"{self._path}: does not hold the verdict {told.seq} that was told; no verdict takes effect. "
                f"{self._advice}"
            )
            return None
        return self._read[told.seq :], self._heads[told.seq + 1 :]

    def upto(self, seq: int) -> Standing:
        """Give what counts of the first verdicts that were read."""
        return Standing(self._read[:seq], self._heads[seq])

    def verdict(self, seq: int) -> Verdict:
        """Give a verdict that was read."""
        return self._read[seq - 1]

    def forget(self) -> None:
        """Have the next `refresh` say that there is something new."""
        self._changes = None

    def refresh(self) -> bool:
        """Read what was added; returns whether something was, or may have been. Nearly free where nothing was."""
        self._unread = False
        try:
            if not self._open():
                return False
            assert self._log is not None
            changes = self._log.changes()
            if changes == self._changes:
                return False
            for verdict, head in self._log.verdicts(self._heads[-1]):
                self._read.append(verdict)
                self._heads.append(head)
            self._changes = changes
            self.problem = None
        except LedgerError as error:
            self._unread = True
            if not error.transient:
                self._complain(str(error))
            return False
        return True

    def _open(self) -> bool:
        """Open the file that bears the name now; says whether there is one."""
        try:
            status = self._path.stat()
        except OSError:
            self.close()
            self._file = None
            return False
        if self._log is None or self._file != (status.st_dev, status.st_ino):
            self.close()
            if not self._is_copy:
                self._read, self._heads, self._standing = [], [Head()], NONE
            self._changes = None
            if not status.st_size:
                return False
            try:
                self._log = VerdictLog.open(self._path, read_only=True)
            except NotBegun:  # somebody makes it just now
                return False
            self._file = status.st_dev, status.st_ino
        return True

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            logger.error("verdicts.damaged", reason=problem)
        self.problem = problem
