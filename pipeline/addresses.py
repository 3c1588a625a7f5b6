"""Network addresses as what they stand for, however they are written.

The scanner prints the 32-bit words of ``/proc/net/tcp6`` as they stand there, which on most machines is the wrong way
round; a program that listens on both families has its IPv4 peers as ``::ffff:a.b.c.d``; feeds and tools put brackets,
zones and ports around an address. One thing written in several ways is one thing.
"""

import ipaddress
import re
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WORDS = re.compile(r"(?:[0-9a-fA-F]{4}:){7}[0-9a-fA-F]{4}")
_KERNEL_V6 = re.compile(r"[0-9a-fA-F]{32}")
_KERNEL_V4 = re.compile(r"[0-9A-F]{8}")
_BRACKETS = re.compile(r"\[(?P<address>[^\]]*)\](?::(?P<port>\d{1,5}))?")
_WITH_PORT = re.compile(r"(?P<address>[0-9.]+|[0-9A-Fa-f]{8}|[0-9A-Fa-f]{32}):(?P<port>[0-9A-Fa-f]{1,5})")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# What hosts really have. The rest of the IPv6 space is not given out, so a reading that falls there is absurd.
_GIVEN_OUT = tuple(
    ipaddress.IPv6Network(text) for text in ("2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", "64:ff9b::/96", "::/127")
)
_LONGEST = 128  # characters; the longest form of all, with brackets, zone and port, is shorter


@dataclass(slots=True, frozen=True)
class Reading:
    """What a text stands for.

    Attributes:
        address: IPv4 wherever it is one, also where it was written as an IPv6 address.
        certain: false where the order of the words cannot be told, so that each order is one reading.
    """

    address: Address
    certain: bool = True


def readings(text: str) -> tuple[Reading, ...]:
    """Return what an address in a report stands for: nothing where it is none, two where its byte order is open."""
    bare = _bare(text)
    if bare is None:
        return ()
    if _KERNEL_V4.fullmatch(bare):  # as in /proc/net/tcp
        return (Reading(ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(bare), "little"))),)
    if _WORDS.fullmatch(bare) or _KERNEL_V6.fullmatch(bare):
        written = ipaddress.IPv6Address(bytes.fromhex(bare.replace(":", "")))
        turned = ipaddress.IPv6Address(_turned(written.packed))
        known = [one for one in dict.fromkeys((written, turned)) if _is_given_out(one)]
        both = known or list(dict.fromkeys((written, turned)))
        return tuple(Reading(plain(one), certain=len(both) == 1) for one in both)
    try:
        return (Reading(plain(ipaddress.ip_address(bare))),)
    except ValueError:
        return ()


def network_of(text: str, strict: bool = False) -> Network | None:
    """Return the network (or the one address) that an operator or a feed wrote, or None where it is none.

    Args:
        strict: an address inside of a network, with that network's length, is none.
    """
    bare, slash, length = text.strip().partition("/")
    # An address with a port is one program on that host, not the host.
    if len(text) > _LONGEST or (_BRACKETS.fullmatch(bare) or [None] * 3)[2] is not None:
        return None
    bare = bare.removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        network = ipaddress.ip_network(f"{bare}{slash}{length}", strict=strict)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        inner = plain(network.network_address)
        return ipaddress.ip_network(f"{inner}/{network.prefixlen - 96}")
    return network


def plain(address: Address) -> Address:
    """Return an address without its zone, and as IPv4 where it is one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return address.ipv4_mapped or ipaddress.IPv6Address(int(address))


def is_given_out(address: Address) -> bool:
    """Say whether hosts can have such an address."""
    return isinstance(address, ipaddress.IPv4Address) or _is_given_out(address)


def _bare(text: str) -> str | None:
    """Take away brackets, port and zone."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return None
    around = _BRACKETS.fullmatch(text) or _WITH_PORT.fullmatch(text)
    return (around["address"] if around is not None else text).partition("%")[0]


def _is_given_out(address: ipaddress.IPv6Address) -> bool:
    return address in _MAPPED or any(address in network for network in _GIVEN_OUT)


def _turned(packed: bytes) -> bytes:
    return b"".join(packed[start : start + 4][::-1] for start in range(0, 16, 4))
