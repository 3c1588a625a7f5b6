"""`run --watch -`: the ledger's promise for what is piped in."""

import json
import os
import subprocess
from pathlib import Path

from tests.daemon.cli.invoke import COMMAND, ROOT, SCANS

STREAMS = ("web01-ioc.ndjson", "web01-fs-hygiene.ndjson")


def _pipe(data: bytes, tmp_path: Path, *more: str) -> subprocess.CompletedProcess[bytes]:
    arguments = ["run", "--watch", "-", *more, "--state-dir", str(tmp_path / "st"), "-o", str(tmp_path / "out.ndjson")]
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, cwd=ROOT, check=False)


def test_what_is_piped_in_comes_out_once_however_often_it_is_piped(tmp_path: Path) -> None:
    data = b"".join((SCANS / name).read_bytes() for name in STREAMS)
    assert _pipe(data, tmp_path).returncode == 0
    first = (tmp_path / "out.ndjson").read_bytes()
    assert _pipe(data, tmp_path).returncode == 0
    assert (tmp_path / "out.ndjson").read_bytes() == first
    keys = [line["dedupe_key"] for line in map(json.loads, first.splitlines()) if "finding" in line]
    assert len(keys) == len(set(keys)) == 14 + 97


def test_a_scan_is_delivered_while_the_pipe_stays_open(tmp_path: Path) -> None:
    output = tmp_path / "out.ndjson"
    arguments = ["run", "--watch", "-", "--state-dir", str(tmp_path / "st"), "-o", str(output)]
    daemon = subprocess.Popen(
        [*COMMAND, *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=os.environ
    )
    assert daemon.stdin is not None and daemon.stderr is not None
    daemon.stdin.write((SCANS / STREAMS[0]).read_bytes())
    daemon.stdin.flush()
    for line in daemon.stderr:  # the scan is done before the pipe has ended
        if b"scan.finished" in line:
            break
    daemon.stdin.close()
    daemon.stderr.read()
    assert daemon.wait() == 0
    found = [json.loads(line)["schema"] for line in output.read_bytes().splitlines()]
    assert found[:14] == ["sysscan.enriched/1"] * 14
    assert set(found[14:-1]) == {"sysscan.issue/1"} and found[-1] == "sysscan.scan/1"


def test_a_cut_report_is_quarantined_and_said_so(tmp_path: Path) -> None:
    ended = _pipe((SCANS / "malformed" / "truncated-half.json").read_bytes(), tmp_path)
    assert ended.returncode == 1
    assert b"input.quarantined" in ended.stderr


def test_standard_input_stands_alone(tmp_path: Path) -> None:
    ended = _pipe(b"", tmp_path, "--watch", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines() == [
        "sysscan-agent: --watch -: standard input stands alone; start another daemon for the directories"
    ]
