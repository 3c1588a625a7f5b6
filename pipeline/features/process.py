"""Names of processes: which program runs, from where, and whether argv[0] fits the executable."""

import re
from collections.abc import Mapping
from functools import lru_cache

from pipeline.features.paths import DELETED, merged, place_of
from pipeline.features.registry import FeatureContext, feature
from pipeline.knowledge.schema import ToolFact

# The scanner's own word lists, the most significant first.
_MINERS = ("xmrig", "minerd", "cryptominer")
_KERNEL_NAMES = ("kworker", "kthreadd")
_TEMPORARY = ("/dev/shm", "/var/tmp", "/tmp")  # noqa: S108 - compared with, never opened
_BOT_WORD = re.compile(r"(?<![A-Za-z])bot(?![A-Za-z])")
_BRACKETS = re.compile(r"\A\[[^\[\]]+\]\Z")
# Matches only at the start of a number, so that a name of a million digits takes linear time.
_VERSION = re.compile(r"(?:-|(?<![0-9])(?<![0-9]\.))[0-9]++(?:\.[0-9]++)*+\Z")
_PREFIX_ONLY = re.compile(r"\A(?:/tmp|/dev/shm|/var/tmp|/home)[^/]")

# Names of the same program, as distributions link them.
_ALIASES = (
    frozenset({"sh", "dash", "bash", "ash", "busybox"}),
    frozenset({"awk", "mawk", "gawk", "original-awk"}),
    frozenset({"vi", "vim", "vim.basic", "vim.tiny", "vim.nox", "view", "ex", "rvim", "vimdiff"}),
    frozenset({"nc", "netcat", "ncat", "nc.openbsd", "nc.traditional"}),
    frozenset({"udevadm", "systemd-udevd", "udevd"}),
    frozenset({"init", "systemd", "systemd-executor", "(sd-pam)"}),
    frozenset({"exim", "exim4", "sendmail", "mailq", "newaliases", "runq"}),
    frozenset({"node", "nodejs"}),
    frozenset({"mysqld", "mariadbd", "mysql", "mariadb"}),
    frozenset({"more", "less", "pager"}),
    frozenset({"nano", "pico", "editor"}),
    frozenset({"docker-proxy", "rootlesskit-docker-proxy"}),
    frozenset({"sudo", "sudoedit"}),
    frozenset({"pkexec", "polkit-agent-helper-1"}),
)
# Container runtimes seal a copy of themselves in memory before they enter a container.
_RUNTIME_MEMORY = frozenset(
    {"/memfd:runc_cloned:/proc/self/exe (deleted)", "/memfd:crun_cloned:/proc/self/exe (deleted)"}
)
_SCANNER = "sys-scan"
_INSTALLED = frozenset({"system_bin", "system_lib", "system_other", "usr_local", "opt"})
_ARGUMENT_ONLY = frozenset({"temporary_path", "home_path", "unseen"})  # what matched is a path in an argument
_HONEST_NAME = frozenset({"same", "alias", "login_shell"})
_EARLY_UDEV = frozenset({"/usr/bin/udevadm", "/usr/sbin/udevadm", "/usr/lib/systemd/systemd-udevd", "/usr/sbin/udevd"})
_DELETED_PLACES = {
    "memory": "memfd", "tmp": "temporary", "shm": "temporary", "run_user": "temporary", "home": "home",
    "root_home": "home", "usr_local": "local", "opt": "local", "srv": "local", "system_bin": "distribution",
    "system_lib": "distribution", "system_other": "distribution", "container_storage": "container",
    "app_bundle": "app_bundle",
}  # fmt: skip


@feature
def deleted_executable(context: FeatureContext, exe: str | None) -> str | None:
    """Return the kind of deleted executable that /proc/PID/exe points to.

    ``early_udev``, ``runtime_memory`` (a container runtime's copy of itself), ``memfd``, ``temporary``, ``home``,
    ``local``, ``distribution`` (most often an upgrade, before the service is restarted), ``container``,
    ``app_bundle``, ``other``; ``mark_in_name`` if the kernel's mark is not at the end: part of the name, or cut off.
    """
    if exe is None:
        return None
    if exe in _RUNTIME_MEMORY:
        return "runtime_memory"
    if not exe.endswith(DELETED):
        return "memfd" if place_of(exe) == "memory" else "mark_in_name"
    if merged(exe) in _EARLY_UDEV:
        return "early_udev"
    return _DELETED_PLACES.get(place_of(exe), "other")


@feature
def command_match(context: FeatureContext, command: str | None) -> str | None:
    """Return which of the scanner's words argv[0] contains, the most significant first.

    ``miner``, ``malware_word``, ``kernel_name``, ``bot``, ``bot_inside`` (a longer word: robot, chatbot),
    ``temporary_path``, ``home_path``; ``unseen`` if the word must be in an argument, which reports do not carry.
    None without a command (NDJSON, SARIF).
    """
    return _command_match(command) if command is not None else None


@feature
def command_relation(context: FeatureContext, exe: str | None, command: str | None) -> str | None:
    """Return how argv[0] relates to the executable.

    ``same``, ``alias`` (another name or version of the same program), ``title`` (``name: what it does``),
    ``login_shell``, ``kernel_thread`` (named like one, though kernel threads have no executable), ``different``.
    """
    return _relation(exe, command) if exe is not None and command is not None else None


