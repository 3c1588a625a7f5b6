"""Where retraining keeps what it does: a lock, the run in hand stage by stage, what is done, and the reports.

    STATE/retraining/
      lock             one run at a time, held by its child processes, too
      done.json        up to which verdict everything was considered, and what came of it
      run/             the run in hand: plan.json, and a directory or file for each stage that is whole
      reports/         of the last runs: NAME.json, NAME.md, and what was taught, NAME.lessons.jsonl

A stage is made as ``NAME.part`` and renamed when all of it is on the disk, so that what has its name is whole, whenever
somebody was killed.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.engine.reading import read_json
from pipeline.errors import ConfigError

ROOM = "retraining"
PART = ".part"
_KEPT_REPORTS = 20


class Place:
    """The directory of retraining in a state directory."""

    def __init__(self, state: Path) -> None:
        """Nothing is read or made before it is needed."""
        self.state = state
        self.room = state / ROOM
        self.run = self.room / "run"
        self.reports = self.room / "reports"

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the room; gives the descriptor, for child processes to hold it, too.

        Raises:
            ConfigError: when it cannot be made, or another run holds it.
        """
        if not self.state.is_dir():
            raise ConfigError(f"{self.state}: no such directory; name the state directory of the agent")
        try:
            self.room.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.room / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{self.room}: cannot be used: {error.strerror}; check owner and mode") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(f"{self.room}: another retraining is at work, or its last step is ending") from error
            yield descriptor
        finally:
            os.close(descriptor)

    # The run in hand

    def plan(self) -> dict[str, Any] | None:
        """Read what the run in hand is made of; None where there is none, or it was never begun whole."""
        return _read(self.run / "plan.json")

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Begin a run; what a former one left goes."""
        self.abandon()
        self.run.mkdir(mode=0o700)
        write_json(self.run / "plan.json", plan)

    def abandon(self) -> None:
        """Remove the run in hand."""
        shutil.rmtree(self.run, ignore_errors=True)

    def stage(self, name: str, make: Callable[[Path], None], *, resumable: bool = False) -> bool:
        """Make a stage unless it is there; says whether it was made now.

        Args:
            make: is given where to make it: a directory that is not there yet, or what a killed one left of it.
            resumable: `make` goes on with what was left; else that is removed before.
        """
        whole, part = self.run / name, self.run / f"{name}{PART}"
        if whole.exists():
            return False
        if not resumable:
            _remove(part)
        make(part)
        _sync(part)
        part.rename(whole)
        sync_directory(self.run)
        return True

    def whole(self) -> list[str]:
        """List what the run in hand has come to: its stages, and the checkpoints of the one that has some."""
        names = [path.name for path in self.run.iterdir() if not path.name.endswith((PART, ".log"))]
        return sorted([*names, *(path.name for path in self.run.glob(f"*{PART}/checkpoints/checkpoint-*"))])

    def disk_bytes(self) -> int:
        """Count what the run in hand takes."""
        total = 0
        for path in self.run.rglob("*"):
            with contextlib.suppress(OSError):
                total += path.lstat().st_size
        return total

    # What is done

    def done(self) -> dict[str, Any]:
        """Read what came of the last run; empty before the first."""
        return _read(self.room / "done.json") or {}

    def finish(self, done: Mapping[str, Any]) -> None:
        """Note what came of a run, and remove it."""
        write_json(self.room / "done.json", done)
        self.abandon()

    def keep_report(self, name: str, files: Mapping[str, bytes]) -> Path:
        """Write the files of a report, by suffix; those of old runs go. Gives the one for people."""
        self.reports.mkdir(mode=0o700, exist_ok=True)
        for suffix, data in files.items():
            write_bytes(self.reports / f"{name}{suffix}", data)
        names = sorted(path.name.removesuffix(".json") for path in self.reports.glob("*.json"))
        for old in names[:-_KEPT_REPORTS]:
            for path in self.reports.glob(f"{old}.*"):
                path.unlink(missing_ok=True)
        return self.reports / f"{name}.md"

    def export_lessons(self, target: Path) -> int:
        """Copy what the last run taught to a file; gives how many lessons there are.

        Raises:
            ConfigError: when nothing was taught yet, or the file cannot be written.
        """
        kept = sorted(self.reports.glob("*.lessons.jsonl"))
        if not kept:
            raise ConfigError(f"{self.reports}: nothing was taught yet")
        data = kept[-1].read_bytes()
        try:
            target.write_bytes(data)
        except OSError as error:
            raise ConfigError(f"{target}: cannot be written: {error.strerror}") from error
        return data.count(b"\n")


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Replace a file in one step."""
    write_bytes(path, json.dumps(body, indent=1, sort_keys=True).encode() + b"\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step, on the disk before it has its name."""
    partial = path.with_name(f".{path.name}{PART}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        body = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; remove it") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path}: not an object; remove it")
    return body


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file, or a tree, on the disk."""
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        descriptor = os.open(one, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
