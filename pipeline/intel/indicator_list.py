"""Plain indicator lists: one indicator per line; ``#``, ``;`` and ``//`` begin a comment.

A line is ``TYPE:VALUE`` (``sha256``, ``ip``, ``domain``, ``path``, ``dir``, ``name``, ``process``, ``command``,
``module``), or a value whose type is unambiguous.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pipeline.addresses import network_of
from pipeline.intel.expression import Equal, Never, normalise
from pipeline.intel.skipped import SkipLog

_COMMENT = re.compile(r"(?:\A|\s)#.*|\A\s*(?:;|//).*", re.DOTALL)
_LATE_COMMENT = re.compile(r"\s;.*", re.DOTALL)
_PORT = re.compile(r"(?:\[[^\]]*\]|[^\s:/\[\]]+):\d{1,5}\Z")
_SHA256 = re.compile(r"\A[0-9a-fA-F]{64}\Z")
_USELESS_HASH = re.compile(r"\A(?:md5:|sha1:)?(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40})\Z")


@dataclass(slots=True, frozen=True)
class ListLine:
    """One line of a list, and the indicator on it."""

    file: str
    number: int
    wanted: Equal


_LIST_TYPES = {
    "sha256": "file.sha256", "ip": "ip", "domain": "domain", "path": "file.path", "dir": "file.directory",
    "name": "file.name", "process": "process.name", "command": "process.command_line", "module": "module",
}  # fmt: skip
LIST_KINDS = (*_LIST_TYPES.values(), "ip.network")
_DOMAIN = re.compile(r"\A(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}\.?\Z")
_FILE_ENDINGS = frozenset(
    {
        "sh", "py", "pl", "rb", "so", "zip", "gz", "xz", "bz2", "tar", "deb", "rpm", "conf", "cfg", "exe", "dll", "bin",
        "elf", "ko", "js", "jar", "php", "txt", "log", "service", "md", "rs", "mov",
    }
)  # fmt: skip


def list_lines(path: Path, data: bytes, skipped: SkipLog) -> Iterator[ListLine]:
    """Parse a list; lines that cannot be used are added to `skipped`, each with the reason."""
    for number, raw in enumerate(BytesIO(data.removeprefix(b"\xef\xbb\xbf")), start=1):
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            skipped.add(path.name, f"line {number}", "not UTF-8")
            continue
        line = _COMMENT.sub("", text).strip()
        if not line:
            continue
        if _SHA256.match(line):  # most lines of most lists
            yield ListLine(path.name, number, Equal("file.sha256", line.lower()))
            continue
        wanted = _wanted(line if line.startswith("command:") else _LATE_COMMENT.sub("", line))
        if isinstance(wanted, Equal):
            yield ListLine(path.name, number, wanted)
        else:
            skipped.add(path.name, f"line {number}", wanted)


def _wanted(line: str) -> Equal | str:
    """Parse the indicator of a line; return the reason where that fails, in words that no line decides."""
    prefix, colon, rest = line.partition(":")
    kind = _LIST_TYPES.get(prefix.lower()) if colon else None
    value = rest.strip() if kind is not None else line
    if _USELESS_HASH.match(line):
        return "MD5 and SHA-1: no report carries them"
    if "[.]" in line or "[:]" in line or line.lower().startswith("hxxp"):
        return "a defanged value; write it plainly"
    if "://" in line and kind in (None, "domain", "ip"):
        return "a URL: no report carries them; write its domain or address"
    if kind is None:
        kind = _guess(line)
    if kind in (None, "domain", "ip") and _PORT.match(value) and network_of(value) is None:
        return "an address or name with a port; write it without"
    if kind is None:
        return f"cannot tell what this is; put one of {', '.join(f'{name}:' for name in _LIST_TYPES)} before it"
    if not value:
        return "nothing after its type"
    if kind == "domain" and not _DOMAIN.match(value):
        return "not a domain name"
    if kind in {"file.path", "file.directory"} and not value.startswith("/"):
        return "not an absolute path"
    wanted = normalise(kind, value)
    if isinstance(wanted, Never):
        return wanted.reason.partition(":")[0]
    return wanted if isinstance(wanted, Equal) else "cannot be looked up"


def _guess(line: str) -> str | None:
    if network_of(line, strict=True) is not None:
        return "ip"
    if line.startswith("/"):
        return "file.directory" if line.endswith("/") else "file.path"
    # evil.sh may be a domain or a file: the list must say which.
    if _DOMAIN.match(line) and line.rstrip(".").rpartition(".")[2].lower() not in _FILE_ENDINGS:
        return "domain"
    return None
