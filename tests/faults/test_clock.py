"""F29: the wall clock jumps; only what has no time of its own shows it."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

import daemon.service
from tests.daemon.house import House
from tests.pipeline.sessions import report

REPORTS = ("db02-drift-1.json", "micro-default.ndjson", "db02-drift-2.json", "web01-ioc.json")
YEAR_S = 365 * 86400.0


@pytest.mark.parametrize("jumps", [(0.0, 0.0, 0.0, 0.0), (20 * YEAR_S, -30 * YEAR_S, 1.0, 40 * YEAR_S)])
def test_f29_jumps_of_the_clock_change_neither_order_nor_content(
    tmp_path: Path, jumps: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon.service, "_HEARTBEAT_S", 0.01)

    async def script(house: House) -> None:
        for number, (name, jump) in enumerate(zip(REPORTS, jumps, strict=True)):
            house.wall += jump
            house.feed(name)
            await house.until(lambda number=number: len(house.ledger.inputs.files()) > number)  # type: ignore[misc]
            await house.quiet()

    house = House(tmp_path)
    with capture_logs():
        house.run(script)
    findings = house.findings()
    expected = [finding.id for name in REPORTS for finding in report(name).findings]
    assert [one["finding"]["id"] for one in findings] == expected
    drift = [one for one in findings if one["host"] == "db02"]
    assert {one["baseline"]["state"] for one in drift[: len(report(REPORTS[0]).findings)]} == {"new"}
    assert "recurring" in {one["baseline"]["state"] for one in drift}
    for name in ("db02-drift-1.json", "web01-ioc.json"):
        header = report(name).header
        assert header.finished_at in {one["as_of"] for one in findings}
