"""The ledger stays small however much there is to do."""

from pathlib import Path

import pytest

import daemon.shard
from tests.daemon.house import House
from tests.daemon.ledger.reports import scan


def test_what_is_delivered_goes_while_the_worker_never_rests(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        step = house.worker.step
        house.worker.step = lambda: step() or True  # type: ignore[method-assign]  # as if there were always more
        for name in ("web01-ioc.json", "db02-default.json"):
            house.feed(name)
        await house.until(lambda: house.worker.finished == 2, "two scans")
        await house.until(lambda: house.ledger.status()["outbox_rows"] == 0, "an empty outbox")
        rows = [one for one in house.documents() if one["schema"] != "sysscan.issue/1"]
        assert len(rows) == house.ledger.status()["outbox_end"]

    House(tmp_path).run(script)


def test_a_scan_that_is_still_being_written_holds_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon.shard, "MAX_BACKLOG", 3)

    async def script(house: House) -> None:
        (house.root / "burst.ndjson").write_bytes(b"".join(line + b"\n" for line in scan(*"abcdef", emitted=99)))
        await house.until(lambda: house.ledger.waiting().findings == 6, "the beginning of a scan")
        house.feed("web01-ioc.json")
        await house.until(lambda: house.worker.finished == 1, "another scan")
        assert house.ledger.waiting().findings == 6

    House(tmp_path).run(script)
