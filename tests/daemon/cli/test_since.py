"""`report` after somebody has decided: it says so, and what is at stake now."""

import json
import re
from pathlib import Path

from tests.daemon.cli.invoke import on_a_terminal
from tests.daemon.cli.test_review import Place, place, scanned

__all__ = ["place", "scanned"]  # fixtures


def report(place: Place) -> str:
    ended = place.run("report", "--format", "text")
    assert ended.code == 0, ended.err
    return ended.out


def at_stake(text: str) -> dict[str, int]:
    (line,) = re.findall(r"^Findings at stake now: (.*)$", text, re.MULTILINE)
    return {level: int(count) for count, level in re.findall(r"(\d+) (\w+)", line)}


def counted(place: Place) -> dict[str, int]:
    (record,) = [one for one in place.documents() if one["schema"].startswith("sysscan.scan/")][-1:]
    found: dict[str, int] = record["counts"]["level"]
    return found


def test_it_says_what_was_decided_since_and_what_is_at_stake_now(place: Place) -> None:
    before, levels = report(place), counted(place)
    assert "Since this scan" not in before and "at stake now" not in before
    worst, second = place.json("review", "list", "--json", "--limit", "2")
    place.json("review", "false-positive", worst["situation"], "--reason", "[bold]ours[/bold]", "--yes", "--json")
    (corrected,) = place.json(
        "review", "correct", second["situation"], "--to-level", "low", "--reason", "known", "--yes", "--json"
    )
    text = report(place)
    assert "Since this scan" in text and before in text  # the record stays what it was
    assert "false positive" in text and re.search(rf"{second['level']}\s+→\s+low", text)
    assert f"verdict {corrected['seq']} by" in text
    levels[worst["level"]] -= worst["findings"]
    levels[second["level"]] -= second["findings"]
    levels["low"] = levels.get("low", 0) + second["findings"]
    assert at_stake(text) == {level: count for level, count in levels.items() if count}


def test_what_was_taken_back_is_said_only_where_the_scan_told_of_it(place: Place) -> None:
    before = report(place)
    (worst,) = place.json("review", "list", "--json", "--limit", "1")
    place.json("review", "false-positive", worst["situation"], "--reason", "ours", "--yes", "--json")
    place.json("review", "undo", "1", "--yes", "--json")
    assert report(place) == before
    place.json("review", "undo", "2", "--yes", "--json")
    place.scan_again()
    judged = report(place)
    assert "Since this scan" not in judged  # it was judged with the verdict
    place.json("review", "undo", "3", "--yes", "--json")
    text = report(place)
    assert "a verdict was taken back" in text and judged in text
    levels = counted(place)
    levels[worst["level"]] = levels.get(worst["level"], 0) + worst["findings"]
    assert at_stake(text) == levels


def test_a_program_gets_the_record_as_it_was(place: Place) -> None:
    before = place.json("report", "--format", "json")
    (worst,) = place.json("review", "list", "--json", "--limit", "1")
    place.json("review", "false-positive", worst["situation"], "--reason", "ours", "--yes", "--json")
    assert place.json("report", "--format", "json") == before


def test_hostile_paths_stay_text_on_a_terminal(place: Place) -> None:
    place.json("review", "false-positive", "--class", "*", "--reason", "\x1b]0;owned\x07", "--yes", "--json")
    ended = on_a_terminal("report", columns=200)
    assert "Since this scan" in ended.out and "\x1b]0;owned" not in ended.out and "\u202e" not in ended.out
    assert "Findings at stake now: nothing" in re.sub(r"\x1b\[[0-9;]*m", "", ended.out)


def test_what_was_decided_does_not_count_where_the_log_is_not_what_it_was(place: Place, tmp_path: Path) -> None:
    (worst,) = place.json("review", "list", "--json", "--limit", "1")
    place.json("review", "false-positive", worst["situation"], "--reason", "ours", "--yes", "--json")
    place.scan_again()
    for file in place.state.glob("review.db*"):
        file.unlink()
    text = report(place)
    assert "No verdict counts: " in text


def test_a_text_narrows_the_list(place: Place) -> None:
    queue = place.json("review", "list", "--json", "--limit", "0")
    some = place.json("review", "list", "--json", "--limit", "0", "--text", "/tmp/.cache-helper")
    assert 0 < len(some) < len(queue) and all(entry in queue for entry in some)
    assert all("/tmp/.cache-helper" in json.dumps(entry) for entry in some)
    assert place.json("review", "list", "--json", "--text", "no such text") == []
    assert place.json("review", "list", "--json", "--text", "/tmp/.cache-helper", "--host", "other", code=4) == []


def test_explain_says_what_came_after_the_line(place: Place) -> None:
    output = str(place.state / "findings.ndjson")
    (worst,) = place.json("review", "list", "--json", "--limit", "1")
    key = worst["worst"]["fingerprint"]
    before = place.run("explain", key, "--from", output, "--format", "text").out
    place.json("review", "false-positive", worst["situation"], "--reason", "ours", "--yes", "--json")
    assert place.run("explain", key, "--from", output, "--format", "text").out == before  # nothing has told of it yet
    place.scan()
    after = place.run("explain", key, "--from", output, "--format", "text").out
    said, _, rest = after.partition("\n")
    assert said.startswith("Since this line verdict 1 was given by ") and said.endswith(
        ": it is false positive, info now."
    )
    assert rest == before
    (told,) = place.json("explain", key, "--from", output, "--format", "json")
    assert (told["explained"]["now"]["status"], told["explained"]["now"]["verdict"]) == ("false_positive", 1)
    place.json("review", "undo", "1", "--yes", "--json")
    place.scan()
    assert place.run("explain", key, "--from", output, "--format", "text").out == before
    place.scan_again()
    (told,) = place.json("explain", key, "--from", output, "--format", "json")
    assert "now" not in told["explained"]
