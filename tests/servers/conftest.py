"""Servers of others that records go to; `make servers` says where they are, and without them nothing is collected."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
def rows() -> list[OutboxRow]:
    """Give the records of a real scan, as the ledger holds them."""
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "analyze", str(REPORT)], capture_output=True, cwd=ROOT, check=True
    )
    found: list[OutboxRow] = []
    for position, line in enumerate(done.stdout.splitlines(), 1):
        is_scan = b'"schema":"sysscan.scan/1"' in line
        level = "info" if is_scan else _between(line, b'"level":"', b'"')
        key = _between(line, b'"scan_id":"' if is_scan else b'"dedupe_key":"', b'"')
        found.append(OutboxRow(position, "scan" if is_scan else "finding", key, level, True, line))
    assert len(found) > 15
    return found


def _between(line: bytes, begin: bytes, end: bytes) -> str:
    return line.partition(begin)[2].partition(end)[0].decode()
