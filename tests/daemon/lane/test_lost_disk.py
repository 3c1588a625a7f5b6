"""A disk that is lost between two scans of one report: what is delivered of it is known without the ledger.

None of these reports carries a time, so read again, a scan is told from news by its place in the topic alone.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.lane import source, transaction
from daemon.sources import documents
from tests.daemon.lane.made import untimed
from tests.daemon.lane.memory_broker import Cluster, Killed, MemoryClient
from tests.daemon.lane.test_lanes import abandon, seen
from tests.daemon.lane.test_large import halves, many, with_parser

REPORTS = 8


def one_document(cluster: Cluster) -> None:
    cluster.produce(0, b"web01", untimed("web01", REPORTS))


def document_in_parts(cluster: Cluster) -> None:
    for part, headers in halves(untimed("web01", REPORTS)):
        cluster.produce(0, b"web01", part, headers=headers)


def lines_in_parts(cluster: Cluster) -> None:
    for part, headers in halves(many("lines", REPORTS)):
        cluster.produce(0, b"lines", part, headers=headers)


@pytest.fixture(params=["at once", "in steps"])
def _steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "ROWS", 1)  # each scan is delivered alone
    if request.param == "in steps":
        monkeypatch.setattr(source, "_STEP_BYTES", 1_000)
        monkeypatch.setattr(source, "_STEP_LINES", 2)
        monkeypatch.setattr(documents, "_STORED_ROWS", 6)


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize("fill", [one_document, document_in_parts, lines_in_parts])
def test_a_disk_lost_between_two_scans_of_one_report_doubles_none(
    fill: Callable[[Cluster], None], tmp_path: Path
) -> None:
    quiet, disturbed = Cluster(), Cluster()
    fill(quiet)
    with_parser(tmp_path / "quiet", MemoryClient(quiet))
    expected = seen(quiet)
    [scans] = [len(lines) for (topic, _, _), lines in expected.items() if topic == "sysscan.scans"]
    assert scans == REPORTS
    fill(disturbed)
    lost = 0
    for life in range(20):
        client = MemoryClient(disturbed)
        client.fail = _after_a_scan(disturbed)
        try:
            with_parser(tmp_path / str(life), client)  # each life has a new disk
            break
        except Killed:
            lost += 1
            abandon(tmp_path)
    assert lost >= REPORTS - 1, "there was a disk lost between any two of them"
    assert seen(disturbed) == expected
    assert disturbed.committed[0][0] == disturbed.end(0)


def _after_a_scan(cluster: Cluster) -> Callable[[str], None]:
    """End the process as soon as one more scan is delivered, unless it was the last one."""

    def records() -> int:
        return sum(one.topic == "sysscan.scans" for _, one in cluster.sent)

    before = records()

    def fail(step: str) -> None:
        if step == "commit" and before < records() < REPORTS:
            raise Killed(step)

    return fail
