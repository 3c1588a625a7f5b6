"""What is kept for reviews: a row for each situation that lines of a finding are in, as the latest scan saw it."""

from dataclasses import replace
from pathlib import Path

from daemon.ledger import Ledger
from daemon.ports.work import Reviewable
from tests.daemon.ledger.reports import SINK, admit, open_ledger, report
from tests.daemon.ledger.test_faults import reviewable


def scan_with(ledger: Ledger, number: int, *seen: Reviewable) -> None:
    admit(ledger, report("a", digest=str(number)), path=f"/w/{number}.json")
    closed = ledger.work.next_scan()
    assert closed is not None
    (batch,) = ledger.work.plan(closed.scan_no, 1)
    ledger.work.commit_batch(batch, [(f"k{number}", "low", True, b"a")], seen)
    ledger.work.finish_scan(closed, b"r", [], [], "p")


def test_a_later_scan_leaves_no_row_of_a_situation_that_it_does_not_see(tmp_path: Path) -> None:
    one, other = reviewable(1), replace(reviewable(1), situation="f" * 32)
    with open_ledger(tmp_path) as ledger:
        ledger.outbox.register(SINK)
        scan_with(ledger, 1, one, reviewable(2))
        host = ledger.reviews.find(one.fingerprint)[0].host
        scan_with(ledger, 2, one, other)
        assert {row.situation for row in ledger.reviews.exact(host, one.fingerprint)} == {one.situation, "f" * 32}
        scan_with(ledger, 3, other)
        assert [row.situation for row in ledger.reviews.exact(host, one.fingerprint)] == ["f" * 32]
        assert len(ledger.reviews.exact(host, reviewable(2).fingerprint)) == 1  # it was not seen, and says nothing
        assert ledger.fsck() == []