@feature
def tool_kind(context: FeatureContext, value: str | None) -> str | None:
    """Return the kind of tool that a path, process name or argv[0] names, if it is in our list."""
    if value is None:
        return None
    fact = known_tool(context.knowledge.tools, value)
    return fact.kind if fact is not None else None


@feature
def prefix_only(context: FeatureContext, exe: str | None) -> str | None:
    """Return ``true`` where only the prefix matches: /homes and /tmpfs are not /home and /tmp."""
    return "true" if exe is not None and _PREFIX_ONLY.match(exe) else None


@feature
def flags_set(context: FeatureContext, *values: str | None, names: str = "") -> str | None:
    """Join the names of the flags that are ``true``, or None; `names` is ``a,b,c``, one for each argument."""
    return "+".join(name for name, value in zip(names.split(","), values, strict=True) if value == "true") or None


@feature
def pattern_kind(context: FeatureContext, pattern: str | None) -> str | None:
    """Return the kind of a signature in the scanner's pattern list, by its first 16 bytes."""
    return _pattern_kind(pattern) if pattern is not None else None


def known_tool(tools: dict[str, ToolFact], value: str) -> ToolFact | None:
    """Find a tool by path, process name or argv[0], if need be without the version in the name."""
    base = program_name(value)
    found = tools.get(base)
    if found is None and base != (plain := _VERSION.sub("", base)):
        found = tools.get(plain)
    return found


def is_of_scanner(slots: Mapping[str, str], features: Mapping[str, str], cmdline: str | None) -> bool:
    """Say whether a process is the scanner itself, or a shell that started it, as far as a report tells.

    A report names neither. The scanner: the executable has its name, and lies where the command line of the report has
    it, or where programs are installed. A shell: nothing speaks against it but a path in an argument, which may be the
    one that the scanner was told to write to.

    Args:
        cmdline: of the scanner, as its report has it; None where it has none.
    """
    exe = slots.get("exe", "")
    if not exe.startswith("/"):
        return False
    if features.get("match") in _ARGUMENT_ONLY and features.get("program") == "shell":
        return features.get("relation") in _HONEST_NAME
    started_as = (cmdline or "").partition(" ")[0]
    if "/" in started_as:
        return merged(exe) == merged(started_as) or (
            not started_as.startswith("/") and exe.rpartition("/")[2] == started_as.rpartition("/")[2]
        )
    return exe.rpartition("/")[2] == _SCANNER and place_of(exe) in _INSTALLED


@lru_cache(maxsize=1024)
def _command_match(command: str) -> str:
    if any(name in command for name in _MINERS):
        return "miner"
    if "malware" in command:
        return "malware_word"
    if any(name in command for name in _KERNEL_NAMES):
        return "kernel_name"
    if "bot" in command:
        return "bot" if _BOT_WORD.search(command) else "bot_inside"
    if any(prefix in command for prefix in _TEMPORARY):
        return "temporary_path"
    return "home_path" if "/home" in command else "unseen"


@lru_cache(maxsize=1024)
def _relation(exe: str, command: str) -> str:
    program = exe.removesuffix(DELETED).rpartition("/")[2]
    if _BRACKETS.match(command) or command.startswith(_KERNEL_NAMES):
        return "kernel_thread"
    called = command.rpartition("/")[2]
    if called == program:
        return "same"
    if command.startswith("-") and _same_program(command[1:].rpartition("/")[2], program):
        return "login_shell"
    title, colon, _ = command.partition(": ")
    if colon and _same_program(title.rpartition("/")[2], program):
        return "title"
    return "alias" if _same_program(called, program) else "different"


def _same_program(called: str, program: str) -> bool:
    if called == program or _VERSION.sub("", called) == _VERSION.sub("", program) != "":
        return True
    return any(called in names and program in names for names in _ALIASES)


def program_name(value: str) -> str:
    """Give the name of the program out of a path or of what a process calls itself."""
    value = value.removesuffix(DELETED)
    if not value.startswith("/"):
        # A process name or title: "-bash", "sshd: alice [priv]", "[kworker/0:1]", "(sd-pam)".
        value = value.strip("[]()").removeprefix("-")
        head = value.partition("/")[0]
        if head.startswith(("kworker", "ksoftirqd", "migration", "rcu", "cpuhp", "idle_inject", "irq")):
            return head
        value = value.partition(":")[0].partition(" ")[0]
    return value.rpartition("/")[2]


_URL = re.compile(r"\A[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_INTERPRETER_LINE = re.compile(r"(?:\A#!|(?:^|/)(?:env |(?:ba|da|z|k)?sh\b|perl\b|python[0-9.]*\b|ruby\b))")
_HEX = re.compile(r"\A(?:\\x)?[0-9A-Fa-f]{8,}\Z")
_ADDRESS = re.compile(r"\A[0-9]{1,3}(?:\.[0-9]{1,3}){1,3}")
_SHELL = re.compile(r"[|;&`]|\$\(|\b(?:curl|wget|chmod|base64|nc|eval)\b")


@lru_cache(maxsize=1024)
def _pattern_kind(pattern: str) -> str:
    if _URL.match(pattern):
        return "url"
    if _INTERPRETER_LINE.search(pattern):
        return "interpreter_line"
    if _SHELL.search(pattern):
        return "shell_command"
    if _HEX.match(pattern):
        return "hex"
    if _ADDRESS.match(pattern):
        return "address"
    if "/" in pattern:
        return "path"
    if pattern.startswith(("rule ", "{", "}", "strings:", "condition:", "meta:", "import ")):
        return "yara_syntax"
    if len(pattern) < 5:
        return "short"
    return "word"
