"""Saved lines are read from disk: what that costs, and what happens where there is no room."""

import subprocess
from pathlib import Path

import orjson
import pytest

from daemon.cli.exporting.saved import SavedLines, room_explained
from pipeline.errors import ConfigError
from tests.daemon.cli.invoke import COMMAND, ROOT


def test_where_there_is_no_room_for_the_table_that_is_said(enriched: Path) -> None:
    with (
        SavedLines() as saved,
        pytest.raises(ConfigError, match=r"no room for what is read .*TMPDIR"),
        room_explained(),
    ):
        saved.table.execute("PRAGMA max_page_count = 8")
        saved.read([str(enriched)])


def test_a_pipe_that_there_is_no_room_for_is_said_in_one_line(enriched: Path) -> None:
    """A file of no more than 8 KB stands for a full disk."""
    command = ["sh", "-c", 'ulimit -f 8; cat "$0" | "$@" | wc -c', str(enriched), *COMMAND, "export", "-"]
    done = subprocess.run([*command, "--format", "csv"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "0"
    assert done.stderr.count("\n") == 1
    assert "no room for what is read (File too large); set TMPDIR" in done.stderr


def test_a_line_without_end_is_passed_over_without_being_held(enriched: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    content = enriched.read_bytes()
    with path.open("wb") as file:
        file.write(b'{"x":"' + b"a" * (1 << 20) + b'"}\n')
        file.write(content)
    with SavedLines(longest=1 << 16) as saved:
        saved.read([str(path)])
        (scan,) = saved.scans()
        (line,) = saved.unusable
        assert (line.line, line.why) == (1, "longer than 65,536 bytes")
        assert len(list(scan.findings())) == content.count(b'"schema":"sysscan.enriched/1"')
        assert scan.missing == ("Could not be read in the input: 1 line; findings may be among them.",)


def test_findings_can_be_gone_through_again(enriched: Path) -> None:
    with SavedLines() as saved:
        saved.read([str(enriched)])
        (scan,) = saved.scans()
        first = scan.findings()
        next(first)
        assert len(list(scan.findings())) == len(list(first)) + 1


def test_nothing_is_no_scan(tmp_path: Path) -> None:
    empty = tmp_path / "empty.ndjson"
    empty.write_bytes(b"\n \n")
    with SavedLines() as saved:
        saved.read([str(empty)])
        assert (list(saved.scans()), saved.num_unusable, list(saved.verdicts)) == ([], 0, [])


def test_verdicts_of_which_the_records_are_not_there_are_counted(enriched: Path, tmp_path: Path) -> None:
    def record(seq: int) -> bytes:
        said = {
            "schema": "sysscan.verdict/1", "dedupe_key": f"{seq:032x}", "seq": seq, "head": f"{seq:064x}",
            "verdict": "approve", "scope": "host", "author": "ada", "at": "2026-11-03T08:00:00Z", "reason": "",
            "host": "another", "affected": 0, "lines": 0, "hosts": 0, "findings": [],
            "situation": {"class": "mac.apparmor", "status": "open", "features": {}, "candidates": []},
        }  # fmt: skip
        return orjson.dumps(said) + b"\n"

    def missing(*seqs: int) -> tuple[str, ...]:
        path = tmp_path / "with.ndjson"
        path.write_bytes(enriched.read_bytes() + b"".join(map(record, seqs)))
        with SavedLines() as saved:
            saved.read([str(path)])
            assert saved.num_unusable == 0, saved.unusable
            (scan,) = saved.scans()
            return scan.missing

    assert missing() == missing(1) == missing(1, 2, 3) == ()
    assert missing(1, 3) == (
        "Of the verdicts up to number 3, 1 is not in the input; what was decided there is not known.",
    )
    assert missing(4) == (
        "Of the verdicts up to number 4, 3 are not in the input; what was decided there is not known.",
    )
