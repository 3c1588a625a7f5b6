"""The log of verdicts where workers share one: what is decided goes to a topic, and the file here is a copy of that."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from daemon.lane.verdict_copy import damage_of, put_aside
from pipeline.errors import LedgerError, SinkError
from pipeline.review.chain import Head, Row
from pipeline.review.log import LogMoved, VerdictLog, chained
from pipeline.review.verdict import Draft, Verdict, decode


class VerdictWriting(Protocol):
    """The topic of verdicts, for whoever decides. Every call raises `SinkError` where it is not to be had."""

    @property
    def strange(self) -> str | None:
        """Say in a line what of the topic is no verdict, as far as it was read; None where all are."""

    def rows(self) -> Sequence[Row]:
        """Read all that is there."""

    def append(self, make: Callable[[Head], Sequence[Row]]) -> Sequence[Row]:
        """Add rows behind the last one, all of them or none; returns all that are there then.

        Args:
            make: gives them, behind where the log goes; it may be called again where somebody else was quicker.
        """

    def stop(self) -> None:
        """Have the call under way give up, with `StoppedDeciding`, what it has not sent yet; from any thread."""

    def close(self) -> None:
        """Disconnect."""


class StoppedDeciding(SinkError):
    """Raised when adding was given up before anything was sent: nothing was decided."""


class SharedLog(VerdictLog):
    """The copy in a state directory. What is added to it is added to the topic first."""

    writer: VerdictWriting

    @classmethod
    def of(cls, path: Path, writer: VerdictWriting, tell: Callable[[str], None] = lambda _: None) -> "SharedLog":
        """Open the copy, and bring it up to date.

        Args: `tell`: is told, in a line, where it was damaged and is made anew.

        Raises:
            LedgerError: when it cannot be used, or is none of the topic.
            SinkError: when the topic cannot be read.
        """
        rows = writer.rows()
        damage = damage_of(path)
        if damage is not None:
            tell(f"{path}: {damage}; it was moved to {put_aside(path)}, and is made anew from the topic")
        log = cls.open(path)
        assert isinstance(log, SharedLog)
        log.writer = writer
        try:
            log._catch_up(rows)
        except BaseException:
            log.close()
            raise
        return log

    def stop(self) -> None:
        """Give up what is being added, if it is not sent yet."""
        self.writer.stop()

    def append(self, drafts: Sequence[Draft], *, at: str, author: str, behind: Head | None = None) -> list[Verdict]:
        """Add verdicts behind the last one, all of them or none; returns them with their numbers.

        Args:
            behind: where the log has to end, for who decides by what it says; None is wherever it ends.

        Raises:
            LogMoved: when it does not end there any more; the copy has caught up then.
            LedgerError: when an undo names a verdict that is not there, or the copy cannot be written.
            SinkError: when nothing was decided, or that is not known; the message says which.
        """
        begun = Head()

        def make(head: Head) -> list[Row]:
            nonlocal begun
            begun = head
            if behind is not None and head != behind:
                raise LogMoved(f"{self.path}: verdict {head.seq} was given meanwhile")
            return [row for _, row in chained(head, drafts, at=at, author=author)]

        try:
            rows = self.writer.append(make)
        except LogMoved:
            self._catch_up(self.writer.rows())
            raise
        self._catch_up(rows)
        return [decode(row.body) for row in rows[begun.seq : begun.seq + len(drafts)]]

    def _catch_up(self, rows: Sequence[Row]) -> None:
        self.reopen_if_replaced()  # a worker beside us may have read it anew
        here = self.head()
        if here.seq > len(rows):
            raise LedgerError(
                f"{self.path}: has verdicts up to {here.seq}, and the topic only up to {len(rows)}; see `sysscan-agent "
                "kafka verdicts`"
            )
        if here.seq and rows[here.seq - 1].hash != here.hash:
            raise LedgerError(f"{self.path}: its verdict {here.seq} is not that of the topic; move the file away")
        if here.seq < len(rows):
            self.copy(rows[here.seq :])  # at once: lanes beside us read it, and must not see a part
