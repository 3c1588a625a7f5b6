"""What a right answer is, apart from its words: level, action, controls and techniques.

The level starts from the floor that the rules set, and is raised only where what the case shows says more than
the severity does: each way is named here, with the words that say why. Nothing lowers it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from pipeline.analysis.case import selection
from pipeline.analysis.prompt import Case
from pipeline.analysis.question import THREAT_INTEL, Question
from pipeline.finding import LEVELS, Level
from pipeline.knowledge.schema import Knowledge

_SETTLED = frozenset({"passed", "accepted", "false_positive"})
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
_LOOKS_ONLY = frozenset({"accept", "manual"})


@dataclass(slots=True, frozen=True)
class Raise:
    """One way to a level above the floor.

    Attributes:
        least: the level that a case gets at least.
        because: ends a sentence that says so.
    """

    name: str
    holds: Callable[[Case], bool]
    least: Level
    because: str


@dataclass(slots=True, frozen=True)
class Ruling:
    """What the rubric asks of an answer; `raised` names the rule that the level comes from, if it is not the floor."""

    level: Level
    raised: Raise | None
    action: str | None
    controls: tuple[str, ...]
    techniques: tuple[str, ...]


def _has(name: str, values: Collection[str]) -> Callable[[Case], bool]:
    return lambda case: case.features.get(name) in values


def _all(*tests: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: all(test(case) for test in tests)


def _any(*tests: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: any(test(case) for test in tests)


def _class(*names: str) -> Callable[[Case], bool]:
    return lambda case: case.class_id in names


def _privileged(case: Case) -> bool:
    return case.category == "privileged_file" and case.features.get("owner") != "distribution"


def _patterns(case: Case) -> int:
    """Count the patterns of an attack around it: not settings that are weak together, nor one thing seen twice."""
    return sum(rule.startswith(_ATTACKS) and not rule.endswith("_seen_twice") for rule in case.context)


RAISES: tuple[Raise, ...] = (
    Raise("indicator_in_pattern", lambda case: THREAT_INTEL in case.context and _patterns(case) > 0, "critical",
          "an indicator matches and other findings fit"),
    Raise("code_without_file", _has("deleted", {"memfd"}), "critical", "code without a file is running"),
    Raise("hidden_in_scratch", _all(_has("name", _HIDING_NAMES), _has("place", _SCRATCH)), "critical",
          "nothing honest hides in a scratch directory"),
    Raise("privileged_interpreter", _all(_privileged, _has("tool", {"shell", "interpreter"})), "critical",
          "it gives its rights to any code"),
    Raise("forged_letters", _all(_privileged, _has("lookalike", {"homoglyph"})), "critical",
          "letters were swapped to deceive"),
    Raise("account_data_writable", _all(_class("world_writable.file"), _has("kind", {"account"})), "critical",
          "one edit makes any user root"),
    Raise("system_search_path", _all(_class("world_writable.path_dir"), _has("place", _SYSTEM)), "critical",
          "root runs commands from there"),
    Raise("rootkit_family", _has("family", {"rootkit"}), "critical", "the module bears a rootkit's name"),
    Raise("malware_name", _any(_has("program", _MALWARE), _has("tool", _MALWARE)), "high",
          "the name is one of known malware"),
    Raise("disguise", _has("relation", {"kernel_thread"}), "high", "kernel threads have no executable"),
    Raise("imitation", _all(_privileged, _has("lookalike", {"variant", "near"})), "high",
          "the name imitates a known privileged program"),
    Raise("hiding_privilege", _all(_privileged, _has("name", _HIDING_NAMES)), "high",
          "packaged programs are not named so"),
    Raise("privilege_out_of_place", _all(_privileged, _has("place", {"tmp", "shm", "home", "srv", "var", "etc"})),
          "high", "no privileged program is installed there"),
    Raise("foreign_library", _all(_class("ioc.suspicious_environment"), _has("place", {"system"}),
                                  _has("program", {"service", "shell", "container"})), "high",
          "no distribution starts its programs so"),
    Raise("authority_writable", _all(_class("world_writable.file"),
                                     _has("kind", {"startup", "schedule", "unit", "key"})), "high",
          "what is written there runs or is trusted as others"),
    Raise("system_code_writable", _all(_class("world_writable.file"), _has("kind", {"program", "library", "script"}),
                                       _has("place", _SYSTEM)), "high", "everybody runs code from there"),
    Raise("code_altered", _all(_class("integrity.pkg_mismatch"), _has("deviation", {"content", "capability"}),
                               _has("place", _CODE)), "high", "packages seldom change code after installation"),
    Raise("open_without_login", _all(_has("exposure", {"wildcard"}), _has("service", _NO_LOGIN)), "high",
          "whoever reaches it gets in"),
    Raise("shell_to_internet", _all(_class("ebpf_exec_trace.net_connect"), _has("scope", {"public"}),
                                    _has("program", {"shell", "interpreter", "netcat"})), "medium",
          "shells seldom need the internet"),
    Raise("probing_tool", _all(_class("ebpf_exec_trace.exec_trace", "ebpf_exec_trace.proc_exec_detected",
                                      "processes.inventory"), _has("program", {"netcat", "scanner"})), "low",
          "intruders use such tools, too"),
)  # fmt: skip


def rule(case: Case, question: Question, knowledge: Knowledge) -> Ruling:
    """Say what a right answer to a case has; `question` holds what the knowledge maps, in its order."""
    level, raised = _level(case)
    controls, techniques = selection(question)
    counts = question.evidence and question.status in ("open", "passed") and not _misread(case)
    return Ruling(
        level=level,
        raised=raised,
        action=_action(case, question, knowledge),
        controls=tuple(sorted(controls)) if counts else (),
        techniques=tuple(sorted(techniques)) if counts and question.status == "open" else (),
    )


def _level(case: Case) -> tuple[Level, Raise | None]:
    level, raised = case.floor, None
    if case.status in _SETTLED or (case.artefact is not None and case.artefact[1] != "cannot_tell"):
        return level, raised
    for way in RAISES:
        if LEVELS.index(way.least) > LEVELS.index(level) and way.holds(case):
            level, raised = way.least, way
    doubtless = raised is None and case.artefact is None and case.status == "open"
    if doubtless and case.floor in ("low", "medium", "high") and _patterns(case) > 1:
        above = LEVELS[LEVELS.index(case.floor) + 1]
        return above, Raise("several_patterns", lambda _: True, above, "it is part of several patterns at once")
    return level, raised


def _action(case: Case, question: Question, knowledge: Knowledge) -> str | None:
    """Choose what to do first: the first that the knowledge lists; only a look where the scanner is surely wrong."""
    if case.status in _SETTLED:
        return None
    fitting = [name for name in question.actions if name in case.actions]
    if _misread(case):
        fitting = [
            name
            for name in fitting
            if name.startswith("scanner.")
            or (name in knowledge.remediations and knowledge.remediations[name].kind in _LOOKS_ONLY)
        ]
    return fitting[0] if fitting else None


def _misread(case: Case) -> bool:
    return case.artefact is not None and case.artefact[1] == "certain"
