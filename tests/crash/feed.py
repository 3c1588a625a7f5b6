"""What the crash test feeds: real reports in every way that a scanner, logrotate and people deliver them.

A feed is a list of steps, the same for the same seed. After some of them the agent must have read what lies there
before the next begins: not for the crash, but because a file that is overwritten before anybody reads it was never
delivered, and because what a finding says depends on the scans before it. So the order of the scans, and with it every
byte of the output, follows from the feed alone.
"""

import gzip
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ReportError
from pipeline.finding import ParsedReport
from pipeline.report.limits import Limits
from pipeline.report.read import read_document

SCANS = Path(__file__).parents[1] / "data" / "scans"

# Their outcome is known at once; those that wait for a deadline are tested elsewhere.
MALFORMED = (
    "wrong-type-severity.json", "not-json.json", "trailing-garbage.json", "missing-id.json", "nan-number.json",
    "deep-nesting-2000.json", "wrong-type-results-string.json", "unknown-severity.json", "invalid-utf8-byte.json",
    "duplicate-keys.json", "ndjson-unknown-types.ndjson", "log-lines-mixed.ndjson", "real-invalid-utf8.json",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """Attributes: `settled`: files that must have been read to the end before the next step."""

    act: Callable[[], object]
    settled: tuple[Path, ...] = ()


class Feed:
    """Builds the steps; `root` is the watched directory, `aside` a place on the same file system."""

    def __init__(self, root: Path, aside: Path, seed: int) -> None:
        self._root = root
        self._aside = aside
        self._random = random.Random(seed)
        self._contents: list[bytes] = []
        self.steps: list[Step] = []
        root.mkdir()
        aside.mkdir()
        self._build()

    def findings(self) -> int:
        """Count the findings of all scans: documents are told apart by their bytes, streams by what they say."""
        scans: dict[str, int] = {}
        for content in self._contents:
            for report in _reports(content):
                what = repr(report.findings) if report.header.source_format == "ndjson" else report.digest
                scans[what] = len(report.findings)
        return sum(scans.values())

    def _build(self) -> None:
        stream = (SCANS / "web01-base-default.ndjson").read_bytes()
        other = (SCANS / "web01-fs-hygiene.ndjson").read_bytes()
        small = (SCANS / "micro-default.ndjson").read_bytes()
        self._in_place("db02/scan.json", (SCANS / "db02-drift-1.json").read_bytes())
        self._in_place("db02/scan.json", (SCANS / "db02-drift-2.json").read_bytes())
        self._append("web01.ndjson", stream)
        self._rotate("web01.ndjson", "web01.ndjson.1")
        self._append("web01.ndjson", other)
        self._in_place("db02/full.json.gz", (SCANS / "db02-full.json.gz").read_bytes())
        self._rename_in("web01.json", (SCANS / "web01-base-default.json").read_bytes())
        for name in MALFORMED:
            self._rename_in(f"bad/{name}", (SCANS / "malformed" / name).read_bytes())
        self._rename_in("web01.json", (SCANS / "web01-base-compact.json").read_bytes())
        self._copy("db02/scan.json", "again/delivered-twice.json")
        self._rename_in("again/stream.ndjson", stream)
        self._rename_in("again/stream.ndjson.gz", gzip.compress(other, mtime=0))
        self._append("micro.ndjson", small)
        self._copy_and_truncate("micro.ndjson", "micro.ndjson.1")
        self._append("micro.ndjson", (SCANS / "web01-ioc.ndjson").read_bytes())
        for name in ("web01-base-full.json.gz", "micro-hardening.json", "web01-base-default.sarif"):
            self._in_place(f"more/{name}", (SCANS / name).read_bytes())
        for name in ("web01-ioc.json", "web01-weird-names.json", "db02-hardening-nosystemd.json", "web01-unpriv.json"):
            self._rename_in(f"more/{name}", (SCANS / name).read_bytes())

    def _pieces(self, data: bytes, most: int) -> list[bytes]:
        cuts = sorted(self._random.randrange(len(data)) for _ in range(self._random.randint(1, most)))
        return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _in_place(self, name: str, data: bytes) -> None:
        """Truncate and rewrite, as the scanner does."""
        path = self._root / name
        self._contents.append(data)
        pieces = self._pieces(data, 3)
        self.steps.append(Step(lambda: _write(path, pieces[0])))
        self._finish(path, pieces[1:])

    def _append(self, name: str, data: bytes) -> None:
        """Append lines in chunks that do not care for their ends."""
        path = self._root / name
        self._contents.append(data)
        self._finish(path, self._pieces(data, 6))

    def _finish(self, path: Path, pieces: list[bytes]) -> None:
        for number, piece in enumerate(pieces):
            last = (path,) if number == len(pieces) - 1 else ()
            self.steps.append(Step(lambda piece=piece: _append(path, piece), last))  # type: ignore[misc]

    def _rename_in(self, name: str, data: bytes) -> None:
        path, temporary = self._root / name, self._aside / "part"
        self._contents.append(data)

        def act() -> None:
            _write(temporary, data)
            path.parent.mkdir(exist_ok=True)
            temporary.replace(path)

        self.steps.append(Step(act, (path,)))

    def _rotate(self, name: str, to: str) -> None:
        path = self._root / to
        self.steps.append(Step(lambda: (self._root / name).rename(path), (path,)))

    def _copy(self, name: str, to: str) -> None:
        path = self._root / to

        def act() -> None:
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(self._root / name, path)

        self.steps.append(Step(act, (path,)))

    def _copy_and_truncate(self, name: str, to: str) -> None:
        original, copy = self._root / name, self._root / to
        self.steps.append(Step(lambda: shutil.copyfile(original, copy)))
        self.steps.append(Step(lambda: os.truncate(original, 0), (copy,)))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def _append(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


def _reports(content: bytes) -> tuple[ParsedReport, ...]:
    try:
        return tuple(read_document(content, Limits(), final=True).reports)
    except ReportError:
        return ()
