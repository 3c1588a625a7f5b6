"""Features of traced process starts and connections, and of the process inventory."""

from ipaddress import ip_address

from pipeline.features.process import known_tool
from pipeline.features.registry import FeatureContext, feature

_NO_COMMAND = "(no cmdline)"
_LARGEST_SYSTEM_UID = 999
_NOBODY = 65534


@feature
def program_kind(context: FeatureContext, name: str | None) -> str | None:
    """Return the kind of program that a process name or argv[0] claims to be; ``other`` if it is not in our list."""
    if name is None:
        return None
    if name == _NO_COMMAND:
        return "kernel_thread"
    fact = known_tool(context.knowledge.tools, name)
    return fact.kind if fact is not None else "other"


@feature
def process_owner(context: FeatureContext, uid: str | None) -> str | None:
    """Return who runs a process: ``root``, ``system`` or ``user``; None where the report has no user id."""
    if uid is None or not uid.isascii() or not uid.isdigit() or len(uid) > 10:
        return None
    number = int(uid)
    if number == 0:
        return "root"
    return "system" if number <= _LARGEST_SYSTEM_UID or number == _NOBODY else "user"


@feature
def in_container(context: FeatureContext, container: str | None) -> str | None:
    """Return ``true`` for a process in a container, else None."""
    return "true" if container else None


@feature
def address_scope(context: FeatureContext, address: str | None) -> str | None:
    """Return the scope of an address: ``loopback``, ``link_local``, ``private``, ``multicast`` or ``public``."""
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
    """Return the range that a port belongs to: ``dns``, ``web``, ``ssh``, ``mail``, ``privileged`` or ``high``."""
    if port is None or not port.isascii() or not port.isdigit() or len(port) > 5:
        return None
    known = {"53": "dns", "80": "web", "443": "web", "8080": "web", "8443": "web", "22": "ssh"}
    mail = {"25": "mail", "465": "mail", "587": "mail"}
    return known.get(port) or mail.get(port) or ("privileged" if int(port) < 1024 else "high")
