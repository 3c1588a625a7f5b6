"""Sockets: who can reach them, which service the port belongs to, and their state."""

from pipeline.addresses import readings
from pipeline.features.registry import FeatureContext, feature

_SERVICES = {
    "tcp": {
        "ftp": (20, 21), "ssh": (22,), "telnet": (23, 2323), "mail": (25, 465, 587), "dns": (53,), "http": (80, 8080),
        "pop_imap": (110, 143, 993, 995), "rpcbind": (111,), "samba": (139, 445), "ldap": (389, 636),
        "https": (443, 8443), "rsh": (512, 513, 514), "cups": (631,), "rsync": (873,), "nfs": (2049,),
        "docker_api": (2375, 2376), "squid": (3128,), "mysql": (3306,), "rdp": (3389,), "postgresql": (5432,),
        "vnc": (5900, 5901), "x11": (6000,), "redis": (6379,), "kubernetes": (6443, 10250),
        "elasticsearch": (9200, 9300), "memcached": (11211,), "mongodb": (27017,),
    },
    "udp": {
        "dns": (53,), "dhcp": (67, 68), "tftp": (69,), "rpcbind": (111,), "ntp": (123,), "netbios": (137, 138),
        "snmp": (161, 162), "ldap": (389,), "ipsec": (500, 4500), "syslog": (514,), "ssdp": (1900,), "nfs": (2049,),
        "mdns": (5353,), "memcached": (11211,), "wireguard": (51820,),
    },
}  # fmt: skip
_BY_PORT = {
    protocol: {port: name for name, ports in services.items() for port in ports}
    for protocol, services in _SERVICES.items()
}
_FIRST_REGISTERED = 1024
_FIRST_EPHEMERAL = 32768  # Linux default of ip_local_port_range
_HIGHEST = 65535

_STATES = {
    "ESTABLISHED": "established", "SYN_SENT": "opening", "SYN_RECV": "opening", "FIN_WAIT1": "closing",
    "FIN_WAIT2": "closing", "TIME_WAIT": "closing", "CLOSE": "closing", "CLOSE_WAIT": "closing",
    "LAST_ACK": "closing", "CLOSING": "closing",
}  # fmt: skip


@feature
def socket_exposure(context: FeatureContext, address: str | None) -> str | None:
    """Return where a local address can be reached from: ``loopback``, ``wildcard`` (all interfaces) or ``specific``."""
    if not address:
        return None
    if address.strip() == "*":
        return "wildcard"
    meant = [reading.address for reading in readings(address)]
    if any(one.is_unspecified for one in meant):
        return "wildcard"
    return "loopback" if any(one.is_loopback for one in meant) else "specific"


@feature
def socket_service(context: FeatureContext, protocol: str | None, port: str | None) -> str | None:
    """Return the service that a port is registered for, else the range of the port.

    A port number proves nothing: any program may listen on 22.
    """
    if port is None or not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    number = int(port)
    if number > _HIGHEST:
        return None
    name = _BY_PORT["udp" if (protocol or "").startswith("udp") else "tcp"].get(number)
    if name is not None:
        return name
    if number < _FIRST_REGISTERED:
        return "other_privileged"
    return "other_registered" if number < _FIRST_EPHEMERAL else "ephemeral"


@feature
def socket_state(context: FeatureContext, state: str | None) -> str | None:
    """``established``, ``opening``, ``closing``, or ``other``."""
    return None if state is None else _STATES.get(state, "other")
