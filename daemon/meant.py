"""Says for whom a request was meant."""

import ipaddress


def names_this_machine(host: str | None) -> bool:
    """Say whether a request was meant for us, by its `Host`.

    A page from elsewhere can have its own name lead to 127.0.0.1, and would then be let read what is served here.
    """
    if not host:
        return False
    name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
