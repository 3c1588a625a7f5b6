"""Sockets, which version 6.0.0 never reports: what a repaired scanner would say is understood."""

import pytest

from pipeline.finding import ScanHeader
from tests.pipeline.knowledge.real_scans import names
from tests.pipeline.knowledge.reports import classify_one, everywhere
from tests.pipeline.knowledge.verdicts import analysis_of, remediations_of, topics_of

JSON = ScanHeader(source_format="json")
V6_ANY = "0000:0000:0000:0000:0000:0000:0000:0000"


def listen(port: int, address: str, severity: str = "high") -> tuple[str, set[str], str]:
    found = classify_one(
        "network", f"tcp:{port}:4242", severity, title=f"tcp LISTEN {port}", description="TCP socket",
        metadata={"protocol": "tcp", "state": "LISTEN", "lport": str(port), "lip": address, "inode": "4242"},
    )  # fmt: skip
    assert found.class_id == "network.tcp_listen"
    return found.status, topics_of(found, severity, JSON), analysis_of(found, severity, JSON)[1]


def test_no_real_scan_has_a_network_finding() -> None:
    assert list(everywhere(names("json"), "network")) == []


def test_a_listener_is_open_when_others_can_reach_it() -> None:
    assert listen(5432, "127.0.0.1")[:2] == ("info", set())
    assert listen(5432, "10.0.0.5")[:2] == ("open", {"network.listener.unapproved"})
    wide = listen(8000, "0.0.0.0")
    assert wide[:2] == ("open", {"network.listener.unapproved", "network.listener.wildcard"})
    assert listen(8000, V6_ANY)[0] == "open"


@pytest.mark.parametrize(
    ("port", "topic"),
    [(23, "service.telnet_server"), (21, "service.ftp_server"), (513, "service.rsh_server"), (111, "service.rpcbind"),
     (2049, "service.nfs_server"), (445, "service.samba"), (631, "service.cups"), (3128, "service.squid"),
     (25, "service.mail_nonlocal"), (389, "service.ldap_server"), (873, "service.rsync"), (6000, "service.x11_server"),
     (53, "service.dns_server")],
)  # fmt: skip
def test_a_known_port_leads_to_the_topic_of_its_service(port: int, topic: str) -> None:
    assert topic in listen(port, "192.0.2.7")[1]


def test_mail_on_the_loopback_interface_is_not_mail_for_others() -> None:
    assert "service.mail_nonlocal" not in listen(25, "127.0.0.1")[1]


def test_clear_text_services_and_trusting_ones_are_called_that() -> None:
    assert "clear text" in listen(23, "192.0.2.7")[2]
    assert "trusts its network" in listen(6379, "192.0.2.7")[2]
    assert "as servers usually need it" in listen(22, "192.0.2.7")[2]


def test_listener_and_connection_are_told_apart_by_state_title_or_severity() -> None:
    def kind(severity: str, format_: str, **said: object) -> tuple[str, tuple[str, ...]]:
        found = classify_one(
            None if format_ == "sarif" else "network", "tcp6:443:9", severity, format_=format_,
            **said,  # type: ignore[arg-type]
        )  # fmt: skip
        return found.class_id, found.candidates

    assert kind("info", "json", title="tcp6 ESTABLISHED 443", metadata={"state": "ESTABLISHED"})[0] == (
        "network.tcp_socket"
    )
    assert kind("medium", "json", title="tcp6 LISTEN 443", metadata={"state": "LISTEN"})[0] == "network.tcp_listen"
    assert kind("info", "sarif", title="tcp6 TIME_WAIT 443", description="TCP socket")[0] == "network.tcp_socket"
    assert kind("high", "ndjson")[0] == "network.tcp_listen"
    assert kind("info", "ndjson") == ("ambiguous", ("network.tcp_listen", "network.tcp_socket"))


def test_a_listener_keeps_its_fingerprint_over_restarts() -> None:
    first, again, other = (
        classify_one("network", id_, "high", format_="ndjson") for id_ in ("tcp:22:100", "tcp:22:999", "tcp:23:100")
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_udp_answers_where_its_port_says_so() -> None:
    def udp(port: int, address: str | None, severity: str = "medium") -> tuple[str, str, set[str], list[str]]:
        metadata = {"protocol": "udp", "lport": str(port)} | ({"lip": address} if address else {})
        found = classify_one("network", f"udp:{port}:7", severity, title=f"udp port {port}", metadata=metadata)
        assert found.class_id == "network.udp_socket"
        return (
            found.status,
            analysis_of(found, severity, JSON)[1],
            topics_of(found, severity, JSON),
            remediations_of(found, severity, JSON),
        )

    snmp = udp(161, "0.0.0.0")
    assert snmp[0] == "open" and "answers anyone" in snmp[1] and "service.snmp" in snmp[2]
    assert snmp[3] == ["listener.restrict"]
    assert udp(40000, "0.0.0.0")[::3] == ("info", [])
    assert udp(53, "127.0.0.53")[0] == "info"
    assert udp(67, None)[0] == "unknown" and "service.dhcp_server" in udp(67, None)[2]


def test_ndjson_gets_back_what_the_id_says() -> None:
    found = classify_one("network", "udp6:5353:31", "low", format_="ndjson")
    assert (found.title, found.description) == ("udp6 port 5353", "UDP socket")
    assert found.metadata == {"lport": "5353", "inode": "31", "protocol": "udp"}
