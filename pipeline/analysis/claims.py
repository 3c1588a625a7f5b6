"""What a sentence says of a case, held to the case: value, role, place, family, setting, state, unit and count.

A claim is a form of words that means something about a feature. Where the case does not have that feature with such
a value, the sentence is not supported, and the answer is refused. What is said in words that are not listed here is not
looked at; `docs/scorecard.md` has what that comes to.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from pipeline.analysis.prompt import Case


@dataclass(slots=True, frozen=True)
class Claims:
    """Words in one form, each of which says something about a feature.

    Attributes:
        dimension: what is said, for the reason that an answer is refused with.
        features: those that the words are about.
        form: a regular expression around ``<words>``.
        table: words (alternatives joined by ``|``), and the values of these features any of which supports them. A
            value of several parts joined by ``+`` has each.
        any: finds whether any of the words is there; nearly always none is, which is the cheapest to know.
    """

    dimension: str
    features: tuple[str, ...]
    form: str
    table: Mapping[str, str]
    any: re.Pattern[str]

    def said_in(self, text: str) -> Iterator[frozenset[str]]:
        """Give, for each of the words that a text in small letters has, the values that support them."""
        if self.any.search(text) is not None:
            for words, values in self.table.items():
                if _pattern(self.form, words).search(text) is not None:
                    yield frozenset(values.split())


@cache
def _pattern(form: str, words: str) -> re.Pattern[str]:
    """Compile for texts in small letters, which is ten times as fast as leaving it to the expression."""
    return re.compile(form.replace("<words>", f"(?:{words})").lower())


def _claims(dimension: str, features: Sequence[str], table: Mapping[str, str], form: str) -> Claims:
    return Claims(dimension, tuple(features), form, table, _pattern(form, "|".join(table)))


DIMENSIONS: Final = (
    "count", "family", "place", "program", "role", "runtime", "setting", "state", "unit", "value"
)  # fmt: skip

_ROLES = {
    "starts login shells": "session", "runs jobs of others": "job_runner",
    "sets the system up or shuts it down": "boot", "looks after file systems": "storage", "manages hardware": "device",
    "is part of the system's core": "core", "runs the network interfaces": "network",
    "installs and updates software": "packages", "collects logs": "logging", "answers requests": "server",
    "runs containers or virtual machines": "engine", "guards the host": "guard", "builds tunnels": "vpn",
    "works for a remote manager": "agent", "serves the desktop": "desktop",
    "is (?:not on|no unit of) our list": "unlisted", "is no unit\\b(?! of)": "not_a_unit",
}  # fmt: skip
_PLACES = {
    "a temporary directory|a scratch directory": "tmp temporary /tmp /var/tmp temporary_path hardlink",
    "shared memory": "shm /dev/shm temporary", "a home directory": "home /home below_home root_home home_path",
    "root's home": "root_home", "/usr/local": "usr_local local",
    "/opt": "opt local", "a system program directory": "system_bin", "a system library directory": "system_lib",
    "/boot": "boot", "container storage|a container layer": "container_storage container",
    "a removable mount": "mount", "a spool directory": "spool", "an application bundle": "app_bundle",
    "a directory for served data": "srv", "an unusual place": "other", "a user's run-time directory": "run_user",
}  # fmt: skip
_BELOW = {
    "below /usr": "system_other usr_local local", "below /etc": "etc", "below /var": "var",
    "below /run": "run run_user", "below /dev": "dev", "below /proc": "proc",
    "among the logs": "var_log", "at a relative path": "relative",
    "lies in memory|, in memory|\\} in memory": "memory memfd runtime_memory",
}  # fmt: skip
_FAMILIES = {
    "virtualisation": "hypervisor vendor_virtualisation", "cryptography": "crypto",
    "graphics": "graphics vendor_graphics", "platform": "platform", "input": "input", "file system": "filesystem",
    "packet filter": "netfilter", "guest driver": "guest_driver", "kernel library": "kernel_library",
    "storage": "storage vendor_storage", "networking": "network_core", "RAID and mapping": "raid_and_mapping",
    "virtual network": "network_virtual", "network card": "network_driver", "network file system": "network_filesystem",
    "network protocol": "network_protocol", "external bus": "external_bus", "USB storage": "usb_storage",
    "media": "camera_and_media", "built-in": "builtin", "hardware": "vendor_hardware", "network": "vendor_network",
    "security product": "vendor_security", "sound": "sound", "wireless": "wireless", "usb": "usb",
}  # fmt: skip
_DRIVEN = {
    "network card": "network_driver", "sound card": "sound", "graphics card": "graphics vendor_graphics",
    "camera": "camera_and_media", "file system": "filesystem network_filesystem",
    "network protocol": "network_protocol", "packet filter": "netfilter", "virtual network": "network_virtual",
    "hypervisor": "hypervisor", "wireless (?:card|adapter)": "wireless", "USB stick|USB device": "usb usb_storage",
    "disk controller": "storage", "security product": "vendor_security",
}  # fmt: skip
_CLAIMS: Final[Sequence[Claims]] = (
    _claims("role", ["role"], _ROLES, r"<words>"),
    _claims("place", ["place", "deleted", "match"], _PLACES, r"\b(?:in|out of|from|below|on|at) <words>(?![\w/])"),
    _claims("place", ["place", "deleted", "match"], _BELOW, r"<words>(?![\w/])"),
    _claims("family", ["family"], _FAMILIES, r"\(<words>\)|\ban? <words> (?:module|driver|that)\b"),
    _claims("family", ["family"], _DRIVEN, r"\b(?:is|drives|serves|for|of) an? <words>\b"),
    _claims("program", ["program"], {
        "a shell": "shell", "an interpreter": "interpreter", "a desktop program": "desktop",
        "a developer's tool": "developer", "a backup tool": "backup", "a container tool": "container",
        "a monitoring tool": "monitoring", "a miner": "miner",
    }, r"\}, <words>,|\bis <words>[.,;]"),
    _claims("runtime", ["runtime"], {
        "Docker": "docker", "containerd": "containerd", "Podman": "podman", "CRI-O": "crio",
    }, r"\bunder <words>\b"),
)  # fmt: skip


_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_VALUES = (
    re.compile(r"\bvalue (?:is |of |stands at )?(\d+)\b", re.IGNORECASE),
    re.compile(r"\bvalue of \S+ (?:is|stands at) (\d+)\b", re.IGNORECASE),
    re.compile(r"\b(?:kernel|net|fs|vm|user|dev)\.[a-z0-9_.]+ (?:is|at|to|stands at|set to|=) ?(\d+)\b"),
)
_COUNTED = re.compile(
    r"(?<![\w.])(?:\d+|two|three|four|five|six|seven|eight|nine|ten|dozens of|hundreds of|thousands of) "
    r"(?:(?!than\b)[a-z]+ )?(?:processes|files|modules|services|mounts|ports|connections|packages|units|entries|"
    r"findings|containers|programs|sockets|users|accounts|libraries|profiles)\b",
    re.IGNORECASE,
)
_NAMED_UNIT = re.compile(r"\b[\w@-]+\.(?:service|socket|timer|target|slice)\b")
_DIRECTIVE = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+|[A-Z]{2,})+[a-z]*\b")
_NOT_DIRECTIVES = frozenset({"AppArmor"})
_OPTION = re.compile(r"\b(nosuid|nodev|noexec)\b")
_UNSET = re.compile(r"\b(?:is|are) (?:missing|not set|unset)\b|\bdoes not set\b|\bturned \S+ off\b")
_SET = re.compile(r"\}? (?<!to )sets [A-Z]\w+=")
_OF_MAC = re.compile(
    r"(?<!nor )\b(SELinux|AppArmor) (?:(?:is|stays|stands) (?:in the kernel but )?)(?:now |still )?"
    r"(on|active|enabled|enforcing|in enforcing mode|permissive|off|not active|disabled|switched off|inactive|absent|"
    r"not installed|missing)(?: and (on|off|absent|active))?\b"
)
_IS_ON = frozenset({"on", "active", "enabled", "enforcing", "in enforcing mode", "permissive"})
_IS_ABSENT = frozenset({"absent", "not installed", "missing"})
_STATES = {  # what may be said of a system of access control in this mode
    "on": "on", "enforcing": "on", "permissive": "on", "other": "on",
    "off": "off absent", "switched_off": "off", "disabled": "off", "absent": "absent off",
}  # fmt: skip
# Settings that are on where they are not 0.
_SWITCHES = re.compile(r"\.(?:sysctl_)?(?:ip_forward|tcp_syncookies|rp_filter|randomize_va_space)$")
_SWITCHED = re.compile(r"(?<!default) \b(?:is|are)(?: fully)?(?: switched)? (on|off)\b")
_SENTENCE = re.compile(r"(?<=\.) ")


def unsupported(case: Case, text: str) -> str | None:
    """Name what a text says without the case supporting it: one of `DIMENSIONS`, or None.

    What stands around a finding (correlations) has sentences of its own, so a sentence about a state is looked at only
    where it is about the finding's own subject.
    """
    return next(_dimensions(case, text), None)


def _dimensions(case: Case, text: str) -> Iterator[str]:
    own = {*case.features, *re.split(r"[._]", case.class_id)}
    small = text.lower()
    for claims in _CLAIMS:
        for values in claims.said_in(small):
            had = {part for name in claims.features for part in case.features.get(name, "").split("+")}
            if not values & (had | own):
                yield claims.dimension
    bare = _PLACEHOLDER.sub("{}", text)
    value = case.features.get("value")
    if any(found[1] != value for pattern in _VALUES for found in pattern.finditer(bare)):
        yield "value"
    if _COUNTED.search(bare) is not None:
        yield "count"
    if _NAMED_UNIT.search(bare) is not None:
        yield "unit"
    known = f"{case.class_id} {case.title} {' '.join(case.candidates)} {' '.join(case.features.values())}"
    if any(name not in known for name in _DIRECTIVE.findall(bare) if name not in _NOT_DIRECTIVES):
        yield "setting"
    yield from _states(case, bare)


def _states(case: Case, text: str) -> Iterator[str]:
    area = case.class_id.partition(".")[0]
    if area == "mounts" and case.status == "open" and "missing" in case.features:
        missing = case.features["missing"].split("+")
        first = _SENTENCE.split(text)[0]
        if any(option not in missing and option not in case.class_id for option in _OPTION.findall(first)):
            yield "setting"
    if area == "systemd_units" and case.status == "passed" and _UNSET.search(text) is not None:
        yield "state"
    if area == "systemd_units" and case.status == "open" and _SET.search(text) is not None:
        yield "state"
    if _SWITCHES.search(case.class_id) is not None and case.features.get("value", "").isdigit():
        right = "off" if case.features["value"] == "0" else "on"
        if any(said != right for said in _SWITCHED.findall(_SENTENCE.split(text)[0])):
            yield "state"
    if area == "mac" or not case.context:
        yield from _of_access_control(case, text)


def _of_access_control(case: Case, text: str) -> Iterator[str]:
    subject = {"mac.apparmor": "AppArmor", "mac.selinux": "SELinux"}.get(case.class_id)
    allowed = _STATES.get(case.features.get("mode", ""), "on off absent").split()
    for name, said, more in _OF_MAC.findall(text):
        states = {_state(one) for one in (said, more) if one}
        if name != subject:
            # The other system is known only where neither is on, and then no more than that.
            if case.class_id not in ("mac.none", "mac.dual") and not (
                subject and states == {"off"} and subject in text
            ):
                yield "state"
        elif not states <= set(allowed):
            yield "state"


def _state(word: str) -> str:
    return "on" if word in _IS_ON else "absent" if word in _IS_ABSENT else "off"
