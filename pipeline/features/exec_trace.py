"""Features of traced process starts and connections, and of the process inventory."""

from ipaddress import ip_address

from pipeline.features.process import known_tool
from pipeline.features.registry import FeatureContext, feature

_NO_COMMAND = "(no cmdline)"
_LARGEST_SYSTEM_UID = 999
_NOBODY = 65534


@feature
def program_kind(context: FeatureContext, name: str | None) -> str | None:
    """Return what kind of program a process name or argv[0] claims to be; ``other`` where our list has none."""
    if name is None:
        return None
    if name == _NO_COMMAND:
        return "kernel_thread"
    fact = known_tool(context.knowledge.tools, name)
    return fact.kind if fact is not None else "other"


@feature
def process_owner(context: FeatureContext, uid: str | None) -> str | None:
    """Return whose process it is: ``root``, ``system``, ``user``; None where user ids are left out."""
    if uid is None or not uid.isascii() or not uid.isdigit() or len(uid) > 10:
        return None
    number = int(uid)
    if number == 0:
        return "root"
    return "system" if number <= _LARGEST_SYSTEM_UID or number == _NOBODY else "user"


@feature
def in_container(context: FeatureContext, container: str | None) -> str | None:
    """Say that a process belongs to a container."""
    return "true" if container else None


@feature
def address_scope(context: FeatureContext, address: str | None) -> str | None:
    """Return how far an address reaches: ``loopback``, ``link_local``, ``private``, ``multicast`` or ``public``."""
    if address is None:
        return None
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if parsed.is_loopback:
        return "loopback"
    if parsed.is_link_local:
        return "link_local"
    if parsed.is_multicast:
        return "multicast"
    return "private" if parsed.is_private else "public"


@feature
def port_range(context: FeatureContext, port: str | None) -> str | None:
    """Put a port into a bucket: ``dns``, ``web``, ``ssh``, ``mail``, ``privileged``, ``high``."""
    if port is None or not port.isascii() or not port.isdigit() or len(port) > 5:
        return None
    known = {"53": "dns", "80": "web", "443": "web", "8080": "web", "8443": "web", "22": "ssh"}
    mail = {"25": "mail", "465": "mail", "587": "mail"}
    return known.get(port) or mail.get(port) or ("privileged" if int(port) < 1024 else "high")
