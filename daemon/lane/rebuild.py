"""The ledger of a partition, made of the states of its hosts: where there is none, or others have left it behind."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.lane.mark import Mark
from daemon.ledger import lane_states
from daemon.ledger.database import FILE_NAME
from daemon.ledger.lane import LaneStore
from daemon.ledger.ledger import Ledger
from daemon.log import get_logger
from daemon.settings import Settings
from pipeline.errors import ConfigError

logger = get_logger(__name__)


def ledger_dir(state_dir: Path, topic: str, partition: int) -> Path:
    """Say where the ledger of a partition is."""
    return state_dir / "kafka" / f"{topic}-{partition}"


def ledger_dirs(state_dir: Path, topic: str) -> dict[int, Path]:
    """Find the ledgers of a topic's partitions that are in a state directory, by partition."""
    found: dict[int, Path] = {}
    for path in (state_dir / "kafka").glob("*"):
        name, _, number = path.name.rpartition("-")
        if name == topic and number.isdecimal() and (path / FILE_NAME).exists():
            found[int(number)] = path
    return dict(sorted(found.items()))


def output_path(directory: Path, partition: int, path: Path | None) -> Path:
    """Say which file the lines of a partition go to; `path` is that of the settings, or None."""
    if path is None:
        return directory / "findings.ndjson"
    return path.with_name(f"{path.stem}-{partition}{path.suffix}")


def open_ledger(directory: Path, settings: Settings, wall: Callable[[], float]) -> Ledger:
    """Open, or make, the ledger of a partition.

    Raises:
        LedgerError: when it cannot be used.
    """
    limits = settings.limits
    return Ledger.open(
        directory,
        clock=wall,
        max_findings=limits.max_findings,
        max_scan_bytes=limits.max_scan_bytes,
        max_part_bytes=limits.max_bytes,
    )


def put_aside(directory: Path) -> None:
    """Move a ledger out of the way; the one that was moved before goes. What it has is made anew, or is delivered."""
    aside = directory.with_name(directory.name + ".stale")
    shutil.rmtree(aside, ignore_errors=True)
    directory.rename(aside)
    logger.warning("ledger.put_aside", path=str(aside))


def rebuild(
    directory: Path,
    settings: Settings,
    partition: int,
    mark: Mark,
    states: Mapping[str, bytes],
    wall: Callable[[], float],
) -> int:
    """Make a ledger that goes on at a mark; returns how many hosts it knows.

    It is made beside its place and moved there when it is whole, so that a process which dies over it leaves nothing.

    Raises:
        ConfigError: when the states are none of ours, or not all of them are there.
        LedgerError: when it cannot be stored.
    """
    temporary = directory.with_name(directory.name + ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)  # without a ledger in it
    topic = settings.kafka.input_topic
    with open_ledger(temporary, settings, wall) as ledger:
        LaneStore(ledger, topic, partition)
        try:
            with ledger.database.write() as connection:
                hosts = lane_states.load(connection, states, topic, partition)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ConfigError(
                f"kafka: the states in {settings.kafka.state_topic}/{partition} cannot be used: {error}; was the topic "
                "made anew, or is its cleanup.policy not compact?"
            ) from error
        store = LaneStore(ledger, topic, partition)
        store.begin_at(mark.offset)
        store.make_note("letters", str(mark.letters))
        store.take_told(mark.told, 0)
        for scan, cut in mark.cut.items():
            store.pin(scan, cut.verdicts)
    temporary.rename(directory)
    return hosts
