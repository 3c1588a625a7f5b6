"""What a finding is about on its host: a file, where it is about one, and a name for people."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from pipeline.output.records import EnrichedFinding, ReportedFinding
from pipeline.report.escape import unescape

_FILES = ("path", "exe", "mountpoint")  # slots that hold an absolute path
_NAMES = ("unit", "module", "container", "program", "command", "key", "setting")
_SAFE = "/-._~!$&'()*+,;=@"  # of a path in a URI, RFC 3986
_DELETED = re.compile(r" \(deleted\)\Z")


@dataclass(slots=True, frozen=True)
class Subject:
    """What a finding is about.

    Attributes:
        path: of the file on the host, as reported, or None.
        name: for people; may hold anything, so escape it.
        uri: of the file, relative to the root of the host's file system, or of what stands for it.
    """

    path: str | None
    name: str
    uri: str


def subject_of(finding: EnrichedFinding) -> Subject:
    """Say what a finding is about."""
    slots, reported = finding.slots, finding.finding
    paths = [slots[slot] for slot in _FILES if slots.get(slot, "").startswith("/")]
    if not paths and reported.id.startswith("/"):
        paths = [reported.id]
    if paths:
        path = _DELETED.sub("", paths[0])
        return Subject(path, path, _uri(path.lstrip("/"), is_escaped=_is_escaped(paths[0], reported)) or ".")
    name = next((slots[slot] for slot in _NAMES if slots.get(slot)), "") or reported.id
    return Subject(None, name, f"{_uri(reported.scanner.replace('/', '_'))}/{quote(name, safe='', errors='replace')}")


def _uri(text: str, *, is_escaped: bool = False) -> str:
    raw = unescape(text) if is_escaped else text.encode("utf-8", "replace")
    return quote(raw, safe=_SAFE)


def _is_escaped(path: str, reported: ReportedFinding) -> bool:
    """Say whether the field that a path is from held bytes that are not UTF-8: then it stands for other bytes."""
    whole = {"id": reported.id, "title": reported.title, "description": reported.description}
    fields = [whole.get(name) or reported.metadata.get(name.removeprefix("metadata.")) for name in reported.escaped]
    return any(type(field) is str and path in field for field in fields)
