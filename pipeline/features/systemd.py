"""What a systemd unit is for, what its setting is worth, and whether the textbook setting would break it."""

import re

from pipeline.features.registry import FeatureContext, feature
from pipeline.knowledge.schema import Knowledge, UnitFact

# How systemd itself spells booleans (parse_boolean); the scanner knows "yes" only.
_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE = frozenset({"0", "no", "n", "false", "f", "off"})
_WANTED = {"ProtectSystem": "strict", "ProtectHome": "read-only"}
# Values that restrict more than the one that the scanner asks for.
_STRICTER = {
    "PrivateTmp": frozenset({"disconnected"}),
    "ProtectHome": _TRUE | {"tmpfs"},
    "ProtectControlGroups": frozenset({"private", "strict"}),
}
# Capabilities that are as good as root when a service is broken into.
_ROOT_LIKE = frozenset(
    {
        "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE", "CAP_SETUID",
        "CAP_SETFCAP", "CAP_BPF", "CAP_MAC_ADMIN",
    }
)  # fmt: skip
_NAMESPACES = frozenset({"cgroup", "ipc", "net", "mnt", "pid", "user", "uts", "time"})
_UNIT_FILE = re.compile(r"\A[\w:.\\@-]+\.service\Z", re.ASCII)


def find_unit(knowledge: Knowledge, name: str) -> UnitFact | None:
    """Return what is known of a unit: by its name, or for an instance by its template's."""
    unit = knowledge.units.get(name)
    if unit is None and (at := name.find("@")) > 0:
        unit = knowledge.units.get(f"{name[: at + 1]}.service") if name.endswith(".service") else None
    return unit


def contraindication(knowledge: Knowledge, unit: str, directive: str) -> str | None:
    """Return why the directive would break the unit, or None when nothing is known to speak against it."""
    fact = find_unit(knowledge, unit)
    if fact is None:
        return None
    reason = fact.breaks.get(directive)
    if reason is None and (role := knowledge.roles.get(fact.role)) is not None:
        reason = role.breaks.get(directive)
    return reason


@feature
def unit_role(context: FeatureContext, unit: str | None) -> str | None:
    """Return the role of the unit, ``unlisted`` for one that the curated list lacks, or ``not_a_unit`` for a file that
    systemd does not read as a service (the scanner takes any name with ".service" in it)."""
    if unit is None:
        return None
    if _UNIT_FILE.search(unit) is None:
        return "not_a_unit"
    fact = find_unit(context.knowledge, unit)
    return "unlisted" if fact is None else fact.role


@feature
def directive_advice(context: FeatureContext, unit: str | None, directive: str | None) -> str | None:
    """Return what to make of a unit without the directive.

    ``not_a_unit | test_first`` (not on the list) ``| leave`` (it would break the unit) ``| little_gain`` (a short
    privileged task that takes no requests) ``| set``.
    """
    if unit is None or directive is None:
        return None
    if _UNIT_FILE.search(unit) is None:
        return "not_a_unit"
    fact = find_unit(context.knowledge, unit)
    if fact is None:
        return "test_first"
    if contraindication(context.knowledge, unit, directive) is not None:
        return "leave"
    short_task = fact.role == "boot" or (fact.role == "storage" and fact.kind != "daemon")
    return "little_gain" if short_task else "set"


@feature
def directive_value(context: FeatureContext, value: str | None, directive: str | None) -> str | None:
    """Return what a setting is worth that is neither absent nor exactly as wanted.

    ``respelled`` (the wanted value, spelled as the scanner does not know) ``| stricter | partial`` (restricts, but
    less than wanted) ``| off | unreadable``; for a capability bounding set ``none_left | no_root_like |
    root_like_left | off``. None otherwise: then the status says it all, so that the formats which carry no values
    give the same situations as those which do.
    """
    if value is None or directive is None:
        return None
    if directive == "CapabilityBoundingSet":
        return _bounding_set(value)
    word = value.lower()
    wanted = _WANTED.get(directive, "yes")
    if value == wanted:
        return None
    if word in _STRICTER.get(directive, ()):
        return "stricter"
    if directive == "ProtectSystem" and (word == "full" or word in _TRUE):
        return "partial"
    if directive == "RestrictNamespaces" and _names_namespaces(word):
        return "partial"
    if wanted == "yes" and word in _TRUE:
        return "respelled"
    return "off" if word in _FALSE or not word else "unreadable"


def _names_namespaces(word: str) -> bool:
    names = word.removeprefix("~").split()
    return bool(names) and _NAMESPACES.issuperset(names)


def _bounding_set(value: str) -> str:
    names = value.upper().split()
    if not names:
        return "none_left"
    if names[0].startswith("~"):
        removed = {names[0][1:], *names[1:]} - {""}
        if not removed:
            return "off"
        return "no_root_like" if removed >= _ROOT_LIKE else "root_like_left"
    return "root_like_left" if _ROOT_LIKE.intersection(names) else "no_root_like"
