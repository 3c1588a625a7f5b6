"""Saved lines, from files or a pipe: sorted by scan, each once, without holding them in memory.

Lines of several scans may be mixed, as in a topic, and a line may be there twice, as after a delivery at least once. So
all of it is read once, to check every line and to note where it is, in a table of SQLite that spills to disk; formats
then read what they want, as often as they want. A pipe cannot be read again, so it is kept in a temporary file.
"""

import errno
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson

from pipeline.display import printable
from pipeline.errors import AgentError, ConfigError, RecordError
from pipeline.output.ecs import plain_line
from pipeline.output.formats.scan import Scan
from pipeline.output.latest import ToldVerdicts
from pipeline.output.lines import whole_record
from pipeline.output.read import read_finding, read_issue, read_scan, read_scan_line, read_verdict
from pipeline.output.records import EnrichedFinding, IssueRecord, ScanRecord, VerdictRecord, VerdictsInUse
from pipeline.shortage import is_shortage
from pipeline.unreadable import why_unreadable

STANDARD_INPUT = "-"
MOST_SHOWN = 20  # lines that cannot be used which are named one by one

_LONGEST = 64 << 20  # bytes of a line; the record of a scan of 100,000 different issues has some 50 MB
_BUFFER = 1 << 20
_HEAD = 1 << 16  # bytes that tell our lines from a report
_OURS = b'"schema":"sysscan.'
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
_TABLES = """
CREATE TABLE scans (
  scan INTEGER PRIMARY KEY, scan_id TEXT UNIQUE, host TEXT, file INTEGER, start INTEGER, size INTEGER,
  whole INTEGER DEFAULT 0,                        -- its record is one line, with the issues in it
  cut INTEGER DEFAULT 0                           -- lines of it that say that something was cut from them
);
CREATE TABLE issues (scan INTEGER, key BLOB UNIQUE, file INTEGER, start INTEGER, size INTEGER);
CREATE TABLE findings (
  number INTEGER PRIMARY KEY, scan INTEGER, key BLOB UNIQUE, file INTEGER, start INTEGER, size INTEGER
);
CREATE TABLE verdicts (number INTEGER PRIMARY KEY, key BLOB UNIQUE, line BLOB);
"""

Take = Callable[[bytes, int, int, int], None]


def is_ours(source: str) -> bool:
    """Say whether a file begins with a line of ours; what cannot be read is said where it is read."""
    try:
        with Path(source).open("rb") as file:
            return _OURS in file.readline(_HEAD)
    except OSError:
        return True


