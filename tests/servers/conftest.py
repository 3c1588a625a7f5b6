"""Servers of others that records go to; `make servers` says where they are, and without them nothing is collected."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ports.outbox import OutboxRow

OPENSEARCH = os.environ.get("OPENSEARCH_LIBS")
RSYSLOG = os.environ.get("RSYSLOGD")
ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests" / "data" / "scans" / "micro-default.json"

collect_ignore = [
    *(["test_opensearch.py"] if OPENSEARCH is None else []),
    *(["test_rsyslog.py"] if RSYSLOG is None else []),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a node of OpenSearch."""
    assert OPENSEARCH is not None
    port, base = free_port(), tmp_path_factory.mktemp("opensearch")
    java = shutil.which("java")
    assert java is not None
    with subprocess.Popen(
        [java, "-Xmx512m", "-cp", f"{OPENSEARCH}/*", str(Path(__file__).with_name("Node.java")), str(base), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as node:  # fmt: skip
        assert node.stdin is not None and node.stdout is not None
        said = []
        for line in node.stdout:
            said.append(line)
            if line == "ready\n":
                break
        else:
            raise AssertionError("".join(said))
        yield f"http://127.0.0.1:{port}"
        node.stdin.close()
        try:
            node.wait(30)
        except subprocess.TimeoutExpired:
            node.kill()


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[OutboxRow]:
    """Give the records of a real scan, as the ledger holds them for a receiver that is not there."""
    base = tmp_path_factory.mktemp("rows")
    config, state = base / "config.toml", base / "state"
    sink = f'[[sinks.syslog]]\nname = "none"\naddress = "unix:{base}/none"\n'
    config.write_text(f'state_dir = "{state}"\n[output]\nenabled = false\n{sink}', encoding="utf-8")
    command = [sys.executable, "-m", "daemon.cli", "run", "--once", "--watch", str(REPORT), "--config", str(config)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    with Ledger.open(state, clock=time.time, read_only=True) as ledger:
        found = ledger.outbox.pending("syslog:none", 1000)
    assert len(found) > 15, done.stderr
    return found
