"""What the commands say of a log of verdicts that is not what was written, or lies where nothing can be written."""

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from pipeline.review.log import FILE_NAME
from tests.daemon.cli.invoke import COMMAND, ROOT
from tests.daemon.cli.test_review import Place, place, scanned

__all__ = ["place", "scanned"]  # fixtures

LARGE = "9" * 23


def first(place: Place) -> str:
    name: str = place.json("review", "list", "--json", "--limit", "1")[0]["situation"]
    return name


def names(place: Place) -> list[Path]:
    return [place.state / (FILE_NAME + suffix) for suffix in ("", "-wal", "-shm")]


def lose_the_end(place: Place) -> None:
    """Put an older copy in the place of a log of which the daemon has told all."""
    key = first(place)
    for _ in range(2):
        place.json("review", "approve", key, "--yes")
    with sqlite3.connect(place.state / FILE_NAME) as source, sqlite3.connect(place.state / "old.db") as target:
        source.backup(target)
    source.close()
    target.close()
    place.json("review", "approve", key, "--yes")
    place.scan()
    for path in names(place):
        path.unlink(missing_ok=True)
    shutil.copy(place.state / "old.db", place.state / FILE_NAME)


def test_nothing_is_added_to_a_log_whose_end_is_missing_and_none_of_it_is_said_to_count(place: Place) -> None:
    lose_the_end(place)
    for arguments in (("approve", first(place)), ("undo", "1")):
        ended = place.run("review", *arguments, "--yes")
        assert ended.code == 3 and ended.out == ""
        assert "ends at verdict 2, and the ledger has seen 3; nothing was stored. Restore" in ended.err
    ended = place.run("review", "history", "--json")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [(row["seq"], row["state"]) for row in rows] == [(2, "no effect"), (1, "no effect")]
    assert "no verdict counts" in ended.err
    (status,) = place.json("ledger", "status", "--json")
    assert "ends at verdict 2" in status["verdicts"]


def test_what_no_verdict_settles_any_more_is_to_be_reviewed_again_and_exported_as_open(place: Place) -> None:
    queue = place.json("review", "list", "--json", "--limit", "0")
    key = queue[0]["situation"]
    accept = ("--until", "2030-01-01", "--reason", "known", "--yes")
    for entry in queue[:2]:
        place.json("review", "accept", entry["situation"], *accept)
    place.scan_again()
    whole = place.run("export", "--format", "csv")
    assert whole.code == 0 and whole.out.count('"accepted"') >= 2
    with sqlite3.connect(place.state / FILE_NAME) as log:
        log.execute("DROP TRIGGER none_removed")
        log.execute("DELETE FROM verdicts WHERE seq = 2")
    log.close()
    listed = place.run("review", "list", "--json", "--limit", "0")
    assert json.loads(listed.out.partition("\n")[0])["situation"] == key
    for form in ("csv", "sarif", "markdown"):
        ended = place.run("export", "--format", form)
        assert ended.code == 1 and "no verdict counts" in ended.err, ended.err
        assert form == "csv" or "No verdict of a reviewer counts here" in ended.out
        assert '"accepted"' not in ended.out and '"suppressions"' not in ended.out


def test_no_new_log_is_begun_where_one_is_missing(place: Place) -> None:
    lose_the_end(place)
    for path in names(place):
        path.unlink(missing_ok=True)
    ended = place.run("review", "approve", "--level", "high", "--yes")
    assert ended.code == 3 and "is missing" in ended.err
    assert not (place.state / FILE_NAME).exists()
    assert "is missing" in place.json("ledger", "status", "--json")[0]["verdicts"]