@contextmanager
def room_explained() -> Iterator[None]:
    """Say where there is no room for what is noted of lines, or for a pipe that is kept meanwhile."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _no_room(error) from error


def _let_go(file: BinaryIO) -> None:
    """Close a temporary file; what could not be written to it cannot now either, and nobody wants it."""
    with suppress(OSError):
        file.close()


def _no_room(error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigError(f"{tempfile.gettempdir()}: no room for what is read ({reason}); set TMPDIR to another directory")


class Unreadable(AgentError):
    """Raised when a file cannot be read at all."""


@dataclass(slots=True, frozen=True)
class Unusable:
    """A line that is none of ours; its number counts from 1."""

    source: str
    line: int
    why: str


class SavedLines:
    """What stands in files of enriched findings, and in standard input.

    Attributes:
        unusable: the first `MOST_SHOWN` lines that cannot be used, of files that have others.
        foreign: of each file that has no others, and so is of another kind, the first line.
        num_unusable: how many lines cannot be used in all.
        num_unnamed: how many of them are in neither list, and not in a file of another kind.
        remarks: what else is missing from the scans, a sentence each.
        classes: of the findings.
        table: where the lines are.
    """

    def __init__(self, longest: int = _LONGEST) -> None:
        """Args: `longest`: bytes of a line; what is longer is passed over."""
        self._longest = longest
        self.unusable: list[Unusable] = []
        self.foreign: list[Unusable] = []
        self.num_unusable = self.num_unnamed = 0
        self.remarks: list[str] = []
        self.classes: set[str] = set()
        self._exit = ExitStack()
        self._files: list[int] = []
        self.table = sqlite3.connect("", isolation_level=None)  # a temporary file, for as long as it is open
        self._exit.callback(self.table.close)
        self.table.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}")
        self._told = ToldVerdicts(())
        self._used: set[VerdictsInUse] = set()
        self._judged: int | None = None  # up to which verdict the line was judged that knows the fewest
        self._takers: dict[str, Take] = {
            "sysscan.enriched/1": self._take_finding,
            "sysscan.issue/1": self._take_issue,
            "sysscan.scan/1": self._take_scan_in_any_form,
            "sysscan.verdict/1": self._take_verdict,
        }

    def __enter__(self) -> "SavedLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def read(self, sources: Sequence[str]) -> None:
        """Read files, `-` for standard input, and check every line.

        Raises:
            Unreadable: names the file and the reason.
            RecordError: where verdicts of different logs are mixed.
        """
        for source in sources:
            try:
                self.take(source, self._open(source))
            except OSError as error:
                if is_shortage(error):
                    raise
                raise Unreadable(f"{printable(source)}: cannot be read: {why_unreadable(error)}") from error
        self.close_input()

    def take(self, source: str, file: BinaryIO) -> None:
        """Note every line of a file that can be read again."""
        number = len(self._files)
        self._files.append(file.fileno())
        start, count, used = 0, 0, 0
        refused: list[Unusable] = []
        num_refused = 0
        self.table.execute("BEGIN")
        while line := file.readline(self._longest):
            count += 1
            size = len(line)
            try:
                if size == self._longest and not line.endswith(b"\n"):
                    while (more := file.readline(self._longest)) and not more.endswith(b"\n"):
                        size += len(more)
                    size += len(more)
                    raise RecordError(f"longer than {self._longest:,} bytes")
                if body := line.strip():
                    self._take_line(plain_line(body), number, start, len(line))
                    used += 1
            except RecordError as error:
                num_refused += 1
                if len(refused) < MOST_SHOWN:
                    refused.append(Unusable(source, count, printable(str(error))))
            start += size
        self.table.execute("COMMIT")
        self.num_unusable += num_refused
        if refused and not used:
            self.foreign.append(refused[0])
        else:
            named = refused[: MOST_SHOWN - len(self.unusable)]
            self.unusable += named
            self.num_unnamed += num_refused - len(named)

    def close_input(self) -> None:
        """Say that all has been taken.

        Raises:
            RecordError: where verdicts of different logs are mixed.
        """
        self.table.execute("CREATE INDEX finding_scan ON findings (scan, number)")
        self.table.execute("CREATE INDEX issue_scan ON issues (scan)")
        lines = self.table.execute("SELECT line FROM verdicts ORDER BY number")
        self._told = ToldVerdicts(read_verdict(line) for (line,) in lines)
        for used in self._used:
            self._told.check(used)
        numbers = sorted({record.seq for record in self.verdicts if record.seq > (self._judged or 0)})
        gone = numbers[-1] - (self._judged or 0) - len(numbers) if numbers else 0
        if gone:
            many = "1 is" if gone == 1 else f"{gone:,} are"
            self.remarks.append(
                f"Of the verdicts up to number {numbers[-1]:,}, {many} not in the input; what was decided there is not "
                "known."
            )

    @property
    def verdicts(self) -> Sequence[VerdictRecord]:
        """The records of verdicts, each once."""
        return self._told.records

    @property
    def is_empty(self) -> bool:
        """Say whether no line belongs to a scan."""
        return self.table.execute("SELECT 1 FROM scans LIMIT 1").fetchone() is None

    def names(self) -> list[tuple[str, str]]:
        """List the ids of the scans, each with its host."""
        return self.table.execute("SELECT scan_id, host FROM scans ORDER BY scan").fetchall()

    def scans(self, scan_id: str | None = None, host: str | None = None) -> Iterator[Scan]:
        """Give scans in the order in which they begin: all, those whose id begins so, those of a host."""
        for scan, name, of_host, file, start, size, is_whole, cut in self.table.execute(
            "SELECT scan, scan_id, host, file, start, size, whole, cut FROM scans WHERE (?1 IS NULL OR"
            " substr(scan_id, 1, length(?1)) = ?1) AND (?2 IS NULL OR host = ?2) ORDER BY scan",
            (scan_id, host),
        ).fetchall():
            record = None
            if file is not None:
                line = self._line(file, start, size)
                record = read_scan(line) if is_whole else whole_record(read_scan_line(line), self._issues(scan))
            yield self._scan(scan, name, of_host, record, cut)

    def _scan(self, scan: int, name: str, host: str, record: ScanRecord | None, cut: int) -> Scan:
        (here,) = self.table.execute("SELECT count(*) FROM findings WHERE scan = ?", (scan,)).fetchone()
        missing = list(self.remarks)
        if record is not None and here != record.counts.lines:
            missing.append(f"Of the {record.counts.lines:,} findings of the scan, {here:,} are in the input.")
        if record is not None and len(record.issues) != record.counts.issues:
            missing.append(
                f"Of the {record.counts.issues:,} issues of the scan, {len(record.issues):,} are in the input."
            )
        if cut:
            many = "1 line" if cut == 1 else f"{cut:,} lines"
            missing.append(f"Cut in the input, because a line would have been too long: {many} (`cut` says what).")
        if self.num_unusable:
            many = "1 line" if self.num_unusable == 1 else f"{self.num_unusable:,} lines"
            missing.append(f"Could not be read in the input: {many}; findings may be among them.")
        is_part = bool(self.num_unusable) or (record is not None and here != record.counts.lines)
        return Scan(name, host, record, lambda: self._findings(scan), tuple(missing), is_part=is_part)

    def _findings(self, scan: int) -> Iterator[EnrichedFinding]:
        for file, start, size in self.table.execute(
            "SELECT file, start, size FROM findings WHERE scan = ? ORDER BY number", (scan,)
        ):
            yield self._told.latest(read_finding(self._line(file, start, size)))

    def _issues(self, scan: int) -> Iterator[IssueRecord]:
        for file, start, size in self.table.execute("SELECT file, start, size FROM issues WHERE scan = ?", (scan,)):
            yield read_issue(self._line(file, start, size))

    def _line(self, file: int, start: int, size: int) -> bytes:
        return plain_line(os.pread(self._files[file], size, start))

    def _take_line(self, line: bytes, file: int, start: int, size: int) -> None:
        for schema, take in self._takers.items():
            # Cheap first. The text may stand in what a report says, so what fails is looked at in full.
            if b'"schema":"%s"' % schema.encode() in line:
                with suppress(RecordError):
                    take(line, file, start, size)
                    return
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise RecordError(f"not JSON: {error}") from error
        named = document.get("schema") if type(document) is dict else None
        if type(named) is not str:
            raise RecordError("not a line of sysscan-agent")
        if named not in self._takers:
            raise RecordError(f"{named[:40]!r} is not known; did a newer version write it?")
        self._takers[named](line, file, start, size)

    def _take_finding(self, line: bytes, file: int, start: int, size: int) -> None:
        finding = read_finding(line)
        self.classes.add(finding.class_)
        scan = self._scan_number(finding.scan_id, finding.host)
        used = finding.provenance.verdicts
        if used is not None:
            self._used.add(used)
        judged = 0 if used is None else used.seq
        self._judged = judged if self._judged is None else min(self._judged, judged)
        added = self.table.execute(
            "INSERT OR IGNORE INTO findings (scan, key, file, start, size) VALUES (?, ?, ?, ?, ?)",
            (scan, finding.dedupe_key, file, start, size),
        ).rowcount
        self._count_cut(scan, added and finding.cut is not None)

    def _take_issue(self, line: bytes, file: int, start: int, size: int) -> None:
        issue = read_issue(line)
        scan = self._scan_number(issue.scan_id, issue.host)
        added = self.table.execute(
            "INSERT OR IGNORE INTO issues (scan, key, file, start, size) VALUES (?, ?, ?, ?, ?)",
            (scan, issue.dedupe_key, file, start, size),
        ).rowcount
        self._count_cut(scan, added and issue.cut is not None)

    def _take_scan_in_any_form(self, line: bytes, file: int, start: int, size: int) -> None:
        # A line of bounded length has a key, and a whole record none; texts cannot have the quotes.
        take = self._take_scan if b'"dedupe_key":"' in line else self._take_whole_scan
        take(line, file, start, size)

    def _take_scan(self, line: bytes, file: int, start: int, size: int) -> None:
        record = read_scan_line(line)
        scan = self._scan_number(record.scan_id, record.host)
        added = self.table.execute(
            "UPDATE scans SET file = ?, start = ?, size = ? WHERE scan = ? AND file IS NULL", (file, start, size, scan)
        ).rowcount
        self._count_cut(scan, added and record.cut is not None)

    def _take_whole_scan(self, line: bytes, file: int, start: int, size: int) -> None:
        record = read_scan(line)
        scan = self._scan_number(record.scan_id, record.host)
        self.table.execute(
            "UPDATE scans SET file = ?, start = ?, size = ?, whole = 1 WHERE scan = ?", (file, start, size, scan)
        )

    def _count_cut(self, scan: int, is_cut: bool | int) -> None:
        if is_cut:
            self.table.execute("UPDATE scans SET cut = cut + 1 WHERE scan = ?", (scan,))

    def _take_verdict(self, line: bytes, file: int, start: int, size: int) -> None:
        record = read_verdict(line)
        self.table.execute("INSERT OR IGNORE INTO verdicts (key, line) VALUES (?, ?)", (record.dedupe_key, line))

    def _scan_number(self, scan_id: str, host: str) -> int:
        self.table.execute("INSERT OR IGNORE INTO scans (scan_id, host) VALUES (?, ?)", (scan_id, host))
        number: int = self.table.execute("SELECT scan FROM scans WHERE scan_id = ?", (scan_id,)).fetchone()[0]
        return number

    def _open(self, source: str) -> BinaryIO:
        """Open a file so that it can be read twice."""
        given: BinaryIO = sys.stdin.buffer
        if source != STANDARD_INPUT:
            given = self._exit.enter_context(Path(source).open("rb"))  # noqa: SIM115
            if stat.S_ISREG(os.fstat(given.fileno()).st_mode):
                return given
        kept: BinaryIO = tempfile.TemporaryFile(buffering=_BUFFER)  # type: ignore[assignment]  # noqa: SIM115
        self._exit.callback(_let_go, kept)
        try:
            shutil.copyfileobj(given, kept, _BUFFER)
            kept.seek(0)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise _no_room(error) from error
        return kept
