"""Nothing leaves the host, whatever the environment says."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.build import REPORT, ROOT

# A graph of the same library without our seal.
_UNSEALED = """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
class State(TypedDict):
    number: int
graph = StateGraph(State)
graph.add_node("add", lambda state: {"number": state["number"] + 1})
graph.add_edge(START, "add")
graph.add_edge("add", END)
graph.compile().invoke({"number": 1})
"""
# Says where the program wants to connect or send to, and which names it looks up. (Only these: urllib3 opens and binds
# a socket at import to see whether there is IPv6, and closes it.)
_WATCH = """
import os, sys
EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
def watch(event, args):
    if event in EVENTS:
        os.write(2, f"{event} {args!r}\\n".encode())
sys.addaudithook(watch)
"""


class Listener:
    """A collector on the loopback that takes what it is sent, and notes that somebody called."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; whoever called until now is in `heard`."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"the end")
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                connection.settimeout(5)
                first = connection.recv(200)
                if first == b"the end":
                    return
                self.heard.append(first)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one


def environment(listener: Listener) -> dict[str, str]:
    """Switch on everything that is known to phone home, and point it at the listener."""
    url = f"http://127.0.0.1:{listener.port}"
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    return {
        **kept,
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_TRACING_V2": "true",
        "LANGCHAIN_TRACING": "true",
        "LANGCHAIN_TRACING_V2": "true",
        "LANGSMITH_ENDPOINT": url,
        "LANGCHAIN_ENDPOINT": url,
        "LANGSMITH_API_KEY": "lsv2_pt_00000000",
        "LANGCHAIN_API_KEY": "lsv2_pt_00000000",
        "LANGSMITH_OTEL_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "LANGGRAPH_API_URL": url,
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "ALL_PROXY": url,
        "http_proxy": url,
        "https_proxy": url,
        "all_proxy": url,
    }


def start(listener: Listener, script: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, cwd=ROOT, env=environment(listener), timeout=120, check=False,
    )  # fmt: skip
    listener.close()
    return done


_AGENT = _WATCH + "from daemon.cli.app import main\nsys.argv[0] = 'sysscan-agent'\nmain()\n"


def test_analyze_sends_nothing(listener: Listener) -> None:
    done = start(listener, _AGENT, "analyze", str(REPORT))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") > 90
    assert listener.heard == []


def test_the_daemon_sends_nothing(listener: Listener, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / REPORT.name).write_bytes(REPORT.read_bytes())
    output = tmp_path / "findings.ndjson"
    done = start(
        listener, _AGENT, "run", "--once", "--watch", str(reports), "--state-dir", str(tmp_path / "state"),
        "--output", str(output),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert output.read_bytes().count(b"\n") > 90
    assert b"socket." not in done.stderr
    assert listener.heard == []


_LOADED = """
import atexit
NAMES = ("langsmith", "requests", "httpx", "websockets", "urllib3", "langgraph_sdk", "langgraph")
def loaded():
    modules = {name: sys.modules[name] for name in NAMES if name in sys.modules}
    real = [name for name, module in modules.items() if module.__doc__ != "A stand-in of sysscan-agent."]
    os.write(2, f"loaded: {real}\\n".encode())
atexit.register(loaded)
"""


@pytest.mark.parametrize("command", ["run", "analyze"])
def test_what_could_send_is_not_even_imported(command: str, listener: Listener, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / REPORT.name).write_bytes(REPORT.read_bytes())
    output = tmp_path / "findings.ndjson"
    given = ["--once", "--watch", str(reports)] if command == "run" else [str(reports / REPORT.name)]
    done = start(
        listener, _AGENT.replace("from daemon", _LOADED + "from daemon", 1), command, *given, "--output", str(output),
        "--state-dir", str(tmp_path / "state"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert output.read_bytes().count(b"\n") > 90
    assert done.stderr.splitlines()[-1] == b"loaded: ['langgraph']"  # the one that shows that this would be seen


# Here somebody switches tracing on again after our seal.
_AGAIN = """
import daemon, pipeline.graph.library
from pipeline.airgap.importing import real_because
os.environ.update(switched_on)
os.environ.pop("LANGCHAIN_TRACING", None)  # of old versions: langchain-core refuses to run with it
sys.stderr.write(f"{real_because()}\\n")
"""


@pytest.mark.parametrize("stand_ins", [True, False], ids=["with the stand-ins", "control: with the real package"])
def test_with_the_stand_ins_tracing_is_impossible_not_switched_off(stand_ins: bool, listener: Listener) -> None:
    keep = "import os, sys\nswitched_on = dict(os.environ)\n"
    done = start(listener, keep + ("" if stand_ins else "import langsmith\n") + _AGAIN + _UNSEALED)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.startswith(b"None\n") == stand_ins
    assert (listener.heard == []) == stand_ins


def test_the_same_environment_makes_the_library_call_when_it_is_not_sealed(listener: Listener) -> None:
    """Without this the tests above would pass on a library that never calls, and prove nothing."""
    done = start(listener, _WATCH + _UNSEALED)
    assert done.returncode == 0, done.stderr.decode()
    assert b"socket.connect" in done.stderr
    assert listener.heard != []
