"""Which names in a watched directory are reports."""

import fnmatch
import os
import re
from collections.abc import Sequence

# What logrotate and its relatives put behind a name: `.1`, `-20261104`, `.2026-11-04`, `-20261104-0310`, `.old`.
_ROTATED = re.compile(
    r"(?:\.(?P<number>\d{1,5})|\.old"
    r"|[.-]\d{4}-?\d{2}-?\d{2}(?:[-T_.]?\d{2}(?:[:.-]?\d{2}){0,2}(?:Z|[+-]\d{2}:?\d{2})?)?|[.-]\d{9,14})\Z",
    re.IGNORECASE,
)
# Those that are read, and those that are not: opened all the same, so that they are refused with a reason.
_COMPRESSED = re.compile(r"\.(?:gz|zst|zstd|xz|bz2|lz4|lzma|lz|br|zip|7z|z)\Z", re.IGNORECASE)
_TEMPORARY = ("~", ".tmp", ".part", ".partial", ".swp", ".crdownload", ".filepart")


class NameRules:
    """Says of a name whether it may be a report; knows nothing of its content.

    Case does not count: `SCAN.JSON` comes from systems that do not know the difference.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        together = "|".join(f"(?:{fnmatch.translate(pattern)})" for pattern in patterns)
        self._wanted = re.compile(together or r"(?!)", re.IGNORECASE)

    def wanted(self, name: str) -> bool:
        if name.startswith(".") or name.lower().endswith(_TEMPORARY):
            return False
        return self._wanted.match(name) is not None or any(self._wanted.match(form) for form in _forms(name))


def hidden(name: str) -> bool:
    return name.startswith(".")


def unrotated(path: str) -> str:
    """Give the name that a file had before it was rotated or compressed; that of another file comes back as it is."""
    return _forms(path)[2]


def named_as_stream(path: str) -> bool:
    """Say whether a file calls itself NDJSON; then it may well be empty for now."""
    return any(form.lower().endswith((".ndjson", ".jsonl")) for form in (path, *_forms(path)))


def rotation(path: str) -> int:
    """Give N of a rotated name that ends in ``.N``, else 0: of files with one age, the higher is the older."""
    match = _ROTATED.search(_COMPRESSED.sub("", os.path.basename(path)))  # noqa: PTH119
    return int(match["number"]) if match and match["number"] else 0


def _forms(name: str) -> tuple[str, ...]:
    """Give the names that a rotated or compressed one may have had before: `a.json.1.gz` and `a.json.gz.1`."""
    stem = _COMPRESSED.sub("", name)
    before = _ROTATED.sub("", stem)
    return stem, before, _COMPRESSED.sub("", before)
