"""What `doctor` and `ledger status` say of sinks beside the file."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.daemon.cli.invoke import COMMAND, REPORT, ROOT
from tests.daemon.sinks.receiving import Receiving
from tests.daemon.sinks.taking_server import TakingServer


def invoke(config: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "SYSSCAN_MODEL__ENABLED": "false", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*COMMAND, *arguments, "--config", str(config)], capture_output=True, check=False, cwd=ROOT, env=environment
    )


def settings(tmp_path: Path, *tables: str) -> Path:
    path = tmp_path / "config.toml"
    roots = tmp_path / "in"
    roots.mkdir(exist_ok=True)
    head = f'state_dir = "{tmp_path / "state"}"\n[watch]\nroots = ["{roots}"]\n'
    path.write_text(head + "\n".join(tables), encoding="utf-8")
    return path


def sinks(done: subprocess.CompletedProcess[bytes]) -> dict[str, dict[str, Any]]:
    assert b"Traceback" not in done.stderr
    checks = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["detail"].partition(": ")[0] + " " + one["verdict"]: one for one in checks if one["check"] == "sink"}


def test_each_sink_is_asked_and_no_record_is_sent(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-token\n", encoding="ascii")
    token.chmod(0o644)
    with TakingServer() as web, TakingServer(bulk=True) as search, Receiving() as syslog:
        path = settings(
            tmp_path,
            f'[[sinks.http]]\nname = "siem"\nurl = "{web.url}"\ntoken_file = "{token}"',
            f'[[sinks.opensearch]]\nname = "search"\nurl = "{search.url}"',
            f'[[sinks.syslog]]\nname = "log"\naddress = "tcp://127.0.0.1:{syslog.port}"',
            '[[sinks.syslog]]\nname = "gone"\naddress = "tcp://127.0.0.1:1"',
        )
        done = invoke(path, "doctor")
        found = sinks(done)
        assert web.requests == search.requests == [] and not syslog.frames
    assert "answers (405), without TLS" in found["http:siem ok"]["detail"]
    assert "is opensearch 2.19.0" in found["opensearch:search ok"]["detail"]
    assert found["syslog:log ok"]["detail"].endswith("is there")
    assert "tcp://127.0.0.1:1: Connection refused" in found["syslog:gone problem"]["detail"]
    assert found["http:siem warning"]["detail"].endswith("token_file can be read by everybody")
    assert done.returncode == 2
    assert b"secret-token" not in done.stdout + done.stderr


def test_the_status_of_the_ledger_has_the_mark_and_the_queue_of_each_sink(tmp_path: Path) -> None:
    with TakingServer() as web:
        path = settings(
            tmp_path,
            f'[[sinks.http]]\nname = "siem"\nurl = "{web.url}"',
            '[[sinks.syslog]]\nname = "gone"\naddress = "tcp://127.0.0.1:1"',
        )
        (tmp_path / "in" / "a.json").write_bytes(REPORT.read_bytes())
        done = invoke(path, "run", "--once")
        assert b"syslog:gone: tcp://127.0.0.1:1: Connection refused" in done.stderr
        taken = web.times.total()
    status = json.loads(invoke(path, "ledger", "status").stdout)
    file = f"file:{tmp_path / 'state' / 'findings.ndjson'}"
    rows = status["outbox_end"]  # the issues of a scan are in its row
    assert 10 < rows <= taken
    assert status["outbox_marks"] == {file: rows, "http:siem": rows, "syslog:gone": 0}
    assert status["outbox_backlog"] == {file: 0, "http:siem": 0, "syslog:gone": rows}
