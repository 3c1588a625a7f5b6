"""`review` and `audit` as people and programs call them: on keys, situations and filters, with hostile names."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.review.audit import sign
from pipeline.errors import ConfigError
from pipeline.review.log import FILE_NAME, VerdictLog
from tests.daemon.cli.invoke import REPORT, Ended, in_a_process, on_a_terminal

Cli = Callable[..., Ended]
HOSTILE = "\x1b]0;owned\x07\u202e[bold]/tmp/x[/bold]"


def take_in(directory: Path) -> None:
    """Run the daemon, which is a process of its own, on the reports below a directory."""
    settings = {"SYSSCAN_STATE_DIR": str(directory / "state"), "SYSSCAN_MODEL__ENABLED": "false"}
    ended = in_a_process("run", "--once", "-w", str(directory / "in"), **settings)
    assert ended.code == 0, ended.err


class Place:
    """A state directory with one scan of a host, whose paths are hostile."""

    def __init__(self, directory: Path, cli: Cli) -> None:
        self.state = directory / "state"
        self.reports = directory / "in"
        self.run = cli

    def json(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        ended = self.run(*arguments)
        assert ended.code == code, ended.err
        return [json.loads(line) for line in ended.out.splitlines()]

    def scan(self) -> None:
        take_in(self.state.parent)

    def scan_again(self) -> None:
        """Take in a later scan of the same host."""
        report = json.loads((self.reports / "web01.json").read_text())
        number = len(list(self.reports.iterdir()))
        report["summary"]["finished_at"] = f"2026-11-30T00:00:{number:02d}Z"
        (self.reports / f"again-{number}.json").write_text(json.dumps(report))
        self.scan()

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.state / "findings.ndjson").read_bytes().splitlines()]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scanned")
    (directory / "in").mkdir()
    text = json.dumps(json.loads(REPORT.read_text())).replace("/usr/local/bin/updater", json.dumps(HOSTILE)[1:-1])
    (directory / "in" / "web01.json").write_text(text)
    take_in(directory)
    return directory


@pytest.fixture
def place(scanned: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(shutil.copytree(scanned, tmp_path / "copy"), cli)
    monkeypatch.setenv("SYSSCAN_STATE_DIR", str(made.state))
    monkeypatch.setenv("SYSSCAN_MODEL__ENABLED", "false")
    return made


def test_the_queue_is_worst_first_and_what_is_decided_leaves_it_and_comes_back(place: Place) -> None:
    queue = place.json("review", "list", "--json", "--limit", "0")
    scores = [entry["score"] for entry in queue]
    assert scores == sorted(scores, reverse=True) and len(queue) > 10
    lines = [line for line in place.documents() if line["schema"] == "sysscan.enriched/1" and line["status"] == "open"]
    assert sum(entry["lines"] for entry in queue) == len(lines)
    first = queue[0]
    (verdict,) = place.json(
        "review", "accept", first["situation"][:12], "--until", "2030-01-01", "--owner", "ops", "--reason", "known",
        "--yes", "--json",
    )  # fmt: skip
    assert (verdict["seq"], verdict["owner"], verdict["host"]) == (1, "ops", "web01")
    assert place.json("review", "list", "--json", "--limit", "0") == queue[1:]
    place.scan()
    (record,) = [one for one in place.documents() if one["schema"] == "sysscan.verdict/1"]
    assert (record["affected"], record["lines"]) == (first["findings"], first["lines"])
    (shown,) = place.json("review", "show", first["worst"]["fingerprint"], "--json")
    assert shown["verdict"]["seq"] == 1 and [one["state"] for one in shown["history"]] == ["counts"]
    (undo,) = place.json("review", "undo", "1", "--reason", "no", "--yes", "--json")
    assert undo["undoes"] == 1
    assert place.json("review", "list", "--json", "--limit", "0") == queue
    states = [(one["seq"], one["state"]) for one in place.json("review", "history", "--json")]
    assert states == [(2, "counts"), (1, "undone")]


def test_filters_keys_and_scopes_name_what_is_meant(place: Place) -> None:
    queue = place.json("review", "list", "--json", "--limit", "0")
    high = place.json("review", "list", "--json", "--level", "high")
    assert [one["situation"] for one in high] == [one["situation"] for one in queue if one["score"] >= 60]
    assert place.json("review", "list", "--json", "--host", "db02", code=4) == []
    some = place.json("review", "list", "--json", "--class", "ioc.suspicious_*")
    assert some and all(one["class"].startswith("ioc.suspicious_") for one in some)
    assert place.json("review", "list", "--json", "--scanner", "ioc", "--limit", "1")[0]["scanner"] == "ioc"
    given = place.json(
        "review", "false-positive", "--class", "ioc.suspicious_*", "--reason", "a test host", "--yes", "--json"
    )
    assert len(given) == len(some) and all(one["host"] == "web01" and "fingerprint" not in one for one in given)
    assert not place.json("review", "list", "--json", "--class", "ioc.suspicious_*")
    fingerprint = queue[0]["worst"]["fingerprint"]
    (alone,) = place.json("review", "approve", fingerprint, "--yes", "--json")
    assert alone["fingerprint"] == fingerprint
    (here,) = place.json("review", "approve", fingerprint, "--situation", "--yes", "--json")
    assert here["situation"]["class"] == queue[0]["class"] and here["host"] == "web01"
    (everywhere,) = place.json(
        "review", "correct", fingerprint, "--everywhere", "--to-level", "low", "--reason", "r", "--yes", "--json"
    )
    assert "host" not in everywhere and everywhere["correction"] == {"level": "low"}
    case = alone["case"]
    assert case["said"]["level"] == queue[0]["level"] and HOSTILE not in json.dumps(case, ensure_ascii=False)
    assert "updater" not in json.dumps(case) and "web01" not in json.dumps(case)


def test_to_approve_keeps_what_was_corrected_and_opens_nothing_that_was_settled(place: Place) -> None:
    first, second = place.json("review", "list", "--json", "--limit", "2")
    key, other = first["worst"]["fingerprint"], second["worst"]["fingerprint"]
    place.json("review", "correct", key, "--situation", "--to-level", "low", "--reason", "r", "--yes")
    (approved,) = place.json("review", "approve", key, "--yes", "--json")
    assert "correction" not in approved and approved["fingerprint"] == key
    (shown,) = place.json("review", "show", key, "--json")
    assert (shown["verdict"]["seq"], shown["verdict"]["correction"]) == (2, {"level": "low"})
    place.json("review", "accept", other, "--everywhere", "--until", "2030-01-01", "--reason", "r", "--yes")
    ended = place.run("review", "approve", other, "--yes")
    assert ended.code == 2 and "verdict 3 has settled it" in ended.err and "undo" in ended.err


def test_to_undo_a_correction_takes_it_back_whatever_was_approved_since(place: Place) -> None:
    (first,) = place.json("review", "list", "--json", "--limit", "1")
    name = first["worst"]["fingerprint"]

    def level() -> tuple[str, str]:
        place.scan_again()
        line = next(one for one in reversed(place.documents()) if one.get("fingerprint") == name and "risk" in one)
        return line["risk"]["level"], next(
            (one["why"] for one in line["risk"]["factors"] if one["name"] == "review"), ""
        )

    place.json("review", "correct", name, "--situation", "--to-level", "low", "--reason", "wrong host", "--yes")
    place.json("review", "approve", name, "--situation", "--yes")
    place.json("review", "approve", name, "--yes")
    assert level()[0] == "low" and "(verdict 1)" in level()[1]
    states = [(one["seq"], one["state"]) for one in place.json("review", "history", "--json")]
    assert states == [(3, "counts"), (2, "counts"), (1, "counts")]
    place.json("review", "undo", "1", "--yes")
    place.scan()
    undo = [one for one in place.documents() if one["schema"] == "sysscan.verdict/1"][-1]
    assert undo["undoes"] == 1 and {one["level"] for one in undo["findings"]} == {first["level"]}
    assert level() == (first["level"], "")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("review",), 2, "needs a terminal"),
        (("review", "approve"), 2, "give a key, or a filter"),
        (("review", "approve", "KEY"), 2, "--yes"),
        (("review", "accept", "KEY", "--reason", "r", "--yes"), 2, "--until"),
        (("review", "accept", "KEY", "--reason", "r", "--until", "soon", "--yes"), 2, "not a day"),
        (("review", "accept", "KEY", "--reason", "r", "--until", "2020-01-01", "--yes"), 2, "is over"),
        (("review", "false-positive", "KEY", "--yes"), 2, "--reason"),
        (("review", "correct", "KEY", "--reason", "r", "--yes"), 2, "nothing to correct"),
        (("review", "correct", "KEY", "--reason", "r", "--to-class", "no.such", "--yes"), 2, "no such thing"),
        (("review", "approve", "ffffffffffff", "--yes"), 4, "no finding and no situation"),
        (("review", "approve", "nohex!", "--yes"), 2, "hex digits"),
        (("review", "undo", "9", "--yes"), 4, "no verdict 9"),
        (("review", "show", "ffffffff"), 4, "no finding"),
        (("review", "approve", "--class", "no.such", "--yes"), 2, "--class no.such: no such class"),
        (("review", "approve", "--class", "mounts.*", "--yes"), 4, "nothing that is to be reviewed"),
    ],
)
def test_mistakes_are_one_line_and_decide_nothing(
    place: Place, arguments: tuple[str, ...], code: int, says: str
) -> None:
    key = place.json("review", "list", "--json", "--limit", "1")[0]["situation"]
    ended = place.run(*(key if one == "KEY" else one for one in arguments))
    assert ended.code == code and says in ended.err and ended.err.count("\n") == 1, ended.err
    assert place.json("review", "history", "--json") == []


def test_hostile_names_are_shown_safely_everywhere(place: Place) -> None:
    key = place.json("review", "list", "--json", "--limit", "1")[0]["worst"]["fingerprint"]
    place.json("review", "accept", key, "--until", "2030-01-01", "--reason", HOSTILE, "--owner", HOSTILE, "--yes")
    shown = [on_a_terminal("review", *one) for one in (("list",), ("show", key), ("history",))]
    shown.append(on_a_terminal("audit", "show"))
    for ended in shown:
        assert ended.code == 0
        assert "\x1b]" not in ended.out and "\x07" not in ended.out and "\u202e" not in ended.out
    assert all("[bold]" in ended.out for ended in shown[1:])
    for line in place.run("review", "list", "--json").out.splitlines():
        assert "\\u001b" not in line and "\u202e" not in line


def test_explain_follows_a_line_to_its_input_and_its_verdict(place: Place) -> None:
    key = place.json("review", "list", "--json", "--limit", "1")[0]["worst"]["fingerprint"]
    place.json("review", "accept", key, "--until", "2030-01-01", "--reason", "known", "--yes")
    report = place.reports / "web01.json"
    again = json.loads(report.read_text())
    again["summary"]["finished_at"] = "2026-11-30T00:00:00Z"
    report.write_text(json.dumps(again))
    place.scan()
    (said,) = place.json("explain", key, "--format", "json")
    trail, line = said["explained"]["trail"], said["finding"]
    assert line["review"]["seq"] == 1 and trail["verdict"]["reason"] == "known" and trail["verdicts_upto"] == 1
    assert (
        trail["input"]["digest"]
        == subprocess.run(["sha256sum", report], capture_output=True, text=True, check=True).stdout[
            : len(trail["input"]["digest"])
        ]
    )
    assert trail["input"]["source"] == str(report)
    assert (trail["knowledge"], trail["missing"]) == (line["provenance"]["knowledge"], None)


def test_analyze_takes_verdicts_only_where_it_is_told_to(place: Place) -> None:
    key = place.json("review", "list", "--json", "--limit", "1")[0]["worst"]["fingerprint"]
    place.json("review", "accept", key, "--until", "2030-01-01", "--reason", "known", "--yes")
    report = str(place.reports / "web01.json")
    plain = place.run("analyze", report).out
    assert '"review":' not in plain and '"verdicts":' not in plain
    by_directory = place.run("analyze", report, "--verdicts", str(place.state)).out
    assert by_directory == place.run("analyze", report, "--verdicts", str(place.state / FILE_NAME)).out
    lines = [json.loads(line) for line in by_directory.splitlines()]
    assert [line["review"]["seq"] for line in lines if "review" in line] == [1]
    assert place.run("analyze", report, "--verdicts", str(place.reports)).code == 3


def test_verify_names_what_was_touched_and_an_end_that_was_cut_off(place: Place) -> None:
    key = place.json("review", "list", "--json", "--limit", "1")[0]["situation"]
    for _ in range(3):
        place.json("review", "approve", key, "--yes")
    place.scan()
    (checked,) = place.json("audit", "verify", "--json")
    assert checked["verdicts"] == 3 and checked["problems"] == [] and checked["anchors"] == 1
    connection = sqlite3.connect(place.state / FILE_NAME)
    connection.execute("DROP TRIGGER none_removed")
    connection.execute("DELETE FROM verdicts WHERE seq = 3")
    connection.commit()
    connection.close()
    (checked,) = place.json("audit", "verify", "--json", code=3)
    assert any("row 3: missing" in one and "cut off" in one for one in checked["problems"])
    (place.state / FILE_NAME).unlink()
    for suffix in ("-wal", "-shm"):
        (place.state / (FILE_NAME + suffix)).unlink(missing_ok=True)
    (checked,) = place.json("audit", "verify", "--json", code=3)
    assert any("rows 1 to 3: missing" in one for one in checked["problems"])


def test_an_export_can_be_checked_without_us_and_its_signature_with_openssl(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, public, out = tmp_path / "key.pem", tmp_path / "public.pem", tmp_path / "audit.ndjson"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    place.json("review", "approve", "--level", "high", "--yes")
    ended = place.run("audit", "export", "--output", str(out), "--key", str(key))
    assert ended.code == 0, ended.err
    *rows, end = [json.loads(line) for line in out.read_text().splitlines()]
    before = "0" * 64
    for number, row in enumerate(rows, 1):
        body = row["body"].encode()
        said = b"sysscan-review/1\n" + f"{before} {number} {len(body)}\n".encode() + body
        before = subprocess.run(["sha256sum"], input=said, capture_output=True, check=True).stdout[:64].decode()
        assert row["hash"] == before and row["seq"] == number
    assert (end["count"], end["head"], end["schema"]) == (len(rows), before, "sysscan.audit/1")
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(out)]
    command += ["-sigfile", f"{out}.sig"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    out.write_bytes(out.read_bytes().replace(b"approve", b"APPROVE", 1))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_what_is_no_key_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = tmp_path / "key.pem"
    with pytest.raises(ConfigError, match="cannot be read"):
        sign(b"x", key)
    key.write_text("no key")
    with pytest.raises(ConfigError, match="no private key"):
        sign(b"x", key)


def test_the_log_is_private(place: Place) -> None:
    place.json("review", "approve", "--level", "high", "--yes")
    assert (place.state / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with VerdictLog.open(place.state / FILE_NAME, read_only=True) as log:
        assert log.head().seq > 0
