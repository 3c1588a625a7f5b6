"""Where the line of a finding is: in the output, or in what a ledger keeps; a worker has both for each partition."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from daemon.cli.exits import Exit, die
from daemon.cli.review.elsewhere import kept_elsewhere
from daemon.lane.rebuild import ledger_dirs, output_path
from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.settings import Settings
from pipeline.shortage import is_shortage


@dataclass(slots=True, frozen=True)
class Place:
    """A ledger, and the file that its lines go to; None where they go to no file."""

    ledger: Path
    output: Path | None


@dataclass(slots=True, frozen=True)
class Found:
    """A line as it came out, and the directory of the ledger that may know where it came from."""

    line: bytes
    ledger: Path


def find_line(settings: Settings, prefix: str, source: Path | None) -> Found | None:
    """Find the latest line of a finding by the beginning of its dedupe key or fingerprint.

    Args:
        source: search this file alone; None is wherever lines are.

    Raises:
        LedgerError: when a ledger cannot be read.
    """
    places = [Place(one.ledger, source) for one in _places(settings)] if source is not None else _places(settings)
    found = []
    for place in places:
        line = _in_file(place.output, prefix.encode()) if place.output is not None else None
        if line is None and source is None:
            line = _kept(place.ledger, prefix)
        if line is not None:
            found.append(Found(line, place.ledger))
        if source is not None and line is not None:
            return _whose(line, places)
    # Of a partition that was here before, too, the older line is what this disk had of it then.
    return max(found, key=lambda one: str(orjson.loads(one.line).get("as_of", "")), default=None)


def searched(settings: Settings, source: Path | None) -> tuple[str, list[str]]:
    """Say what `find_line` looks through, and, in lines, what of it other disks have."""
    if source is not None:
        return str(source), []
    if not settings.kafka.consumes:
        where = f"{settings.output_path} and " if settings.output.enabled else ""
        return f"{where}what the ledger of {settings.state_dir} keeps", []
    topic = settings.kafka.input_topic
    dirs = ledger_dirs(settings.state_dir, topic)
    with ExitStack() as stack:
        ledgers = {number: stack.enter_context(_opened(path)) for number, path in dirs.items()}
        elsewhere = kept_elsewhere(ledgers, topic)
    numbers = ", ".join(map(str, dirs)) or "none"
    return f"what {settings.state_dir} has of {topic} (partitions: {numbers})", elsewhere


def _places(settings: Settings) -> list[Place]:
    output = settings.output
    if not settings.kafka.consumes:
        return [Place(settings.state_dir, settings.output_path if output.enabled else None)]
    return [
        Place(directory, output_path(directory, number, output.path) if output.enabled else None)
        for number, directory in ledger_dirs(settings.state_dir, settings.kafka.input_topic).items()
    ] or [Place(settings.state_dir, None)]


def _whose(line: bytes, places: list[Place]) -> Found:
    """Give a line of a file with the ledger that knows its scan, or the first."""
    scan = str(orjson.loads(line).get("scan_id", ""))
    for place in places:
        if (place.ledger / FILE_NAME).exists():
            with _opened(place.ledger) as ledger:
                if ledger.records.input_of(scan) is not None:
                    return Found(line, place.ledger)
    return Found(line, places[0].ledger)


def _kept(directory: Path, prefix: str) -> bytes | None:
    if not (directory / FILE_NAME).exists():
        return None
    with _opened(directory) as ledger:
        rows = ledger.reviews.find(prefix)
        return ledger.reviews.lines([rows[0].row]).get(rows[0].row) if rows else None


def _opened(directory: Path) -> Ledger:
    return Ledger.open(directory, clock=time.time, read_only=True, exclusive=False)


def _in_file(path: Path, prefix: bytes) -> bytes | None:
    """Search the file and its closed segments for a finding, the newest line first."""
    segments = sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"), reverse=True)
    for file in (path, *segments):
        found: bytes | None = None
        for line in _lines(file):
            # Cheap first: both keys are plain hex, so their text cannot occur escaped.
            keyed = b'"dedupe_key":"' + prefix in line or b'"fingerprint":"' + prefix in line
            if keyed and _is_of(line, prefix.decode()):
                found = line
        if found is not None:
            return found
    return None


def _is_of(line: bytes, prefix: str) -> bool:
    """Say whether a line is of a finding with this key; the text may stand in a scan record, too."""
    try:
        candidate = orjson.loads(line)
    except orjson.JSONDecodeError:  # still being written, or no line of ours
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
