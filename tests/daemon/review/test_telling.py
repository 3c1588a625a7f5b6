"""A verdict takes effect at once, exactly once, whenever the daemon or the writer dies, and through every sink."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.checkpoints import Checkpoints
from daemon.ledger import Ledger
from daemon.ledger.retained import Filter
from daemon.review.telling import Telling
from daemon.review.verdicts import PinnedVerdicts
from daemon.worker import Worker
from pipeline.errors import LedgerError
from pipeline.output.read import read_verdict
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Correction, Draft, Situation, Target
from pipeline.rules.policy import Policy
from tests.daemon.house import SCANS, House
from tests.daemon.ledger.reports import SINK
from tests.daemon.test_worker import Shop
from tests.pipeline.schemas import contract

AT = "2026-11-29T12:00:00Z"


def decide(state: Path, *drafts: Draft) -> None:
    with VerdictLog.open(state / FILE_NAME) as log:
        log.append(drafts, at=AT, author="alice")


def told(house: House) -> list[dict[str, Any]]:
    return [one for one in house.documents() if one["schema"] == "sysscan.verdict/1"]


def on(line: dict[str, Any]) -> Target:
    return Target(line["host"], line["fingerprint"])


def situation(line: dict[str, Any]) -> Situation:
    return Situation(line["class"], line["status"], line["features"], tuple(line["class_candidates"]))


def worst(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return max(lines, key=lambda line: int(line["risk"]["score"]))


def test_a_verdict_supersedes_lines_at_once_and_the_next_scan_is_judged_with_it(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def script(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()
        line = worst(house.findings())
        decide(house.state, Draft("accept", "known", on(line), owner="ops", until="2030-01-01"))
        await house.until(lambda: len(told(house)) == 1, "told")
        (record,) = told(house)
        contract("verdict-1").whole.validate(record)
        (superseded,) = record["findings"]
        assert superseded["fingerprint"] == line["fingerprint"] and line["dedupe_key"] in superseded["dedupe_keys"]
        assert (superseded["status"], superseded["status_before"]) == ("accepted", "open")
        assert (superseded["level"], superseded["level_before"]) == ("info", line["risk"]["level"])
        assert (record["seq"], record["author"], record["reason"]) == (1, "alice", "known")
        # A report of the same host, with other bytes: a scan of its own.
        again = json.loads((SCANS / "web01-ioc.json").read_text())
        again["summary"]["finished_at"] = "2026-11-30T00:00:00Z"
        (house.root / "again.json").write_text(json.dumps(again))
        before = len(house.findings())
        await house.until(lambda: len(house.findings()) == 2 * before, "the second scan")
        await house.quiet()
        later = [one for one in house.findings()[before:] if one["fingerprint"] == line["fingerprint"]]
        assert later and all(one["status"] == "accepted" and one["review"]["seq"] == 1 for one in later)
        assert all(one["provenance"]["verdicts"] == {"seq": 1, "head": record["head"]} for one in later)
        assert house.ledger.fsck() == []

    house.run(script)
    assert len(told(house)) == 1


def test_a_record_says_what_a_finding_was_until_this_verdict_and_not_what_its_line_says(tmp_path: Path) -> None:
    """Whoever follows the records alone sees each finding go from one state to the next, without a gap."""
    house = House(tmp_path)
    steps: list[tuple[str, str, str, str]] = []

    async def script(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()
        line = worst(house.findings())
        accept = Draft("accept", "known", on(line), owner="ops", until="2030-01-01")
        lower = Draft("correct", "a test host", on(line), Correction(level="low"))
        for number, draft in enumerate(
            (lower, accept, Draft("undo", "no", on(line), undoes=2), Draft("undo", "yes", on(line), undoes=3)), 1
        ):
            decide(house.state, draft)
            await house.until(lambda number=number: len(told(house)) == number, "told")  # type: ignore[misc]
        steps.append(("open", line["risk"]["level"], "", ""))
        for record in told(house):
            contract("verdict-1").whole.validate(record)
            (one,) = record["findings"]
            steps.append((one["status"], one["level"], one["status_before"], one["level_before"]))

    house.run(script)
    assert [now for *now, _, _ in steps[1:]] == [
        ["open", "low"],
        ["accepted", "info"],
        ["open", "low"],
        ["accepted", "info"],
    ]
    assert all(tuple(before) == tuple(earlier[:2]) for earlier, (_, _, *before) in pairwise(steps))


def test_a_verdict_on_a_harmless_process_settles_no_miner_of_the_same_program(tmp_path: Path) -> None:
    """A finding about a process is known by its program, and three processes of one program may be three things."""
    house = House(tmp_path)
    report = json.loads((SCANS / "web01-ioc.json").read_text())

    async def script(house: House) -> None:
        # At first only the harmless one is there.
        first = json.loads(json.dumps(report))
        for result in first["results"]:
            result["findings"] = [one for one in result["findings"] if one["id"].split(":")[-1] not in ("512", "513")]
            result["finding_count"] = len(result["findings"])
        (house.root / "first.json").write_text(json.dumps(first))
        await house.until(lambda: house.output.exists() and bool(house.findings()), "the first scan")
        await house.quiet()
        before = house.findings()
        (harmless,) = [one for one in before if "chatbot" in json.dumps(one["finding"])]
        target = Target(harmless["host"], harmless["fingerprint"], situation(harmless))
        decide(house.state, Draft("false_positive", "our chat bot", target))
        await house.until(lambda: len(told(house)) == 1, "told")
        (superseded,) = told(house)[0]["findings"]
        assert superseded["dedupe_keys"] == [harmless["dedupe_key"]] and superseded["status"] == "false_positive"
        report["summary"]["finished_at"] = "2026-11-30T00:00:00Z"
        (house.root / "again.json").write_text(json.dumps(report))
        await house.until(lambda: len(house.findings()) > len(before), "the second scan")
        await house.quiet()
        same = [one for one in house.findings()[len(before) :] if one["fingerprint"] == harmless["fingerprint"]]
        assert {one["analysis"]["situation"]: one["status"] for one in same if one["status"] != "open"} == {
            harmless["analysis"]["situation"]: "false_positive"
        }
        assert max(one["risk"]["score"] for one in same if one["status"] == "open") >= 60
        assert len(house.ledger.reviews.exact(harmless["host"], harmless["fingerprint"])) == len(
            {one["analysis"]["situation"] for one in same}
        )
        assert house.ledger.fsck() == []

    house.run(script)


def test_what_a_record_says_of_a_finding_is_what_its_next_scan_says(tmp_path: Path) -> None:
    """Of every kind of verdict, on findings and situations, undone too: the prediction and the outcome agree."""
    house = House(tmp_path)

    async def script(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()
        lines = sorted(house.findings(), key=lambda line: -int(line["risk"]["score"]))
        at_stake = [line for line in lines if line["status"] == "open"]
        some = list({line["fingerprint"]: line for line in at_stake}.values())
        known = some[5]
        decide(
            house.state,
            Draft("accept", "r", on(some[0]), owner="o", until="2030-01-01"),
            Draft("false_positive", "r", on(some[1])),
            Draft("correct", "r", on(some[2]), Correction(level="low")),
            Draft("correct", "r", Target(None, None, situation(known)), Correction(level="critical")),
            Draft("accept", "r", on(some[4]), owner="o", until="2030-01-01"),
            Draft("undo", "r", on(some[4]), undoes=5),
        )
        await house.until(lambda: len(told(house)) == 6, "told")
        predicted = {
            one["fingerprint"]: (one["status"], one["level"]) for record in told(house) for one in record["findings"]
        }
        again = json.loads((SCANS / "web01-ioc.json").read_text())
        again["summary"]["finished_at"] = "2026-11-30T00:00:00Z"
        (house.root / "again.json").write_text(json.dumps(again))
        await house.until(lambda: len(house.findings()) == 2 * len(lines), "the second scan")
        outcome: dict[str, set[tuple[str, str]]] = {}
        for line in house.findings()[len(lines) :]:
            outcome.setdefault(line["fingerprint"], set()).add((line["status"], line["risk"]["level"]))
        assert len(predicted) >= 5
        for name, said in predicted.items():
            assert said in outcome[name]

    house.run(script)


def test_a_verdict_that_is_given_while_nothing_runs_is_told_at_the_next_start_and_only_once(tmp_path: Path) -> None:
    async def first(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()

    async def idle(house: House) -> None:
        await house.until(lambda: len(told(house)) >= 1, "told")
        await house.quiet()

    house = House(tmp_path)
    house.run(first)
    line = worst(house.findings())
    decide(house.state, Draft("false_positive", "r", on(line)))
    for _ in range(3):
        house.run(idle)
        assert [one["seq"] for one in told(house)] == [1]


@pytest.mark.parametrize("how", ["removed", "cut", "another"])
def test_a_log_that_is_not_the_one_that_was_told_lowers_nothing_and_is_said(tmp_path: Path, how: str) -> None:
    async def first(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()
        line = worst(house.findings())
        decide(house.state, Draft("approve", "r", on(line)), Draft("false_positive", "r", on(line)))
        await house.until(lambda: len(told(house)) == 2, "told")

    house = House(tmp_path)
    house.run(first)
    path = house.state / FILE_NAME
    line = worst(house.findings())
    if how == "cut":
        connection = sqlite3.connect(path)
        connection.execute("DROP TRIGGER none_removed")
        connection.execute("DELETE FROM verdicts WHERE seq = 2")
        connection.commit()
        connection.close()
    else:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if how == "another":
        decide(house.state, *[Draft("false_positive", "forged", on(line))] * 3)

    async def second(house: House) -> None:
        await house.until(lambda: any("audit verify" in one for one in house.statuses()), "said")
        again = json.loads((SCANS / "web01-ioc.json").read_text())
        again["summary"]["finished_at"] = "2026-11-30T00:00:00Z"
        (house.root / "again.json").write_text(json.dumps(again))
        before = len(house.findings())
        await house.until(lambda: len(house.findings()) == 2 * before, "the second scan")
        assert not any("review" in one for one in house.findings()[before:])
        assert len(told(house)) == 2

    house.said.clear()
    house.run(second)


def test_without_verdicts_nothing_is_read_or_written(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()
        assert not (house.state / FILE_NAME).exists()
        assert not any("verdicts" in one["provenance"] for one in house.findings())

    House(tmp_path).run(script)


def test_a_finding_that_is_kept_is_bounded_in_age_and_bytes(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def script(house: House) -> None:
        house.feed("web01-ioc.json")
        await house.quiet()
        store = house.ledger.reviews
        count = house.ledger.status()["findings_for_review"]
        assert count == len({(line["fingerprint"], line["analysis"]["situation"]) for line in house.findings()})
        assert sum(one.lines for one in store.findings(Filter())) == len(house.findings())
        store.keep(90, 40_000)
        while store.prune(5):
            pass
        assert 0 < house.ledger.status()["findings_for_review"] < count
        house.wall += 91 * 86_400
        while store.prune(5):
            pass
        assert house.ledger.status()["findings_for_review"] == 0
        assert house.ledger.database.connection.execute("SELECT count(*) FROM retained_lines").fetchone() == (0,)

    house.run(script)


DAEMON = """
import sys
sys.argv = ["sysscan-agent", "run", "--watch", sys.argv[1], "--state-dir", sys.argv[2]]
from daemon.cli.app import main
main()
"""


@pytest.mark.slow
def test_killed_at_any_moment_every_verdict_is_told_exactly_once_and_in_order(tmp_path: Path) -> None:
    """A real daemon, killed again and again while verdicts come in and scans are worked on."""
    reports, state = tmp_path / "in", tmp_path / "state"
    reports.mkdir()
    environment = {**os.environ, "SYSSCAN_MODEL__ENABLED": "false", "SYSSCAN_ANALYSIS__BATCH_SIZE": "16"}
    report = json.loads((SCANS / "web01-ioc.json").read_text())
    output = state / "findings.ndjson"
    given = 0
    for attempt in range(8):
        report["summary"]["finished_at"] = f"2026-11-30T00:00:{attempt:02d}Z"
        (reports / f"scan-{attempt}.json").write_text(json.dumps(report))
        process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, str(reports), str(state)], env=environment, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not (output.exists() and len(documents(output)) > given) and time.monotonic() < deadline:
            time.sleep(0.02)
        for number in range(4):
            decide(state, Draft("approve", f"{attempt} {number}", Target("web01", f"{number:032x}")))
            given += 1
            time.sleep(0.03 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    command = [sys.executable, "-c", DAEMON.replace('"run", ', '"run", "--once", '), str(reports), str(state)]
    subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=True, timeout=60)
    records = [one for one in documents(output) if one["schema"] == "sysscan.verdict/1"]
    assert [one["seq"] for one in records] == list(range(1, given + 1))
    lines = Counter(one.get("dedupe_key", one.get("scan_id")) for one in documents(output))
    assert max(lines.values()) == 1
    with Ledger.open(state, clock=time.time, read_only=True, exclusive=False) as ledger:
        assert ledger.fsck() == []
        assert ledger.reviews.told().seq == given


def documents(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")]


def test_who_does_not_know_what_was_told_meanwhile_tells_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, clock=lambda: 0.0) as ledger:
        ledger.outbox.register("file:x")
        known, now = ledger.reviews.told(), Head(1, "f" * 64)
        assert ledger.reviews.tell(known, now, [("key", b"a line")])
        assert not ledger.reviews.tell(known, now, [("key", b"a line")])
        assert len(ledger.outbox.pending("file:x", 10)) == 1 and ledger.reviews.told() == now


def test_a_ledger_that_fails_in_the_middle_of_telling_tells_it_later_and_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Ledger.open(state, clock=lambda: 0.0) as ledger:
        decide(state, Draft("approve", "r", Target("h", "0" * 32)), Draft("approve", "s", Target("h", "1" * 32)))
        telling = Telling(ledger, PinnedVerdicts(state / FILE_NAME), Policy)
        ledger.outbox.register("file:x")
        real = ledger.reviews.tell
        failures = iter([True, False, True, True, False])

        def failing(before: Head, head: Head, records: Any) -> bool:
            with ledger.database.write():
                pass
            if next(failures):
                raise LedgerError("full", transient=True)
            return real(before, head, records)

        ledger.reviews.tell = failing  # type: ignore[method-assign]
        told_ = 0
        for _ in range(10):
            try:
                told_ += telling.step()
            except Exception as error:
                assert "full" in str(error)
        rows = ledger.outbox.pending("file:x", 10)
        assert told_ == 2 and [read_verdict(row.line).seq for row in rows] == [1, 2]
        assert {row.kind for row in rows} == {"verdict"}
        telling.close()


def test_a_scan_in_hand_keeps_its_prefix_through_a_crash_and_says_which_it_was(tmp_path: Path) -> None:
    """A verdict that comes between two of its batches goes out between their lines, and counts for the next scan."""
    shop = Shop(tmp_path / "state")
    shop.take_in("web01-ioc.json")
    shop.take_in("web01-unpriv.json")  # closed before the verdict, too
    path = shop.directory / FILE_NAME

    def worker() -> Worker:
        shop.opened.append(Checkpoints(shop.checkpoints))
        return Worker(shop.ledger.work, shop.resources, shop.opened[-1], 16, verdicts=PinnedVerdicts(path))

    first = worker()
    while len(shop.written()) < 32:
        first.step()
    before = [json.loads(line) for line in shop.written()]
    decide(shop.directory, Draft("false_positive", "r", Target(None, None, situation(worst(before)))))
    telling = Telling(shop.ledger, PinnedVerdicts(path), Policy)
    assert telling.step() and not telling.step()
    shop.finish(worker())  # the first one is lost
    shop.take_in("web01-base-default.json")
    shop.finish(worker())
    rows = shop.ledger.outbox.pending(SINK, 100_000)
    kinds = [row.kind for row in rows]
    at = kinds.index("verdict")
    assert kinds.count("verdict") == 1 and kinds[:at] == ["finding"] * len(before) and "finding" in kinds[at:]
    scans: dict[str, set[int]] = {}
    for row in rows:
        if row.kind == "finding":
            line = json.loads(row.line)
            scans.setdefault(line["scan_id"], set()).add(line["provenance"].get("verdicts", {"seq": 0})["seq"])
    assert list(scans.values()) == [{0}, {0}, {1}]
    assert shop.ledger.fsck() == []
    telling.close()
    shop.close()
