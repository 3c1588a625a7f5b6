"""`audit give-up`: going on with a log of verdicts whose newer copy is lost for good, said by a person and noted."""

import fcntl
import json
import os
import sqlite3
from pathlib import Path

import pytest

from pipeline.review.log import FILE_NAME
from tests.daemon.cli.test_review import Place, place, scanned
from tests.daemon.cli.test_review_log import first, lose_the_end, names

__all__ = ["place", "scanned"]  # fixtures

WHY = "the disk with the backup has failed"


def give_up(place: Place, after: int, code: int = 0) -> str:
    ended = place.run("audit", "give-up", "--after", str(after), "--reason", WHY)
    assert ended.code == code, ended.err
    return str(ended.out if code == 0 else ended.err)


def test_it_goes_on_and_what_was_given_up_stays_in_the_audit(place: Place, tmp_path: Path) -> None:
    lose_the_end(place)
    said = json.loads(give_up(place, 2))
    assert (said["first"], said["last"], said["reason"]) == (3, 3, WHY)
    (checked,) = place.json("audit", "verify", "--json")
    assert checked["problems"] == [] and checked["verdicts"] == 2
    (sentence,) = checked["given_up"]
    assert sentence.startswith("verdict 3 was given up by ") and sentence.endswith(f": {WHY}")
    assert "verdicts" not in place.json("ledger", "status", "--json")[0]
    out = tmp_path / "audit.ndjson"
    assert place.run("audit", "export", "--output", str(out)).code == 0
    (end,) = [json.loads(line) for line in out.read_text().splitlines()[-1:]]
    assert [(one["first"], one["last"], one["reason"]) for one in end["given_up"]] == [(3, 3, WHY)]


def test_a_verdict_that_is_given_then_has_the_lost_number_and_takes_effect_once(place: Place) -> None:
    lose_the_end(place)
    give_up(place, 2)
    key = first(place)
    (verdict,) = place.json("review", "accept", key, "--until", "2030-01-01", "--reason", "known", "--yes")
    assert verdict["seq"] == 3
    place.scan()
    place.scan()
    told = [one for one in place.documents() if one["schema"] == "sysscan.verdict/1"]
    assert [(one["seq"], one["verdict"]) for one in told] == [
        (1, "approve"), (2, "approve"), (3, "approve"), (3, "accept"),
    ]  # fmt: skip
    place.scan_again()
    assert {one["status"] for one in place.documents()[-400:] if one.get("review", {}).get("seq") == 3} >= {"accepted"}
    assert place.json("audit", "verify", "--json")[0]["problems"] == []
    # The lost verdict 3 and the one of today have one number: the ledger says what counts, the saved lines cannot.
    assert place.run("export", "--format", "csv").code == 0
    ended = place.run("export", str(place.state / "findings.ndjson"), "--format", "csv")
    assert ended.code != 0 and "put back to an older copy" in ended.err


def test_lines_that_were_judged_with_what_was_given_up_are_exported_and_explained_without_it(place: Place) -> None:
    key = first(place)
    (place.state / "old.db").unlink(missing_ok=True)
    place.json("review", "approve", key, "--yes")
    with sqlite3.connect(place.state / FILE_NAME) as source, sqlite3.connect(place.state / "old.db") as target:
        source.backup(target)
    source.close()
    target.close()
    place.json("review", "accept", key, "--until", "2030-01-01", "--reason", "known", "--yes")
    place.scan_again()
    accepted = [one for one in place.documents() if one.get("review", {}).get("verdict") == "accept"]
    assert accepted and '"accepted"' in place.run("export", "--format", "csv").out
    for path in names(place):
        path.unlink(missing_ok=True)
    (place.state / "old.db").rename(place.state / FILE_NAME)
    give_up(place, 1)
    exported = place.run("export", "--format", "csv")
    assert exported.code == 0 and '"accepted"' not in exported.out
    explain = ("explain", accepted[-1]["dedupe_key"], "--from", str(place.state / "findings.ndjson"))
    place.json("review", "false-positive", key, "--reason", "checked", "--yes")  # another verdict 2
    trail = json.loads(place.run(*explain, "--format", "json").out)["explained"]["trail"]
    assert trail["verdict"] is None and "verdict 2 is not in the log" in trail["missing"]


def test_a_log_of_which_nothing_is_left_begins_anew(place: Place) -> None:
    lose_the_end(place)
    for path in names(place):
        path.unlink(missing_ok=True)
    give_up(place, 0)
    assert place.json("review", "approve", first(place), "--yes")[0]["seq"] == 1
    assert place.json("audit", "verify", "--json")[0]["given_up"][0].startswith("verdicts 1 to 3 were given up")


def test_nothing_is_given_up_without_need_or_by_mistake(place: Place) -> None:
    place.json("review", "approve", first(place), "--yes")
    place.scan()
    assert "nothing is missing" in give_up(place, 1, code=2)
    lose_the_end(place)
    assert "ends at verdict 3, not at 7" in give_up(place, 7, code=2)
    assert place.run("audit", "give-up", "--after", "3", "--reason", " ").code == 2
    assert place.run("audit", "give-up", "--after", "3").code == 2
    assert place.json("audit", "verify", "--json", code=3)[0]["given_up"] == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE verdicts SET body = CAST(replace(body, 'approve', 'correct') AS BLOB)",
        "DELETE FROM verdicts WHERE seq = 1",
    ],
)
def test_for_a_log_that_was_touched_nothing_is_given_up(place: Place, statement: str) -> None:
    lose_the_end(place)
    with sqlite3.connect(place.state / FILE_NAME) as log:
        guards = log.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            log.execute(f"DROP TRIGGER {name}")
        log.execute(statement)
        for _, made in guards:
            log.execute(made)
    log.close()
    assert "nothing is given up for it" in give_up(place, 2, code=2)


def test_it_is_for_whoever_has_the_ledger_alone(place: Place) -> None:
    lose_the_end(place)
    descriptor = os.open(place.state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "owns this state directory" in give_up(place, 2, code=3)
    finally:
        os.close(descriptor)
    give_up(place, 2)
