"""What a source test acts on: files on a real file system, a clock in hand, and a sweeper that can be restarted."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.sweep import Sweeper
from daemon.sources.directory.tracked import SweepResult
from pipeline.report.limits import Limits
from tests.daemon.memory_inputs import MemoryFiles, MemoryInputs

META = b'{"type":"meta","tool_version":"6.0.0","schema":"2","hostname":"vm","cmdline":"sys-scan --ndjson "}\n'


def line(name: str, pad: int = 0) -> bytes:
    extra = f',"pad":"{"x" * pad}"' if pad else ""
    start = f'{{"type":"finding","scanner":"s","id":"{name}","severity":"low","base_severity_score":30'
    return f"{start}{extra}}}\n".encode()


def lines(*names: str) -> bytes:
    return b"".join(line(name) for name in names)


def stream(*names: str) -> bytes:
    summary = f'{{"type":"summary","finding_count_total":{len(names)},"finding_count_emitted":{len(names)}}}\n'
    return META + summary.encode() + lines(*names)


def report(*names: str, host: str = "vm") -> bytes:
    findings = [
        {"id": name, "title": "t", "description": "d", "severity": "low", "base_severity_score": "30", "metadata": {}}
        for name in names
    ]
    return json.dumps(
        {
            "meta": {"hostname": host, "cmdline": "sys-scan ", "tool_version": "6.0.0"},
            "results": [{"scanner": "s", "finding_count": len(names), "findings": findings}],
            "summary": {"finding_count_emitted": len(names), "started_at": "2026-11-02T02:10:48Z"},
        }
    ).encode()


class World:
    """Attributes: `now`: monotonic seconds, moved by hand."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.inputs = MemoryInputs()
        self.files = MemoryFiles(self.inputs)
        self.now = 1000.0
        self.wall_ns = 0  # far from the times of all files
        self.blocked = False
        self.blocked_after: int | None = None  # so many findings
        self.excluded: tuple[str, ...] = ()
        self.limits = Limits()
        self.settings = WatchSettings(**{"roots": (str(root),), **settings})
        self._sweeper: Sweeper | None = None

    @property
    def sweeper(self) -> Sweeper:
        if self._sweeper is None:
            self._sweeper = Sweeper(
                self.inputs,
                self.files,
                self.limits,
                self.settings,
                clock=lambda: self.now,
                wall_ns=lambda: self.wall_ns,
                excluded=self.excluded,
                blocked=self._is_blocked,
            )
        return self._sweeper

    def _is_blocked(self) -> bool:
        return self.blocked or (self.blocked_after is not None and len(self.inputs.ids) >= self.blocked_after)

    def sweep(self, *paths: str) -> SweepResult:
        return self.sweeper.sweep(paths or None)

    def later(self, seconds: float) -> SweepResult:
        self.now += seconds
        return self.sweep()

    def crash(self) -> None:
        """Lose everything that is not in the ledger; descriptors go as with a process."""
        if self._sweeper is not None:
            self._sweeper._pool.close_all()
            self._sweeper = None

    def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.close()
            self._sweeper = None

    def path(self, name: str) -> Path:
        return self.root / name

    def write(self, name: str, data: bytes) -> Path:
        """Write in place, as the scanner does: same inode, truncated first."""
        path = self.root / name
        path.write_bytes(data)
        return path

    def append(self, name: str, data: bytes) -> None:
        with (self.root / name).open("ab") as file:
            file.write(data)

    def copytruncate(self, name: str, copy: str) -> None:
        self.write(copy, self.path(name).read_bytes())
        os.truncate(self.path(name), 0)

    @contextmanager
    def writer(self, name: str, flags: int = os.O_APPEND) -> Iterator[int]:
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | flags, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
