"""Paths: where a file is, which package owns it, and what its name looks like.

Every result is a word from our own lists. A path is text that the host controls; no part of it is returned.
"""

import re
import unicodedata
from functools import lru_cache

from pipeline.features.registry import FeatureContext, feature
from pipeline.knowledge.schema import PathFact

DELETED = " (deleted)"

_MERGED = re.compile(r"/(?:bin|sbin|lib|lib32|lib64|libx32)(?:/|\Z)")

# The longest prefix that holds whole components decides.
_PLACES = {
    "/tmp": "tmp",  # noqa: S108 - compared with, never opened; so below
    "/var/tmp": "tmp",  # noqa: S108
    "/dev/shm": "shm",  # noqa: S108
    "/run/shm": "shm",
    "/run": "run",
    "/var/run": "run",
    "/run/user": "run_user",
    "/run/containerd": "container_storage",
    "/home": "home",
    "/root": "root_home",
    "/usr/local": "usr_local",
    "/opt": "opt",
    "/usr/bin": "system_bin",
    "/usr/sbin": "system_bin",
    "/usr/lib": "system_lib",
    "/usr/lib32": "system_lib",
    "/usr/lib64": "system_lib",
    "/usr/libx32": "system_lib",
    "/usr/libexec": "system_lib",
    "/usr": "system_other",
    "/etc": "etc",
    "/boot": "boot",
    "/dev": "dev",
    "/proc": "proc",
    "/sys": "proc",
    "/mnt": "mount",
    "/media": "mount",
    "/srv": "srv",
    "/var": "var",
    "/var/www": "srv",
    "/var/log": "var_log",
    "/var/spool": "spool",
    "/var/lib/docker": "container_storage",
    "/var/lib/containers": "container_storage",
    "/var/lib/containerd": "container_storage",
    "/var/lib/kubelet": "container_storage",
    "/var/lib/lxc": "container_storage",
    "/var/lib/lxd": "container_storage",
    "/var/lib/snapd": "app_bundle",
    "/var/lib/flatpak": "app_bundle",
    "/snap": "app_bundle",
}
_COARSE = {
    "system_bin": "system", "system_lib": "system", "system_other": "system", "usr_local": "local", "opt": "local",
    "srv": "local", "tmp": "temporary", "shm": "temporary", "run_user": "temporary", "home": "home",
    "root_home": "home", "memory": "memory", "container_storage": "container", "app_bundle": "app_bundle",
    "relative": "relative",
}  # fmt: skip

_FAMILY = {
    "debian": "debian", "ubuntu": "debian", "linuxmint": "debian", "raspbian": "debian", "kali": "debian",
    "pop": "debian", "devuan": "debian", "neon": "debian",
    "rhel": "rhel", "centos": "rhel", "fedora": "rhel", "rocky": "rhel", "almalinux": "rhel", "ol": "rhel",
    "amzn": "rhel", "scientific": "rhel",
    "opensuse": "suse", "opensuse-leap": "suse", "opensuse-tumbleweed": "suse", "sles": "suse", "sled": "suse",
    "sle-micro": "suse",
    "arch": "arch", "manjaro": "arch", "endeavouros": "arch", "archarm": "arch",
}  # fmt: skip

_INTERPRETERS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "python", "python3", "perl", "ruby"})

_KINDS_BY_SUFFIX = {
    "script": {"sh", "bash", "zsh", "ksh", "py", "pl", "rb", "php", "js", "lua", "tcl", "awk"},
    "config": {"conf", "cfg", "cnf", "ini", "yaml", "yml", "json", "toml", "xml", "properties", "env", "rules"},
    "unit": {"service", "socket", "timer", "path", "mount", "target", "desktop"},
    "log": {"log", "journal", "out", "err"},
    "key": {"pem", "key", "crt", "cer", "p12", "pfx", "jks", "keytab", "gpg", "kdbx"},
    "database": {"db", "sqlite", "sqlite3", "mdb", "sql"},
    "archive": {"tar", "gz", "tgz", "zip", "bz2", "xz", "zst", "7z", "rar", "deb", "rpm", "jar", "war"},
    "backup": {"bak", "old", "orig", "save", "dpkg-old", "dpkg-dist", "rpmsave", "rpmnew"},
    "temporary": {"tmp", "temp", "swp", "part", "lock", "pid"},
}
_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _KINDS_BY_SUFFIX.items() for suffix in suffixes}
_LIBRARY = re.compile(r"\.so(?:\.[0-9]+)*\Z")
_ACCOUNTS = frozenset(
    {"passwd", "shadow", "group", "gshadow", "sudoers", "passwd-", "shadow-", "group-", "gshadow-", "subuid", "subgid"}
)
_STARTUP = frozenset(
    {
        "crontab", "anacrontab", "ld.so.preload", "ld.so.conf", "profile", "bash.bashrc", "bashrc", "environment",
        "rc.local", "inittab", "fstab", "zshrc", "zshenv", "csh.login",
    }
)  # fmt: skip

