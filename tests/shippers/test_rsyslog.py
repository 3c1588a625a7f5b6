"""rsyslog with the configuration of the documents: every line of a file arrives, byte for byte."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.output.lines import LONGEST, line_of
from pipeline.output.records import EnrichedFinding
from tests.daemon.cli.invoke import COMMAND, ROOT, SCANS
from tests.pipeline.output.test_lines import made

# The machine's own, or one that was unpacked, with its modules beside it.
PROGRAM = Path(os.environ["RSYSLOGD"]).resolve()
(MODULES,) = PROGRAM.parents[1].glob("lib/*/rsyslog")
CONFIGURATION = ROOT / "docs" / "integrations" / "rsyslog.conf"
PATIENCE_S = 30.0


@contextmanager
def rsyslog(place: Path, watched: Path, port: int) -> Iterator[None]:
    """Run it with nothing else configured."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    for documented, here in (
        ("/var/log/sysscan-agent/findings.ndjson", str(watched)),
        ("collector.example.org", "127.0.0.1"),
        ('port="5170"', f'port="{port}"'),
        ('maxMessageSize="64k"', f'maxMessageSize="64k" workDirectory="{place}"'),
    ):
        assert text.count(documented) == 1, documented
        text = text.replace(documented, here)
    (place / "rsyslog.conf").write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [PROGRAM, "-n", "-C", "-M", MODULES, "-f", f"{place}/rsyslog.conf", "-i", f"{place}/pid"],
        stderr=(place / "errors").open("wb"),
    )
    try:
        yield
        assert process.poll() is None, (place / "errors").read_text()
    finally:
        process.terminate()
        process.wait(30)


def accepted(server: socket.socket) -> socket.socket:
    server.settimeout(PATIENCE_S)
    connection, _ = server.accept()
    connection.settimeout(PATIENCE_S)
    return connection


def received(connection: socket.socket, least: int) -> bytes:
    """Take what comes until there is so much of it."""
    taken = b""
    while len(taken) < least:
        try:
            more = connection.recv(1 << 16)
        except TimeoutError:
            more = b""
        assert more, f"{len(taken):,} of {least:,} bytes came; the last: {taken[-200:]!r}"
        taken += more
    return taken


def test_every_line_arrives_as_it_is_written_also_after_a_rotation(tmp_path: Path) -> None:
    def written(name: str) -> bytes:
        command = [*COMMAND, "analyze", str(SCANS / name)]
        environment = {**os.environ, "SYSSCAN_MODEL__ENABLED": "false"}
        return subprocess.run(command, capture_output=True, check=True, cwd=ROOT, env=environment).stdout

    watched = tmp_path / "findings.ndjson"
    longest = next(
        line for seed in range(200) if len(line := line_of(made(EnrichedFinding, seed, 0.3))) > LONGEST - 2000
    )
    first, second = written("web01-ioc.json") + longest + b"\n", written("db02-full.json.gz")
    with socket.create_server(("127.0.0.1", 0)) as server:
        watched.write_bytes(first)
        with rsyslog(tmp_path, watched, server.getsockname()[1]):
            connection = accepted(server)
            came = received(connection, len(first))
            watched.rename(tmp_path / "findings.000001.ndjson")  # as the daemon closes a segment
            watched.write_bytes(second)
            came += received(connection, len(second))
            connection.close()
    assert came == first + second
