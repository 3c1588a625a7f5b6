"""Mandatory access control: the state of SELinux and AppArmor."""

from pipeline.features.registry import FeatureContext, feature

_APPARMOR_SYSTEMS = frozenset(
    {"debian", "ubuntu", "linuxmint", "pop", "raspbian", "kali", "devuan", "opensuse-leap", "sles", "sled"}
)
_SELINUX_SYSTEMS = frozenset(
    {"rhel", "centos", "rocky", "almalinux", "fedora", "ol", "amzn", "opensuse-microos", "sle-micro"}
)
_SELINUX_STRICTNESS = {"disabled": 0, "permissive": 1, "enforcing": 2}


@feature
def mac_platform(context: FeatureContext) -> str | None:
    """Return which of the two the distribution ships and enables, or None where that is not known."""
    system = (context.header.os_id or "").strip().lower()
    if system in _APPARMOR_SYSTEMS:
        return "apparmor"
    return "selinux" if system in _SELINUX_SYSTEMS else None


@feature
def selinux_mode(
    context: FeatureContext, present: str | None, enforcing: str | None, permissive: str | None
) -> str | None:
    """``absent``, ``enforcing``, ``permissive``, or ``unreadable`` where it is present and its mode is not known."""
    if present == "false":
        return "absent"
    if present != "true":
        return None
    if enforcing == "true":
        return "enforcing"
    return "permissive" if permissive == "true" else "unreadable"


@feature
def selinux_after_boot(
    context: FeatureContext, config_mode: str | None, enforcing: str | None, permissive: str | None
) -> str | None:
    """Compare the configured mode with the running one: ``same``, ``weaker``, ``stricter`` or ``other``."""
    if config_mode is None:
        return None
    wanted = _SELINUX_STRICTNESS.get(config_mode.strip().lower())
    if wanted is None:
        return "other"
    if enforcing == "true":
        running = 2
    elif permissive == "true":
        running = 1
    else:
        return None
    if wanted == running:
        return "same"
    return "weaker" if wanted < running else "stricter"


@feature
def apparmor_mode(context: FeatureContext, enabled: str | None, mode_line: str | None) -> str | None:
    """``off``, ``on``, or ``switched_off``: in the kernel but disabled, which the scanner reports as enabled."""
    if enabled == "false":
        return "off"
    if enabled != "true":
        return None
    return "switched_off" if (mode_line or "Y").strip().upper() in {"N", "0"} else "on"


@feature
def mac_process_count(context: FeatureContext, count: str | None) -> str | None:
    """``none``, ``few`` (up to five) or ``many`` processes; None where the scanner gave no number."""
    if count is None or not (count.isascii() and count.isdigit()):
        return None
    digits = count.lstrip("0")
    if not digits:
        return "none"
    return "few" if len(digits) == 1 and digits <= "5" else "many"


@feature
def mac_sees_all_processes(context: FeatureContext) -> str | None:
    """``no`` where the scan ran as an ordinary user, who cannot see what others execute; ``yes`` for root."""
    if context.header.euid is None:
        return None
    return "yes" if context.header.euid == "0" else "no"
