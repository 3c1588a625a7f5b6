"""Signs that a finding is worse than its severity says: a table, and what it makes of a level.

A sign is read off what the rules know of a finding: its class, its features, the patterns that it is part of. Each has
a name and a reason, which stand among the factors of the score.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.finding import LEVELS, Level

SignName = Literal[
    "account_data_writable", "authority_writable", "code_altered", "code_without_file", "disguise", "foreign_library",
    "forged_letters", "hidden_in_scratch", "hiding_privilege", "imitation", "indicator_in_pattern", "malware_name",
    "open_without_login", "privilege_out_of_place", "privileged_interpreter", "probing_tool", "rootkit_family",
    "several_patterns", "shell_to_internet", "system_code_writable", "system_search_path",
]  # fmt: skip

_MALWARE = frozenset({"miner", "rootkit"})
_HIDING_NAMES = frozenset({"hidden", "control", "invisible", "not_utf8"})
_SCRATCH = frozenset({"tmp", "shm", "temporary", "memory"})
_CODE = frozenset({"program", "library", "boot", "kernel_module", "authentication", "unit"})
_SYSTEM = frozenset({"system_bin", "system_lib"})
_NO_LOGIN = frozenset(
    {
        "docker_api", "elasticsearch", "memcached", "mongodb", "redis", "rsh", "telnet", "tftp", "vnc", "x11",
    }
)  # fmt: skip
_ATTACKS = ("files.", "kernel.rootkit", "process.")
_ONE_ABOVE: frozenset[Level] = frozenset({"low", "medium", "high"})


@dataclass(slots=True, frozen=True)
class Subject:
    """What signs are read off.

    Attributes:
        patterns: how many patterns of an attack it is part of, see `count_patterns`.
        has_indicator: a local indicator matches.
        is_doubtless: it is open, and nothing speaks for a mistake of the scanner.
    """

    class_id: str
    category: str
    features: Mapping[str, str]
    patterns: int = 0
    has_indicator: bool = False
    is_doubtless: bool = True


@dataclass(slots=True, frozen=True)
class Sign:
    """One sign.

    Attributes:
        least: the level that a finding with it gets at least.
        why: the reason, as the second half of a sentence.
    """

    name: SignName
    holds: Callable[[Subject], bool]
    least: Level
    why: str


def _has(name: str, values: Collection[str]) -> Callable[[Subject], bool]:
    return lambda subject: subject.features.get(name) in values


def _all(*tests: Callable[[Subject], bool]) -> Callable[[Subject], bool]:
    return lambda subject: all(test(subject) for test in tests)


def _any(*tests: Callable[[Subject], bool]) -> Callable[[Subject], bool]:
    return lambda subject: any(test(subject) for test in tests)


def _class(*names: str) -> Callable[[Subject], bool]:
    return lambda subject: subject.class_id in names


def _privileged(subject: Subject) -> bool:
    return subject.category == "privileged_file" and subject.features.get("owner") != "distribution"


SIGNS: tuple[Sign, ...] = (
    Sign("indicator_in_pattern", lambda subject: subject.has_indicator and subject.patterns > 0, "critical",
         "an indicator matches and other findings fit"),
    Sign("code_without_file", _has("deleted", {"memfd"}), "critical", "code without a file is running"),
    Sign("hidden_in_scratch", _all(_has("name", _HIDING_NAMES), _has("place", _SCRATCH)), "critical",
         "nothing honest hides in a scratch directory"),
    Sign("privileged_interpreter", _all(_privileged, _has("tool", {"shell", "interpreter"})), "critical",
         "it gives its rights to any code"),
    Sign("forged_letters", _all(_privileged, _has("lookalike", {"homoglyph"})), "critical",
         "letters were swapped to deceive"),
    Sign("account_data_writable", _all(_class("world_writable.file"), _has("kind", {"account"})), "critical",
         "one edit makes any user root"),
    Sign("system_search_path", _all(_class("world_writable.path_dir"), _has("place", _SYSTEM)), "critical",
         "root runs commands from there"),
    Sign("rootkit_family", _has("family", {"rootkit"}), "critical", "the module bears a rootkit's name"),
    Sign("malware_name", _any(_has("program", _MALWARE), _has("tool", _MALWARE)), "high",
         "the name is one of known malware"),
    Sign("disguise", _has("relation", {"kernel_thread"}), "high", "kernel threads have no executable"),
    Sign("imitation", _all(_privileged, _has("lookalike", {"variant", "near"})), "high",
         "the name imitates a known privileged program"),
    Sign("hiding_privilege", _all(_privileged, _has("name", _HIDING_NAMES)), "high",
         "packaged programs are not named so"),
    Sign("privilege_out_of_place", _all(_privileged, _has("place", {"tmp", "shm", "home", "srv", "var", "etc"})),
         "high", "no privileged program is installed there"),
    Sign("foreign_library", _all(_class("ioc.suspicious_environment"), _has("place", {"system"}),
                                 _has("program", {"service", "shell", "container"})), "high",
         "no distribution starts its programs so"),
    Sign("authority_writable", _all(_class("world_writable.file"),
                                    _has("kind", {"startup", "schedule", "unit", "key"})), "high",
         "what is written there runs or is trusted as others"),
    Sign("system_code_writable", _all(_class("world_writable.file"), _has("kind", {"program", "library", "script"}),
                                      _has("place", _SYSTEM)), "high", "everybody runs code from there"),
    Sign("code_altered", _all(_class("integrity.pkg_mismatch"), _has("deviation", {"content", "capability"}),
                              _has("place", _CODE)), "high", "packages seldom change code after installation"),
    Sign("open_without_login", _all(_has("exposure", {"wildcard"}), _has("service", _NO_LOGIN)), "high",
         "whoever reaches it gets in"),
    Sign("shell_to_internet", _all(_class("ebpf_exec_trace.net_connect"), _has("scope", {"public"}),
                                   _has("program", {"shell", "interpreter", "netcat"})), "medium",
         "shells seldom need the internet"),
    Sign("probing_tool", _all(_class("ebpf_exec_trace.exec_trace", "ebpf_exec_trace.proc_exec_detected",
                                     "processes.inventory"), _has("program", {"netcat", "scanner"})), "low",
         "intruders use such tools, too"),
)  # fmt: skip


def strongest(subject: Subject, level: Level) -> tuple[SignName, Level, str] | None:
    """Give name, level and reason of the sign that asks for most above a level, the first of equals; None if none does.

    Where no sign says more, a finding that is part of several patterns of an attack gets one level more.
    """
    found: Sign | None = None
    reached = level
    for sign in SIGNS:
        if LEVELS.index(sign.least) > LEVELS.index(reached) and sign.holds(subject):
            found, reached = sign, sign.least
    if found is not None:
        return found.name, found.least, found.why
    if subject.is_doubtless and subject.patterns > 1 and level in _ONE_ABOVE:
        return "several_patterns", LEVELS[LEVELS.index(level) + 1], "it is part of several patterns at once"
    return None


def count_patterns(rules: Iterable[str]) -> int:
    """Count the patterns of an attack among correlation rules: not settings that are weak together, nor one thing seen
    twice."""
    return sum(map(is_attack, set(rules)))


def is_attack(rule: str) -> bool:
    """Say whether a correlation rule is a pattern of an attack."""
    return rule.startswith(_ATTACKS) and not rule.endswith("_seen_twice")
