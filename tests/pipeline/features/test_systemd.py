import pytest

from pipeline.features.registry import FeatureContext
from pipeline.features.systemd import contraindication, directive_advice, directive_value, find_unit, unit_role
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge

KNOWLEDGE = Knowledge.model_validate(
    {
        "roles": {
            "session": {"title": "logins", "breaks": {"NoNewPrivileges": "sudo stops working"}},
            "boot": {"title": "boot"},
            "storage": {"title": "storage"},
            "server": {"title": "server"},
        },
        "units": {
            "ssh.service": {"role": "session"},
            "getty@.service": {"role": "session", "kind": "template"},
            "getty@tty1.service": {"role": "server"},
            "sysctl.service": {"role": "boot", "kind": "oneshot", "breaks": {"ProtectKernelTunables": "its only job"}},
            "fsck.service": {"role": "storage", "kind": "oneshot"},
            "raid.service": {"role": "storage", "kind": "daemon"},
            "web.service": {"role": "server", "breaks": {"NoNewPrivileges": "CGI"}},
        },
    }
)
CONTEXT = FeatureContext(header=ScanHeader("json"), knowledge=KNOWLEDGE, profile="default")


def test_an_instance_is_known_by_its_template_unless_it_is_listed_itself() -> None:
    assert find_unit(KNOWLEDGE, "getty@tty2.service") is KNOWLEDGE.units["getty@.service"]
    assert find_unit(KNOWLEDGE, "getty@tty1.service") is KNOWLEDGE.units["getty@tty1.service"]
    assert find_unit(KNOWLEDGE, "getty@tty2.socket") is None
    assert find_unit(KNOWLEDGE, "@.service") is None


def test_the_reason_of_the_unit_stands_before_that_of_its_role() -> None:
    assert contraindication(KNOWLEDGE, "web.service", "NoNewPrivileges") == "CGI"
    assert contraindication(KNOWLEDGE, "getty@tty9.service", "NoNewPrivileges") == "sudo stops working"
    assert contraindication(KNOWLEDGE, "ssh.service", "PrivateTmp") is None
    assert contraindication(KNOWLEDGE, "nobody-knows.service", "NoNewPrivileges") is None


@pytest.mark.parametrize(
    ("unit", "directive", "role", "advice"),
    [
        ("ssh.service", "NoNewPrivileges", "session", "leave"),
        ("ssh.service", "PrivateTmp", "session", "set"),
        ("sysctl.service", "ProtectKernelTunables", "boot", "leave"),
        ("sysctl.service", "ProtectHome", "boot", "little_gain"),
        ("fsck.service", "ProtectHome", "storage", "little_gain"),
        ("raid.service", "ProtectHome", "storage", "set"),
        ("mine.service", "ProtectHome", "unlisted", "test_first"),
        ("a@b.service", "ProtectHome", "unlisted", "test_first"),
        ("ssh.service.dpkg-old", "NoNewPrivileges", "not_a_unit", "not_a_unit"),
        ("ssh.service\n", "NoNewPrivileges", "not_a_unit", "not_a_unit"),
        ("$(reboot).service", "NoNewPrivileges", "not_a_unit", "not_a_unit"),
        (".service", "NoNewPrivileges", "not_a_unit", "not_a_unit"),
    ],
)
def test_role_and_advice_are_words_of_ours(unit: str, directive: str, role: str, advice: str) -> None:
    assert unit_role(CONTEXT, unit) == role
    assert directive_advice(CONTEXT, unit, directive) == advice


@pytest.mark.parametrize(
    ("directive", "value", "worth"),
    [
        ("NoNewPrivileges", "yes", None),
        ("NoNewPrivileges", "true", "respelled"),
        ("NoNewPrivileges", "1", "respelled"),
        ("NoNewPrivileges", "ON", "respelled"),
        ("NoNewPrivileges", "Yes", "respelled"),
        ("NoNewPrivileges", "no", "off"),
        ("NoNewPrivileges", "", "off"),
        ("NoNewPrivileges", "please", "unreadable"),
        ("NoNewPrivileges", "yes # really", "unreadable"),
        ("PrivateTmp", "disconnected", "stricter"),
        ("ProtectSystem", "strict", None),
        ("ProtectSystem", "full", "partial"),
        ("ProtectSystem", "true", "partial"),
        ("ProtectSystem", "no", "off"),
        ("ProtectHome", "read-only", None),
        ("ProtectHome", "yes", "stricter"),
        ("ProtectHome", "tmpfs", "stricter"),
        ("ProtectHome", "false", "off"),
        ("ProtectControlGroups", "strict", "stricter"),
        ("RestrictNamespaces", "~user", "partial"),
        ("RestrictNamespaces", "net ipc", "partial"),
        ("RestrictNamespaces", "moon", "unreadable"),
        ("CapabilityBoundingSet", "", "none_left"),
        ("CapabilityBoundingSet", "~", "off"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE", "no_root_like"),
        ("CapabilityBoundingSet", "cap_sys_admin", "root_like_left"),
        ("CapabilityBoundingSet", "~CAP_SYS_TIME CAP_WAKE_ALARM", "root_like_left"),
        ("CapabilityBoundingSet", None, None),
    ],
)
def test_a_value_is_worth_what_systemd_makes_of_it(directive: str, value: str | None, worth: str | None) -> None:
    assert directive_value(CONTEXT, value, directive) == worth