_VARIANT = re.compile(r"(?:[-_.](?:bak|old|orig|new|save|copy|real|backup|tmp|[0-9]{1,2})|~)\Z")
_LOOKS_LIKE = str.maketrans(
    {
        "0": "o", "1": "l", "3": "e", "5": "s", "$": "s", "@": "a",
        "а": "a", "с": "c", "е": "e", "һ": "h", "і": "i", "о": "o", "р": "p", "ѕ": "s", "ԁ": "d", "ԝ": "w",
        "х": "x", "у": "y", "ɡ": "g", "ո": "n", "ս": "u", "м": "m", "т": "t", "к": "k", "ο": "o", "ρ": "p",
    }
)  # fmt: skip
_TYPO_TARGETS = ("passwd", "sudo", "chsh", "chfn", "newgrp", "gpasswd", "mount", "umount", "pkexec", "crontab", "ping")


@lru_cache(maxsize=4096)
def merged(path: str) -> str:
    """Return a path as it is on a merged-/usr host, without the kernel's mark of a deleted file."""
    path = path.removesuffix(DELETED)
    return f"/usr{path}" if _MERGED.match(path) else path


@lru_cache(maxsize=4096)
def place_of(path: str) -> str:
    """Return the part of the file system that a path is in."""
    if path.startswith(("/memfd:", "memfd:")):
        return "memory"
    path = merged(path)
    if not path.startswith("/"):
        return "relative"
    parts = path.split("/")
    if ".." in parts:
        return "other"
    for depth in (4, 3, 2):
        found = _PLACES.get("/".join(parts[:depth])) if len(parts) >= depth else None
        if found is not None:
            return found
    return "other"


@feature
def path_place(context: FeatureContext, path: str | None, coarse: str = "") -> str | None:
    """Return the part of the file system that a path is in; with ``coarse: "true"``, one of nine."""
    if path is None:
        return None
    place = place_of(path)
    return _COARSE.get(place, "other") if coarse == "true" else place


@feature
def path_owner(context: FeatureContext, path: str | None, privilege: str = "setid") -> str | None:
    """Return whether the distribution has this path with this privilege (``setid`` or ``capability``).

    ``distribution``; ``other_distribution`` (only another family of distributions has it); ``name_only`` (the name is
    known, in another place); ``none``.
    """
    if path is None:
        return None
    fact = context.knowledge.paths.get(merged(path))
    if fact is not None and _grants(fact, privilege):
        family = _FAMILY.get(context.header.os_id or "")
        ours = family is None or not fact.distros or family in fact.distros
        return "distribution" if ours else "other_distribution"
    return "name_only" if _base(path) in _names(context.knowledge.paths)[privilege] else "none"


@feature
def path_package(context: FeatureContext, path: str | None) -> str | None:
    """Return the package (by Debian's name) that owns a known path."""
    fact = context.knowledge.paths.get(merged(path)) if path is not None else None
    return fact.package if fact is not None else None


@feature
def path_role(context: FeatureContext, path: str | None) -> str | None:
    """Return the role of a known path."""
    fact = context.knowledge.paths.get(merged(path)) if path is not None else None
    return fact.role if fact is not None else None


@feature
def path_lookalike(context: FeatureContext, path: str | None) -> str | None:
    """Return how a name imitates that of a known set-id program.

    ``variant`` (``su.bak``, ``.sudo``), ``homoglyph`` (letters that look the same), ``near`` (one typing error); None
    where it is such a name itself, or similar to none.
    """
    if path is None:
        return None
    names = _names(context.knowledge.paths)["setid"]
    base = _base(path)
    return None if base in names else _lookalike(base, names)


@feature
def path_kind(context: FeatureContext, path: str | None) -> str | None:
    """Return the kind of a file, by its path and suffix."""
    return _kind(path) if path is not None else None


@feature
def path_interpreter(context: FeatureContext, path: str | None) -> str | None:
    """Return why the scanner took a setuid file for an interpreter: its own name, or the first line of a script."""
    if path is None:
        return None
    return "interpreter" if _base(path) in _INTERPRETERS else "script"


