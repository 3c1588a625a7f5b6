"""The ledger stays small however much there is to do."""

from pathlib import Path

from tests.daemon.house import House


def test_what_is_delivered_goes_while_the_worker_never_rests(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        step = house.worker.step
        house.worker.step = lambda: step() or True  # type: ignore[method-assign]  # as if there were always more
        for name in ("web01-ioc.json", "db02-default.json"):
            house.feed(name)
        await house.until(lambda: house.worker.finished == 2, "two scans")
        await house.until(lambda: house.ledger.status()["outbox_rows"] == 0, "an empty outbox")
        assert len(house.documents()) == house.ledger.status()["outbox_end"]

    House(tmp_path).run(script)
