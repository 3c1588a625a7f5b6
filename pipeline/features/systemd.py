"""systemd units: their role, the effect of a setting, and whether the recommended setting would break the unit."""

import re

from pipeline.features.registry import FeatureContext, feature
from pipeline.knowledge.schema import Knowledge, UnitFact

# The spellings of booleans that systemd accepts (parse_boolean); the scanner knows only "yes".
_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE = frozenset({"0", "no", "n", "false", "f", "off"})
_WANTED = {"ProtectSystem": "strict", "ProtectHome": "read-only"}
# Values that restrict more than the one that the scanner recommends.
_STRICTER = {
    "PrivateTmp": frozenset({"disconnected"}),
    "ProtectHome": _TRUE | {"tmpfs"},
    "ProtectControlGroups": frozenset({"private", "strict"}),
}
# Capabilities that amount to root when a service is compromised.
_ROOT_LIKE = frozenset(
    {
        "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE", "CAP_SETUID",
        "CAP_SETFCAP", "CAP_BPF", "CAP_MAC_ADMIN",
    }
)  # fmt: skip
_NAMESPACES = frozenset({"cgroup", "ipc", "net", "mnt", "pid", "user", "uts", "time"})
_UNIT_FILE = re.compile(r"\A[\w:.\\@-]+\.service\Z", re.ASCII)


def find_unit(knowledge: Knowledge, name: str) -> UnitFact | None:
    """Return what is known of a unit, by its name, or for an instance by the name of its template."""
    unit = knowledge.units.get(name)
    if unit is None and (at := name.find("@")) > 0:
        unit = knowledge.units.get(f"{name[: at + 1]}.service") if name.endswith(".service") else None
    return unit


def contraindication(knowledge: Knowledge, unit: str, directive: str) -> str | None:
    """Return why the directive would break the unit, or None when no reason is known."""
    fact = find_unit(knowledge, unit)
    if fact is None:
        return None
    reason = fact.breaks.get(directive)
    if reason is None and (role := knowledge.roles.get(fact.role)) is not None:
        reason = role.breaks.get(directive)
    return reason


@feature
def unit_role(context: FeatureContext, unit: str | None) -> str | None:
    """Return the role of the unit, ``unlisted`` if it is not in our list, or ``not_a_unit``.

    ``not_a_unit`` is a file that systemd does not read as a service; the scanner takes any name with ".service" in it.
    """
    if unit is None:
        return None
    if _UNIT_FILE.search(unit) is None:
        return "not_a_unit"
    fact = find_unit(context.knowledge, unit)
    return "unlisted" if fact is None else fact.role


@feature
def directive_advice(context: FeatureContext, unit: str | None, directive: str | None) -> str | None:
    """Return the advice for a unit that lacks the directive.

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
    """Return the effect of a setting that is neither absent nor exactly the recommended one.

    ``respelled`` (the recommended value in a spelling that the scanner does not know) ``| stricter | partial``
    (restricts, but less than recommended) ``| off | unreadable``; for a capability bounding set ``none_left |
    no_root_like | root_like_left | off``. None otherwise: then the status is enough, and formats without values lead
    to the same situations as those with them.
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