@feature
def path_usr_alias(context: FeatureContext, path: str | None) -> str | None:
    """Return whether a path in /bin, /sbin or /lib is another name for one in /usr.

    ``likely`` on distributions that merged the two, ``possible`` where the report names no distribution; else None.
    """
    if path is None or not _MERGED.match(path):
        return None
    return "likely" if (context.header.os_id or "") in _FAMILY else "possible"


@feature
def name_shape(context: FeatureContext, value: str | None) -> str | None:
    """Return what is unusual about the characters of a file name, the most significant first, or None."""
    return _shape(_base(value)) if value is not None else None


def _base(path: str) -> str:
    return path.removesuffix(DELETED).rpartition("/")[2]


def _grants(fact: PathFact, privilege: str) -> bool:
    return bool(fact.capability) if privilege == "capability" else fact.setuid or fact.setgid


_Names = dict[str, frozenset[str]]
_NAMES: list[tuple[dict[str, PathFact], _Names]] = []


def _names(paths: dict[str, PathFact]) -> _Names:
    """Return the file names of the known paths, by privilege; computed once for each knowledge object."""
    if not _NAMES or _NAMES[0][0] is not paths:
        _NAMES[:] = [
            (
                paths,
                {
                    privilege: frozenset(_base(path) for path, fact in paths.items() if _grants(fact, privilege))
                    for privilege in ("setid", "capability")
                },
            )
        ]
    return _NAMES[0][1]


def _lookalike(base: str, names: frozenset[str]) -> str | None:
    plain = "".join(c for c in unicodedata.normalize("NFKC", base) if unicodedata.category(c) not in ("Cf", "Cc"))
    plain = plain.strip()
    stripped = _VARIANT.sub("", plain).lstrip(".")
    if stripped in names or stripped.lower() in names:
        return "homoglyph" if plain != base and plain in names else "variant"
    if stripped.lower().translate(_LOOKS_LIKE) in names:
        return "homoglyph"
    if any(_one_slip(stripped.lower(), target) for target in _TYPO_TARGETS):
        return "near"
    return None


def _one_slip(word: str, target: str) -> bool:
    """Return whether `word` is `target` with one letter added, removed, replaced or swapped with its neighbour."""
    if abs(len(word) - len(target)) > 1 or len(word) < 4:
        return False
    start = 0
    while start < min(len(word), len(target)) and word[start] == target[start]:
        start += 1
    a, b = word[start:], target[start:]
    swapped = a[1::-1] + a[2:]  # the first two letters exchanged
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (len(a) > 1 and swapped == b)


@lru_cache(maxsize=1024)
def _kind(path: str) -> str:
    path = merged(path)
    base = path.rpartition("/")[2]
    if _LIBRARY.search(base):
        return "library"
    if path.startswith("/etc/cron") or (place_of(path) == "spool" and "/cron/" in path):
        return "schedule"
    if path.startswith("/etc/"):
        if base in _ACCOUNTS or path.startswith("/etc/sudoers.d/"):
            return "account"
        if base in _STARTUP or path.startswith(("/etc/profile.d/", "/etc/init.d/", "/etc/ld.so.conf.d/")):
            return "startup"
    stem, dot, suffix = base.rpartition(".")
    if stem and dot and (kind := _KIND_OF_SUFFIX.get(suffix.lower())) is not None:
        return kind
    if "/bin/" in path or "/sbin/" in path or place_of(path) == "system_bin":
        return "program"
    if path.startswith("/dev/"):
        return "device"
    if place_of(path) == "var_log":
        return "log"
    return "config" if path.startswith("/etc/") else "data"


_NOT_UTF8 = re.compile(r"(?<!\\)(?:\\\\)*\\(?:x[0-9a-f]{2}|u[0-9a-f]{4})", re.IGNORECASE)
_SHELL = re.compile(r"[<>|$`{};&*?!\"'\\=#]")


@lru_cache(maxsize=4096)
def _shape(base: str) -> str | None:
    if base.isascii() and base.replace("_", "").replace("-", "").replace(".", "").isalnum() and base[0] != ".":
        return None
    categories = {unicodedata.category(c) for c in base}
    if "Cc" in categories or "Zl" in categories or "Zp" in categories:
        return "control"
    if "Cf" in categories or "Co" in categories or "Cn" in categories:
        return "invisible"
    if _NOT_UTF8.search(base):
        return "not_utf8"
    if _SHELL.search(base):
        return "shell_characters"
    if base.startswith("."):
        return "hidden"
    if not base.isascii():
        return "non_ascii"
    return "spaces" if " " in base else None