def test_a_log_that_is_whole_is_not_complained_of(place: Place) -> None:
    place.json("review", "approve", first(place), "--yes")
    place.scan()
    place.json("review", "approve", "--level", "high", "--yes")
    assert place.run("review", "history").err == ""
    assert "verdicts" not in place.json("ledger", "status", "--json")[0]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("INSERT INTO verdicts SELECT 0, body, hash FROM verdicts WHERE seq = 1", "row 0: not written by this"),
        ("INSERT INTO verdicts SELECT -5, body, hash FROM verdicts WHERE seq = 1", "row -5: not written by this"),
        ("DROP TRIGGER only_added", "trigger only_added: missing"),
        ("CREATE TABLE more (x)", "table more: not made by this program"),
        ("CREATE INDEX verdicts_hash ON verdicts (hash)", "index verdicts_hash: not made by this program"),
        ("ALTER TABLE verdicts ADD COLUMN more TEXT", "table verdicts: not as this program made it"),
    ],
)
def test_verify_names_what_is_not_of_this_program(place: Place, statement: str, says: str) -> None:
    place.json("review", "approve", first(place), "--yes")
    assert place.json("audit", "verify", "--json")[0]["problems"] == []
    with sqlite3.connect(place.state / FILE_NAME) as connection:
        connection.execute(statement)
    connection.close()
    (checked,) = place.json("audit", "verify", "--json", code=3)
    assert [one.startswith(says) for one in checked["problems"]] == [True], checked["problems"]


def test_a_number_of_any_size_is_one_line(place: Place) -> None:
    place.json("review", "approve", first(place), "--yes")
    for arguments in (
        ("review", "undo", LARGE, "--yes"), ("review", "history", "--limit", LARGE),
        ("ledger", "quarantine", "show", LARGE), ("ledger", "aside", "retry", LARGE),
    ):  # fmt: skip
        ended = place.run(*arguments)
        assert ended.code == 2 and "Traceback" not in ended.err


def test_what_is_undone_is_not_undone_again(place: Place) -> None:
    place.json("review", "approve", first(place), "--yes")
    place.json("review", "undo", "1", "--yes")
    ended = place.run("review", "undo", "1", "--yes")
    assert ended.code == 2 and "is undone already, by verdict 2" in ended.err
    place.json("review", "undo", "2", "--yes")
    assert [one["state"] for one in place.json("review", "history", "--json")] == ["counts", "undone", "counts"]


def test_everywhere_and_a_host_contradict_each_other(place: Place) -> None:
    ended = place.run("review", "approve", first(place), "--everywhere", "--host", "web01", "--yes")
    assert ended.code == 2 and "contradict" in ended.err
    assert place.json("review", "history", "--json") == []


READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77
shift
exec "$@"
"""


def on_read_only(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    attempts = [["--mount"]] if not os.geteuid() else [["--user", "--map-root-user", "--mount"]]
    ended = subprocess.run(
        ["unshare", *attempts[0], "sh", "-c", READ_ONLY, "sh", str(directory), *COMMAND, *arguments],
        env={**os.environ, "SYSSCAN_STATE_DIR": str(directory), "SYSSCAN_MODEL__ENABLED": "false"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode == 77 or ended.stderr.startswith("unshare: "):
        pytest.skip(f"needs namespaces for mounts: {ended.stderr.strip()}")
    return ended


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_state_directory_on_read_only_media_can_be_looked_at_and_verified(place: Place) -> None:
    place.json("review", "approve", first(place), "--yes")
    place.scan()
    expected = place.run("review", "list", "--json").out
    for arguments in (("review", "list"), ("review", "history"), ("audit", "verify"), ("audit", "export")):
        ended = on_read_only(place.state, *arguments)
        assert ended.returncode == 0 and ended.stdout, ended.stderr
        assert arguments != ("review", "list") or ended.stdout == expected
    ended = on_read_only(place.state, "review", "approve", "--level", "high", "--yes")
    assert ended.returncode == 3 and "read-only" in ended.stderr.lower()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_what_lies_beside_a_log_on_read_only_media_is_not_left_out(place: Place, tmp_path: Path) -> None:
    place.json("review", "approve", first(place), "--yes")
    copy = tmp_path / "media"
    connection = sqlite3.connect(place.state / FILE_NAME)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("INSERT INTO verdicts SELECT 0, body, hash FROM verdicts WHERE seq = 1")
    connection.commit()
    shutil.copytree(place.state, copy)
    connection.close()
    assert (copy / f"{FILE_NAME}-wal").stat().st_size
    ended = on_read_only(copy, "audit", "verify")
    assert ended.returncode == 3 and "row 0" in ended.stdout  # which only the file beside it has
    (copy / f"{FILE_NAME}-shm").unlink()
    ended = on_read_only(copy, "audit", "verify")
    assert ended.returncode == 3 and ("row 0" in ended.stdout or "copy" in ended.stderr)
