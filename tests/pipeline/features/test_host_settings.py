"""Features of kernel parameters, mandatory access control, mounts and sockets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features import mac, mounts, network, sysctl
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge

WORDS = {
    "0", "1", "2", "other", "none", "all", "harmless", "reboot", "kill_or_dump", "absent", "enforcing", "permissive",
    "unreadable", "same", "weaker", "stricter", "on", "off", "switched_off", "few", "many", "below_home", "network",
    "fuse", "loopback", "wildcard", "specific", "other_privileged", "other_registered", "ephemeral", "established",
    "opening", "closing",
}  # fmt: skip
ANYTHING = st.none() | st.text() | st.sampled_from(["0", "438", "1" * 5000, "²", "0.0.0.0", "/home/", "ro,nosuid"])


def context(**header: Any) -> FeatureContext:
    return FeatureContext(
        header=ScanHeader(source_format="json", **header),
        knowledge=Knowledge(),
        profile="default",
    )


HERE = context()


@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_value_of_a_host_comes_out_of_a_feature(first: str | None, second: str | None, third: str | None) -> None:
    known = WORDS | network._BY_PORT["tcp"].keys() | set(network._BY_PORT["tcp"].values())
    known |= set(network._BY_PORT["udp"].values()) | mounts._MOUNT_POINTS | mounts._FILE_SYSTEMS
    results = [
        sysctl.sysctl_value(HERE, first, literals="0,1,2"),
        sysctl.sysrq_functions(HERE, first),
        mac.selinux_mode(HERE, first, second, third),
        mac.selinux_after_boot(HERE, first, second, third),
        mac.apparmor_mode(HERE, first, second),
        mac.mac_process_count(HERE, first),
        mounts.mount_place(HERE, first),
        mounts.mount_filesystem(HERE, first),
        network.socket_exposure(HERE, first),
        network.socket_service(HERE, first, second),
        network.socket_state(HERE, first),
    ]
    assert {result for result in results if result is not None} <= known
    missing = mounts.mount_missing(HERE, first)
    assert missing is None or set(missing.split("+")) <= {"nosuid", "nodev", "noexec", "none"}


@pytest.mark.parametrize(
    ("mask", "word"),
    [("0", "none"), ("1", "all"), ("2", "harmless"), ("16", "harmless"), ("176", "reboot"), ("438", "reboot"),
     ("8", "kill_or_dump"), ("64", "kill_or_dump"), ("511", "kill_or_dump"), ("512", "other"), ("-1", "other"),
     ("0x10", "other"), ("", "other"), (" 16 ", "harmless")],
)  # fmt: skip
def test_sysrq_masks_are_told_by_their_most_dangerous_bit(mask: str, word: str) -> None:
    assert sysctl.sysrq_functions(HERE, mask) == word


def test_a_sysctl_value_is_itself_or_other() -> None:
    assert [sysctl.sysctl_value(HERE, value, literals="0,1") for value in ("0", "1", "2", "0,1", None)] == [
        "0", "1", "other", "other", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "word"),
    [("0", "none"), ("000", "none"), ("1", "few"), ("5", "few"), ("05", "few"), ("6", "many"), ("10", "many"),
     ("x", None), ("", None), (None, None)],
)  # fmt: skip
def test_process_counts_are_buckets(count: str | None, word: str | None) -> None:
    assert mac.mac_process_count(HERE, count) == word


def test_the_distribution_tells_which_access_control_belongs_to_it() -> None:
    assert mac.mac_platform(context(os_id="Debian")) == "apparmor"
    assert mac.mac_platform(context(os_id="rhel")) == "selinux"
    assert mac.mac_platform(context(os_id="plan9")) is None
    assert mac.mac_platform(HERE) is None


def test_only_root_sees_what_others_execute() -> None:
    answers = [mac.mac_sees_all_processes(one) for one in (context(euid="0"), context(euid="1000"), HERE)]
    assert answers == ["yes", "no", None]


@pytest.mark.parametrize(
    ("mountpoint", "word"),
    [("/tmp", "/tmp"), ("/var/tmp", "/var/tmp"), ("/boot/efi", "/boot/efi"), ("/home", "/home"),
     ("/home/bob", "below_home"), ("/homeless", "other"), ("/tmp/", "other"), ("", "other"), (None, None)],
)  # fmt: skip
def test_mount_points_are_known_ones_or_other(mountpoint: str | None, word: str | None) -> None:
    assert mounts.mount_place(HERE, mountpoint) == word


@pytest.mark.parametrize(
    ("options", "word"),
    [("rw,nosuid,nodev,noexec", "none"), ("rw", "nosuid+nodev+noexec"), ("noexec,rw", "nosuid+nodev"),
     ("rw,nosuidx,xnodev", "nosuid+nodev+noexec"), (None, None)],
)  # fmt: skip
def test_missing_options_come_in_one_order(options: str | None, word: str | None) -> None:
    assert mounts.mount_missing(HERE, options) == word


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("0.0.0.0", "wildcard"), ("::", "wildcard"), ("0000:0000:0000:0000:0000:0000:0000:0000", "wildcard"),
        ("127.0.0.1", "loopback"), ("127.0.0.53", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("0000:0000:0000:0000:0000:0000:0000:0001", "loopback"),
        ("0000:0000:0000:0000:0000:0000:0100:0000", "loopback"),  # as the scanner prints the kernel's words
        ("0000:0000:0000:0000:0000:FFFF:7F00:0001", "loopback"),
        ("0000:0000:0000:0000:FFFF:0000:0100:007F", "loopback"),
        ("0000:0000:0000:0000:0000:FFFF:0102:037F", "specific"),  # 1.2.3.127
        ("10.127.0.1", "specific"), ("FE80:0000:0000:0000:0000:0000:0000:0001", "specific"), ("", None), (None, None),
    ],
)  # fmt: skip
def test_an_address_lets_in_the_host_itself_everyone_or_some(address: str | None, word: str | None) -> None:
    assert network.socket_exposure(HERE, address) == word


@pytest.mark.parametrize(
    ("protocol", "port", "word"),
    [("tcp", "22", "ssh"), ("tcp6", "443", "https"), ("udp", "161", "snmp"), ("udp6", "53", "dns"),
     ("tcp", "161", "other_privileged"), ("tcp", "8000", "other_registered"), ("tcp", "50000", "ephemeral"),
     ("tcp", "65536", None), ("tcp", "x", None), ("tcp", None, None)],
)  # fmt: skip
def test_a_port_is_its_registered_service_or_its_range(protocol: str, port: str | None, word: str | None) -> None:
    assert network.socket_service(HERE, protocol, port) == word
