"""What a saved line of a finding comes to with the verdicts that stand beside it in the output."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.display import printable
from pipeline.errors import RecordError
from pipeline.finding import Level, Status
from pipeline.output.latest import ToldVerdicts
from pipeline.output.read import read_verdict
from pipeline.output.records import EnrichedFinding, VerdictRecord

_MARK = b'"sysscan.verdict/1"'


@dataclass(slots=True, frozen=True)
class Now:
    """A finding as it is since a verdict that came after its line.

    Attributes:
        verdict: the number of the one that counts; None where one was taken back.
        by: who gave it.
    """

    status: Status
    level: Level
    verdict: int | None
    by: str | None

    def told(self) -> str:
        """Say it in a sentence."""
        state = f"{self.status.replace('_', ' ')}, {self.level}"
        if self.verdict is None:
            return f"Since this line a verdict was taken back: it is {state} now."
        return f"Since this line verdict {self.verdict} was given by {printable(self.by or '')}: it is {state} now."


def now_of(line: EnrichedFinding, output: Iterable[bytes]) -> Now | None:
    """Say what a finding is now; None where its line still says so.

    Args: `output`: the lines of all records that stand where the finding's does.

    Raises:
        RecordError: where they have verdicts of different logs.
    """
    records: list[VerdictRecord] = []
    for one in output:
        if _MARK in one:
            try:
                records.append(read_verdict(one))
            except RecordError:  # still being written, or a finding that speaks of such records
                continue
    told = ToldVerdicts(records)
    now = told.latest(line)
    if now is line or (now.status, now.risk.level, now.review) == (line.status, line.risk.level, line.review):
        return None
    review = now.review
    seq, by = (None, None) if review is None else (review.seq, review.author)
    return Now(now.status, now.risk.level, seq, by)
