"""Which names in a watched directory are reports."""

import fnmatch
import os
import re
from collections.abc import Sequence

# What logrotate and its relatives put behind a name: `.1`, `-20261104`, `.2026-11-04`, `-20261104-0310`.
_ROTATED = re.compile(r"(?:\.(?P<number>\d{1,5})|[.-]\d{4}-?\d{2}-?\d{2}(?:[-T_]?\d{2,6})?|[.-]\d{9,14})\Z")
_TEMPORARY = ("~", ".tmp", ".part", ".partial", ".swp", ".crdownload", ".filepart")


class NameRules:
    """Says of a name whether it may be a report; knows nothing of its content."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._wanted = re.compile("|".join(f"(?:{fnmatch.translate(pattern)})" for pattern in patterns) or r"(?!)")

    def wanted(self, name: str) -> bool:
        if name.startswith(".") or name.endswith(_TEMPORARY):
            return False
        if self._wanted.match(name):
            return True
        stem = name.removesuffix(".gz")
        return self._wanted.match(stem) is not None or self._wanted.match(_ROTATED.sub("", stem)) is not None


def hidden(name: str) -> bool:
    return name.startswith(".")


def unrotated(path: str) -> str:
    """Give the name that a file had before it was rotated or compressed; that of another file comes back as it is."""
    return _ROTATED.sub("", path.removesuffix(".gz"))


def named_as_stream(path: str) -> bool:
    """Say whether a file calls itself NDJSON; then it may well be empty for now."""
    return unrotated(path).endswith((".ndjson", ".jsonl"))


def rotation(path: str) -> int:
    """Give N of a rotated name that ends in ``.N``, else 0: of files with one age, the higher is the older."""
    match = _ROTATED.search(os.path.basename(path).removesuffix(".gz"))  # noqa: PTH119
    return int(match["number"]) if match and match["number"] else 0
