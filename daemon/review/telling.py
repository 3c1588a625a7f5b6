"""Tells of verdicts at once: each becomes a record in the outbox, exactly once, whatever crashes.

Which verdicts are told stands in the ledger and moves in the transaction that puts their records there.
"""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.ledger import Ledger
from daemon.ledger.retained import Filter
from daemon.log import get_logger
from daemon.review.verdicts import PinnedVerdicts
from pipeline.errors import RecordError
from pipeline.output.read import read_finding
from pipeline.output.superseding import MOST, OutAlready, Reach, verdict_record
from pipeline.output.write import write
from pipeline.review.chain import Head
from pipeline.review.standing import NONE
from pipeline.review.verdict import Verdict
from pipeline.rules.policy import Policy

logger = get_logger(__name__)


@dataclass(slots=True, frozen=True)
class Share:
    """What one of several ledgers tells of, each of which has hosts of its own.

    Every verdict is told of by one of them, whatever is kept there, and by others only if it reaches a finding that is
    kept with them: so none is left out, and nothing is said twice.

    Attributes:
        name: tells it from the others.
        is_home: says whether it is this one that tells of verdicts on a host (None: on all hosts) in any case.
    """

    name: str
    is_home: Callable[[str | None], bool]


class Telling:
    """Puts the records of new verdicts into the outbox of one ledger."""

    def __init__(
        self, ledger: Ledger, verdicts: PinnedVerdicts, policy: Callable[[], Policy], share: Share | None = None
    ) -> None:
        """Args:
        policy: gives the one in force, which may be another one after a reload.
        share: what this ledger tells of; None is everything.
        """
        self._ledger = ledger
        self._verdicts = verdicts
        self._policy = policy
        self._share = share
        self._waiting: list[tuple[Verdict, Head]] = []
        self._told: Head | None = None
        self._counts = NONE  # behind the verdict that was told last: to make it takes time with every verdict given

    @property
    def problem(self) -> str | None:
        """What keeps verdicts from taking effect, for people."""
        return self._verdicts.problem

    def close(self) -> None:
        """Close the log."""
        self._verdicts.close()

    def step(self) -> bool:
        """Tell of the next verdict; returns whether there was one. Nearly free where there is none.

        Raises:
            LedgerError: when the ledger takes nothing just now; the same verdict comes next.
        """
        store = self._ledger.reviews
        if self._told is None:
            self._told = store.told()
        if not self._waiting:
            new = self._verdicts.new(self._told)
            if not new or not new[0]:
                return False
            self._waiting = list(zip(*new, strict=True))
        verdict, head = self._waiting[0]
        line = self._record(verdict, head)
        if not store.tell(self._told, head, [line] if line is not None else []):
            self._told, self._waiting = None, []
            self._verdicts.forget()
            return True
        self._told = head
        self._waiting.pop(0)
        if line is not None:
            logger.info(
                "verdict.told", seq=verdict.seq, verdict=verdict.kind, author=verdict.author, scope=verdict.target.scope
            )
        return True

    def _record(self, verdict: Verdict, head: Head) -> tuple[str, bytes] | None:
        """Make the record of a verdict; None where it is for others to tell of."""
        store = self._ledger.reviews
        about = verdict
        while about.undoes is not None:  # an undo of an undo is about what the first was about
            about = self._verdicts.verdict(about.undoes)
        target = about.target
        covered: dict[str, None] = {}
        if target.situation is not None:
            known = store.situations(target.situation.class_id)
            covered = {name: None for name, one in known.items() if target.situation.covers(one)}
        if target.fingerprint is not None:
            same = store.exact(target.host or "", target.fingerprint)
            rows = [row for row in same if target.situation is None or row.situation in covered]
        else:
            rows = store.findings(Filter(host=target.host), covered, MOST)
        if target.fingerprint is not None:
            reach = Reach(len(rows), sum(row.lines for row in rows), len({row.host for row in rows}))
        else:
            findings, total, hosts, _ = store.reach(covered, target.host)
            reach = Reach(findings, total, len(hosts), tuple(covered))
        share, of = self._share, ""
        if share is not None and not share.is_home(target.host):
            if not reach.findings:
                return None
            of = share.name
        out: list[OutAlready] = []
        lines = store.lines([row.row for row in rows])
        for row in rows:
            situation = store.situation(row.situation)
            if situation is None or row.row not in lines:
                continue
            try:
                out.append(OutAlready(read_finding(lines[row.row]), situation, row.keys))
            except RecordError as error:
                logger.warning("verdict.line_unreadable", fingerprint=row.fingerprint, reason=str(error))
        before = self._counts if self._counts.head == self._told else self._verdicts.upto(verdict.seq - 1)
        self._counts = self._verdicts.upto(verdict.seq)
        record = verdict_record(verdict, about, head, before, self._counts, out, reach, self._policy(), of)
        return record.dedupe_key, write(record)
