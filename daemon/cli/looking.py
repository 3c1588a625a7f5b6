"""Where the line of a finding is: in the output, or in what a ledger keeps; a worker has both for each partition."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from daemon.cli.exits import Exit, die, say
from daemon.cli.exporting.refusals import refusal
from daemon.cli.exporting.saved import is_ours
from daemon.cli.exporting.sources import analysed_lines
from daemon.cli.review.elsewhere import kept_elsewhere
from daemon.lane.rebuild import ledger_dirs, output_path
from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.settings import Settings
from pipeline.output.ecs import plain_line
from pipeline.shortage import is_shortage
from pipeline.unreadable import why_unreadable


@dataclass(slots=True, frozen=True)
class Place:
    """A ledger, and the file that its lines go to; None where they go to no file."""

    ledger: Path
    output: Path | None


@dataclass(slots=True, frozen=True)
class Found:
    """A line as it came out.

    Attributes:
        ledger: the directory of the ledger that may know where it came from.
        output: the file that its place's lines go to, or that was searched; None where there is none.
    """

    line: bytes
    ledger: Path
    output: Path | None


def find_line(settings: Settings, prefix: str, source: Path | None) -> Found | None:
    """Find the latest line of a finding by the beginning of its dedupe key or fingerprint.

    Args:
        source: search this file alone, or analyse it where it is a scanner report; None is wherever lines are.

    Raises:
        LedgerError: when a ledger cannot be read.
    """
    places = _places(settings)
    if source is not None:
        line = _in_source(settings, source, prefix.encode())
        return None if line is None else _whose(line, places, source)
    found = []
    for place in places:
        line = _in_file(place.output, prefix.encode()) if place.output is not None else None
        line = line or _kept(place.ledger, prefix)
        if line is not None:
            found.append(Found(line, place.ledger, place.output))
    # Of a partition that was here before, too, the older line is what this disk had of it then.
    return max(found, key=lambda one: str(orjson.loads(one.line).get("as_of", "")), default=None)


def lines_beside(found: Found) -> Iterator[bytes]:
    """Give all lines that stand where a finding was found; none where that is a ledger or a scanner report."""
    if found.output is not None and is_ours(str(found.output)):
        for file in _segments(found.output):
            yield from map(plain_line, _lines(file))


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


def _in_source(settings: Settings, source: Path, prefix: bytes) -> bytes | None:
    if is_ours(str(source)):
        if not any(file.exists() for file in _segments(source)):  # each alone may be gone: they are closed and removed
            die(Exit.USAGE, f"{source}: cannot be read: No such file or directory; check the name")
        return _in_file(source, prefix)
    with analysed_lines([str(source)], settings) as (lines, refused):
        for one in refused:
            say(f"sysscan-agent: {refusal(one)}")
        if refused and not lines.read(1):
            raise SystemExit(int(Exit.USAGE))
        lines.seek(0)
        return _newest(lines, prefix)


def _whose(line: bytes, places: list[Place], source: Path) -> Found:
    """Give a line of a file with the ledger that knows its scan, or the first."""
    scan = str(orjson.loads(line).get("scan_id", ""))
    for place in places:
        if (place.ledger / FILE_NAME).exists():
            with _opened(place.ledger) as ledger:
                if ledger.records.input_of(scan) is not None:
                    return Found(line, place.ledger, source)
    return Found(line, places[0].ledger, source)


def _kept(directory: Path, prefix: str) -> bytes | None:
    if not (directory / FILE_NAME).exists():
        return None
    with _opened(directory) as ledger:
        rows = ledger.reviews.find(prefix)
        return ledger.reviews.line(rows[0].row) if rows else None


def _opened(directory: Path) -> Ledger:
    return Ledger.open(directory, clock=time.time, read_only=True, exclusive=False)


def _in_file(path: Path, prefix: bytes) -> bytes | None:
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
        die(Exit.USAGE, f"{path}: cannot be read: {why_unreadable(error)}")
