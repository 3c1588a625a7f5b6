"""Where a command finds the line of one finding: in the daemon's output or ledger, in a file, or in a report."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from daemon.cli.exits import Exit, die
from daemon.cli.exporting.sources import analysed_lines, is_ours
from daemon.cli.ledger import open_to_read
from daemon.settings import Settings
from pipeline.errors import LedgerError
from pipeline.output.ecs import plain_line
from pipeline.shortage import is_shortage


def find_line(settings: Settings, source: Path | None, prefix: str) -> bytes | None:
    """Find the newest line of a finding by the beginning of a dedupe key or a fingerprint.

    Args:
        source: lines of ours, or a scanner report, which is analysed for it; None: what the daemon wrote, or keeps.
    """
    if source is None:
        return _find(settings.output_path, prefix.encode()) or _kept(settings, prefix)
    if is_ours(str(source)):
        return _find(source, prefix.encode())
    with analysed_lines([str(source)], settings) as (lines, _):
        return _newest(lines, prefix.encode())


def lines_beside(settings: Settings, source: Path | None) -> Iterator[bytes]:
    """Give all lines that stand where a finding is looked for; none where that is a scanner report."""
    if source is None or is_ours(str(source)):
        for file in _segments(source or settings.output_path):
            yield from map(plain_line, _lines(file))


def _kept(settings: Settings, prefix: str) -> bytes | None:
    """Look into the ledger, which keeps lines that the output does not have any more."""
    try:
        with open_to_read(settings) as ledger:
            rows = ledger.reviews.find(prefix)
            return ledger.reviews.line(rows[0].row) if rows else None
    except LedgerError:  # there is none, or it is damaged; that is not what was asked about
        return None


def _find(path: Path, prefix: bytes) -> bytes | None:
    """Search the file and its closed segments for a finding, the newest line first."""
    for file in _segments(path):
        found = _newest(_lines(file), prefix)
        if found is not None:
            return found
    return None


def _segments(path: Path) -> list[Path]:
    """List the file and its closed segments, the newest first."""
    return [path, *sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"), reverse=True)]


def _newest(lines: Iterable[bytes], prefix: bytes) -> bytes | None:
    found: bytes | None = None
    for line in map(plain_line, lines):
        # Cheap first: both keys are plain hex, so their text cannot occur escaped.
        keyed = b'"dedupe_key":"' + prefix in line or b'"fingerprint":"' + prefix in line
        if keyed and _is_of(line, prefix.decode()):
            found = line
    return found


def _is_of(line: bytes, prefix: str) -> bool:
    """Say whether a line is of a finding with this key; the text may stand in other records, too."""
    try:
        candidate = orjson.loads(line)
    except orjson.JSONDecodeError:  # still being written, or no line of ours
        return False
    if not str(candidate.get("schema", "")).startswith("sysscan.enriched/"):
        return False
    return any(str(candidate.get(name, "")).startswith(prefix) for name in ("dedupe_key", "fingerprint"))


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        if is_shortage(error):
            raise
        die(Exit.USAGE, f"{path}: cannot be read: {error.strerror}")
