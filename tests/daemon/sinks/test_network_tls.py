"""TLS of all sinks: who the other side is gets checked, and what is wrong with it is said in a line."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.http.sink import open_http
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.opensearch.sink import open_opensearch
from daemon.sinks.syslog.settings import SyslogSettings
from daemon.sinks.syslog.sink import open_syslog
from pipeline.errors import SinkError
from tests.daemon.sinks.authority import Authority
from tests.daemon.sinks.memory_outbox import row
from tests.daemon.sinks.receiving import Receiving
from tests.daemon.sinks.taking_server import TakingServer
from tests.daemon.sinks.waited import Waited

KINDS = ("http", "opensearch", "syslog")


@dataclass
class Side:
    """The other side: how many records it has, and its port."""

    server: TakingServer | Receiving

    @property
    def records(self) -> int:
        return self.server.times.total()

    @property
    def port(self) -> int:
        return self.server.port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@contextlib.contextmanager
def other_side(kind: str, context: Any) -> Iterator[Side]:
    if kind == "syslog":
        with Receiving(context) as receiver:
            yield Side(receiver)
    else:
        with TakingServer(bulk=kind == "opensearch", context=context) as server:
            yield Side(server)


def sink(kind: str, port: int, host: str = "localhost", **settings: Any) -> Waited:
    if kind == "syslog":
        made = open_syslog(SyslogSettings(name="one", address=f"tls://{host}:{port}", **settings))
    elif kind == "opensearch":
        made = open_opensearch(OpenSearchSettings(name="one", url=f"https://{host}:{port}", **settings))
    else:
        made = open_http(HttpSettings(name="one", url=f"https://{host}:{port}", **settings))
    waited = Waited(made)
    waited.recover(0, lambda position: [])
    return waited


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_certificate_is_taken(kind: str, authority: Authority) -> None:
    with other_side(kind, authority.server(authority.issue())) as side:
        assert sink(kind, side.port, ca_file=authority.ca).write([row(1), row(2)]) == 2
        assert side.records == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("expired", "certificate has expired"),
        ("not yet", "certificate is not yet valid"),
        ("another host", "Hostname mismatch"),
        ("another authority", "self-signed certificate in certificate chain|unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate_is_refused_and_nothing_is_sent(
    kind: str, wrong: str, said: str, authority: Authority, tmp_path: Path
) -> None:
    issued = {
        "expired": lambda: authority.issue(first_day=-3, last_day=-2),
        "not yet": lambda: authority.issue(first_day=2, last_day=3),
        "another host": lambda: authority.issue("elsewhere.example"),
        "another authority": lambda: Authority(tmp_path, "stranger").issue(),
    }[wrong]()
    with other_side(kind, authority.server(issued)) as side:
        with pytest.raises(SinkError, match=f"its certificate is refused: .*({said})") as caught:
            sink(kind, side.port, ca_file=authority.ca).write([row(1)])
        assert side.records == 0
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{kind}:one: ")


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_authority_of_its_own_it_trusts_those_of_the_system_alone(kind: str, authority: Authority) -> None:
    with other_side(kind, authority.server(authority.issue())) as side:
        with pytest.raises(SinkError, match="its certificate is refused"):
            sink(kind, side.port).write([row(1)])
        assert side.records == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_side_that_wants_a_certificate_gets_it(kind: str, authority: Authority) -> None:
    mine = authority.issue("agent")
    with other_side(kind, authority.server(authority.issue(), wants_clients=True)) as side:
        with pytest.raises(SinkError, match=f"{kind}:one: "):
            sink(kind, side.port, ca_file=authority.ca).write([row(1)])
        assert side.records == 0
        good = sink(kind, side.port, ca_file=authority.ca, cert_file=mine.cert, key_file=mine.key)
        assert good.write([row(1)]) == 1
        assert side.records == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_side_that_speaks_no_tls_is_named(kind: str, authority: Authority) -> None:
    with other_side(kind, None) as side, pytest.raises(SinkError, match=f"{kind}:one: .*:{side.port}: ") as caught:
        sink(kind, side.port, ca_file=authority.ca, timeout_s=2).write([row(1)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_certificate_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense", encoding="ascii")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        with pytest.raises(SinkError, match=rf"{kind}:one: .*{path.name}: .*PEM files are wanted"):
            sink(kind, 1, ca_file=path).write([row(1)])
