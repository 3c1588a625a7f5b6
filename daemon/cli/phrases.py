"""Features of an issue in words: what sets it apart from others of its kind."""

from collections.abc import Mapping
from typing import Final

_PHRASES: Final[Mapping[tuple[str, str], str]] = {
    ("advice", "set"): "safe to set",
    ("advice", "test_first"): "try before setting",
    ("advice", "little_gain"): "little to gain",
    ("advice", "leave"): "leave it: setting it would break the service",
    ("deleted", "distribution"): "a package's own program",
    ("deleted", "local"): "not from a package",
    ("deviation", "missing"): "missing",
    ("deviation", "missing_config"): "missing configuration",
    ("interpreter", "interpreter"): "an interpreter",
    ("interpreter", "script"): "a script",
    ("kind", "config"): "configuration",
    ("kind", "data"): "data",
    ("kind", "library"): "a library",
    ("kind", "log"): "a log",
    ("kind", "program"): "a program",
    ("kind", "script"): "a script",
    ("kind", "temporary"): "a temporary file",
    ("match", "bot"): "a name like a bot's",
    ("match", "bot_inside"): "only inside a longer word",
    ("match", "kernel_name"): "a kernel thread's name",
    ("match", "miner"): "a name like a miner's",
    ("match", "unseen"): "what matched is not said",
    ("mode", "absent"): "not there",
    ("mode", "off"): "switched off",
    ("mode", "permissive"): "only logs",
    ("owner", "distribution"): "shipped so by the distribution",
    ("owner", "none"): "of no package",
    ("pattern_kind", "interpreter_line"): "only the first line of a script",
    ("pattern_kind", "word"): "a word",
    ("place", "below_home"): "below /home",
    ("place", "configuration"): "configuration",
    ("place", "documentation"): "documentation",
    ("place", "etc"): "in /etc",
    ("place", "home"): "in a home directory",
    ("place", "kernel_module"): "a kernel module",
    ("place", "opt"): "in /opt",
    ("place", "srv"): "in /srv",
    ("place", "system_bin"): "in a system directory",
    ("place", "tmp"): "in a temporary directory",
    ("place", "usr_local"): "in /usr/local",
    ("place", "var"): "in /var",
    ("reading", "cut_short"): "the file was read in part",
    ("reading", "dash_in_file_name"): "a name that the scanner misreads",
    ("reading", "file_gone"): "the file is gone",
    ("relation", "kernel_thread"): "not one",
}
# They tell issues apart for a program; for a reader the title or the name of the thing does.
_SILENT: Final = frozenset(
    {"after_boot", "cause", "complain", "functions", "ima", "mismatches", "reading", "relation", "rights", "scanner",
     "unconfined"}
)  # fmt: skip


def in_words(split: Mapping[str, str]) -> str:
    """Say what sets an issue apart; empty where there is nothing to say."""
    said = []
    for name, value in split.items():
        phrase = _PHRASES.get((name, value))
        if phrase is not None:
            said.append(phrase)
        elif name == "value":
            said.append(f"now {value}")
        elif name == "evidence":
            said += [part.replace("_", " ") for part in value.split("+") if part != "unsigned"]
        elif name not in _SILENT and value.startswith("/"):
            said.append(value)
        elif name not in _SILENT and (name, value) != ("mode", "on"):
            said.append(f"{name.replace('_', ' ')} {value.replace('_', ' ')}")
    return ", ".join(said)
