"""The syslog sink against rsyslog: every record of a real scan is understood, over each transport."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.ports.outbox import OutboxRow
from daemon.sinks.network.items import item_maker
from daemon.sinks.syslog.settings import SyslogSettings
from daemon.sinks.syslog.sink import open_syslog
from tests.daemon.sinks.authority import Authority
from tests.daemon.sinks.waited import Waited
from tests.servers.conftest import RSYSLOG, free_port

PATIENCE_S = 60.0

INPUTS = {
    "tcp": 'module(load="imtcp")\ninput(type="imtcp" port="{port}" address="127.0.0.1")',
    "tls": (
        'global(DefaultNetstreamDriverCAFile="{ca}" DefaultNetstreamDriverCertFile="{cert}"'
        ' DefaultNetstreamDriverKeyFile="{key}")\n'
        'module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")\n'
        'input(type="imtcp" port="{port}" address="127.0.0.1")'
    ),
    "udp": 'module(load="imudp")\ninput(type="imudp" port="{port}" address="127.0.0.1")',
    "unix": (
        'module(load="imuxsock" SysSock.Use="off")\n'
        'input(type="imuxsock" Socket="{socket}" UseSpecialParser="off" ParseHostname="on" IgnoreTimestamp="off"'
        ' UseSysTimeStamp="off" RateLimit.Interval="0")'
    ),
}


@dataclass
class Rsyslog:
    """Attributes: `out`: what it has understood, one JSON object a message."""

    address: str
    ca: Path
    out: Path

    def messages(self, number: int) -> list[dict[str, str]]:
        """Wait until so many came."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.out.exists() or self.out.read_bytes().count(b"\n") < number:
            assert time.monotonic() < deadline, self.out.read_text() if self.out.exists() else "nothing came"
            time.sleep(0.02)
        return [json.loads(line) for line in self.out.read_bytes().splitlines()]


@contextmanager
def rsyslog(transport: str, base: Path) -> Iterator[Rsyslog]:
    """Run one without privileges of its own, on a port or a socket of its own; nothing of the machine's is touched."""
    assert RSYSLOG is not None
    authority, port, path, out = Authority(base), free_port(), base / "log", base / "out.ndjson"
    issued = authority.issue()
    shown = INPUTS[transport].format(ca=authority.ca, cert=issued.cert, key=issued.key, port=port, socket=path)
    fields = ("hostname", "app-name", "msgid", "syslogseverity-text", "syslogfacility-text", "structured-data", "msg")
    properties = "\n".join(
        f'property(name="{name}" outname="{name}" format="jsonf"){"" if name == fields[-1] else CONSTANT}'
        for name in fields
    )
    (base / "rsyslog.conf").write_text(
        f'global(workDirectory="{base}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")\n{shown}\n'
        f'template(name="fields" type="list") {{ constant(value="{{") {properties} constant(value="}}\\n") }}\n'
        f'if $app-name == "sysscan-agent" then action(type="omfile" file="{out}" template="fields")\n',
        encoding="utf-8",
    )
    program = shutil.which(RSYSLOG)
    assert program is not None
    modules = Path(program).resolve().parents[1] / "lib" / f"{os.uname().machine}-linux-gnu" / "rsyslog"
    command = [program, "-n", "-f", str(base / "rsyslog.conf"), "-i", str(base / "pid"), "-M", str(modules)]
    with (base / "log.txt").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for(transport, port, path, base / "log.txt")
            addresses = {
                "tcp": f"tcp://127.0.0.1:{port}",
                "tls": f"tls://localhost:{port}",
                "udp": f"udp://127.0.0.1:{port}",
                "unix": f"unix:{path}",
            }
            yield Rsyslog(addresses[transport], authority.ca, out)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


CONSTANT = ' constant(value=",")'


def _wait_for(transport: str, port: int, path: Path, log: Path) -> None:
    """Wait until it listens."""
    listening = {"tcp": "/proc/net/tcp", "tls": "/proc/net/tcp", "udp": "/proc/net/udp"}.get(transport)
    deadline = time.monotonic() + PATIENCE_S
    while not (path.exists() if listening is None else f":{port:04X} " in Path(listening).read_text()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("transport", INPUTS)
def test_rsyslog_understands_every_record_of_a_real_scan(transport: str, rows: list[OutboxRow], tmp_path: Path) -> None:
    with rsyslog(transport, tmp_path) as receiver:
        settings = SyslogSettings(
            name="log", address=receiver.address, ca_file=receiver.ca if transport == "tls" else None, max_bytes=60_000
        )
        sink = Waited(open_syslog(settings))
        sink.recover(0, lambda position: [])
        assert sink.write(rows) == len(rows)
        items = item_maker(settings)(rows)
        found = receiver.messages(len(items))
    assert {item.kind for item in items} == {"finding", "issue", "scan"}
    for message, row in zip(found, items, strict=True):
        record = json.loads(row.line)
        assert message["hostname"] == record["host"]
        assert (message["app-name"], message["msgid"]) == ("sysscan-agent", row.kind)
        assert message["syslogfacility-text"] == "local4"
        assert f'key="{row.key}"' in message["structured-data"]
        assert json.loads(message["msg"].removeprefix("\ufeff")) == record
