"""Many hosts whose scans are as alike as can be, and a count of what must come out that asks nobody.

The feeder knows how often it has really produced each state of each host, and which deliveries are only copies. It
tells findings apart by their texts, which it has numbered. What the agent takes for one file, one scan or one host does
not enter.

Hosts' scans have one length, and streams and reports begin and end alike for more than a kilobyte. Hosts return to
earlier states, in reports with times and without. Nothing is destroyed before it was read, for what was never seen was
never delivered; but everything may be renamed, copied, truncated after a copy, compressed, mirrored and moved while
nobody looks. What docs/reliability.md leaves out under *Limits* is left out here: the same state twice in a row without
times; one host's reports without times under two names of which neither is a copy; and, in a new file of a stream, a
return to what its name may have held when somebody last looked.
"""

import bz2
import gzip
import json
import lzma
import os
import random
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon.sources.directory.names import NameRules
from daemon.sources.directory.settings import DEFAULT_NAMES

PAD = "x" * 1_100  # longer than any sample of a file's beginning
TAIL = "y" * 300
BEGIN = datetime(2026, 11, 4, tzinfo=UTC)
KEPT = 4  # rotated files of a name

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, compresslevel=1),
    ".bz2": bz2.compress,
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".zst": lambda data: subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout,
}


def compressions() -> list[str]:
    """Give the endings of what the agent reads, of those that can be made here."""
    wanted = NameRules(DEFAULT_NAMES).wanted
    return [end for end in COMPRESSIONS if wanted(f"a.ndjson{end}") and (end != ".zst" or shutil.which("zstd"))]


@dataclass
class Host:
    """One host, in one channel.

    Attributes:
        alike: its states differ in the findings of their middle only.
        produced: how often each state was really scanned.
    """

    name: str
    findings: int
    alike: bool
    produced: "Counter[int]" = field(default_factory=Counter)
    latest: int | None = None
    returned: bool = False  # to an earlier state, with the latest scan

    def ids(self, state: int) -> list[str]:
        middle = range(self.findings // 3, self.findings - self.findings // 3)
        return [
            f"/srv/{self.name}/{number:05d}/{0 if self.alike and number not in middle else state:05d}"
            for number in range(self.findings)
        ]

    def next_state(self, choose: random.Random, refused: int | None) -> int:
        """Change to a new state, or back to an earlier one; never stay."""
        known = [state for state in self.produced if state not in (self.latest, refused)]
        self.returned = bool(known) and choose.random() < 0.45
        state = choose.choice(known) if self.returned else len(self.produced)
        self.produced[state] += 1
        self.latest = state
        return state

    def stream(self, state: int) -> bytes:
        rows: list[dict[str, Any]] = [
            {"type": "meta", "cmdline": f"sys-scan --ndjson {PAD}", "hostname": self.name, "tool_version": "6.0.0",
             "schema": "2", "uid": 0, "euid": 0, "gid": 0, "egid": 0, "user": "root"},
            {"type": "summary", "duration_ms": 4, "finding_count_total": self.findings,
             "finding_count_emitted": self.findings, "scanner_count": 1, "scanners_with_findings": 1},
        ]  # fmt: skip
        rows += [{"type": "finding", **finding} for finding in self._findings(state)]
        return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()

    def report(self, state: int, at: datetime | None) -> bytes:
        summary: dict[str, Any] = {"finding_count_total": self.findings, "finding_count_emitted": self.findings}
        if at is not None:
            summary["started_at"] = summary["finished_at"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        findings = [{**finding, "metadata": {}} for finding in self._findings(state)]
        meta = {"cmdline": f"sys-scan {PAD}", "hostname": self.name, "tool_version": "6.0.0"}
        results = [{"scanner": "suid_sgid", "finding_count": self.findings, "findings": findings}]
        return json.dumps({"meta": meta, "summary": summary, "results": results}, separators=(",", ":")).encode()

    def _findings(self, state: int) -> list[dict[str, Any]]:
        return [
            {"scanner": "suid_sgid", "id": one, "title": "SUID/SGID binary", "severity": "low",
             "base_severity_score": 30, "description": f"Binary has SUID or SGID bit set {TAIL}"}
            for one in self.ids(state)
        ]  # fmt: skip


@dataclass
class Step:
    """Attributes: `needs`: files that must have been read before `act` may destroy their content."""

    act: Callable[[], object]
    needs: tuple[Path, ...] = ()


@dataclass
class Channel:
    """A name below the root under which one host's reports come, or one stream of several hosts'."""

    hosts: list[Host]
    path: Path
    form: str  # stream, timed, canonical
    live: list[tuple[str, int]] = field(default_factory=list)  # host and state of each scan in it
    rotated_last: list[tuple[str, int]] = field(default_factory=list)

    def rotated(self) -> list[Path]:
        """Give the rotated files, newest first."""
        found = [path for path in self.path.parent.glob(f"{self.path.name}.*") if _number(path, self.path)]
        return sorted(found, key=lambda path: _number(path, self.path))


class Fleet:
    """Makes the steps, in rounds in which each channel does something."""

    def __init__(self, root: Path, aside: Path, seed: int, *, rounds: int, findings: int) -> None:
        """`root` is the watched directory, `aside` a place on the same file system."""
        self._root = root
        self._aside = aside
        self._choose = random.Random(seed)
        self._rounds = rounds
        self._serial = 0
        self.round = 0  # the one that is being made, from 1
        self._endings = compressions()
        names = (f"h{number:02d}" for number in range(99))
        self.channels: list[Channel] = []
        forms = ("stream", "stream", "stream", "shared", "canonical", "canonical", "timed", "timed")
        for number, form in enumerate(forms):
            hosts = [Host(next(names), findings, bool(number % 2)) for _ in range(3 if form == "shared" else 1)]
            stream = form in ("stream", "shared")
            name = f"c{number}.ndjson" if stream else f"c{number}.json"
            place = root / "deep" if number % 3 == 0 else root
            self.channels.append(Channel(hosts, place / name, "stream" if stream else form))
        for directory in (root, root / "deep", root / "mirror", root / "archive", aside):
            directory.mkdir()
        self.done: Counter[str] = Counter()

    @property
    def hosts(self) -> list[Host]:
        return [host for channel in self.channels for host in channel.hosts]

    def steps(self) -> Iterable[Step]:
        for number in range(1, self._rounds + 1):
            self.round = number
            for channel in self._choose.sample(self.channels, len(self.channels)):
                yield from self._produce(channel)
                for act in self._choose.sample((self._rotate, self._copy, self._mirror, self._tidy), 2):
                    yield from act(channel)

    def last(self) -> tuple[Path, ...]:
        """Give the files that were written last, where they have not been rotated away since."""
        return tuple(channel.path for channel in self.channels if channel.path.exists() and channel.path.stat().st_size)

    def expected(self) -> dict[str, "Counter[str]"]:
        """Give what must come out: for each host how often each finding."""
        return {
            host.name: _sum((host.ids(state), times) for state, times in host.produced.items()) for host in self.hosts
        }

    def total(self) -> int:
        return sum(sum(counts.values()) for counts in self.expected().values())

    # What hosts do

    def _produce(self, channel: Channel) -> Iterable[Step]:
        host = self._choose.choice(channel.hosts)
        path = channel.path
        # A file that begins as the newest rotated one cannot be told from that where nobody looked in between.
        last, number = channel.rotated_last, len(channel.live)
        alike = channel.live == last[:number] and number < len(last) and last[number][0] == host.name
        state = host.next_state(self._choose, last[number][1] if alike else None)
        self._serial += 1
        if channel.form != "stream":
            channel.live.clear()
        elif not channel.live and host.returned and channel.rotated():
            yield Step(lambda: None, tuple(channel.rotated()[:1]))  # else it may begin as what was last seen here
        channel.live.append((host.name, state))
        if channel.form == "stream":
            self.done["stream"] += 1
            for piece in self._pieces(host.stream(state)):
                yield Step(lambda piece=piece: _append(path, piece))  # type: ignore[misc]
            return
        at = BEGIN + timedelta(seconds=self._serial) if channel.form == "timed" else None
        data = host.report(state, at)
        needs = (path,) if path.exists() else ()
        self.done[channel.form] += 1
        if self._choose.random() < 0.5:
            yield Step(lambda: self._publish(path, data), needs)
            return
        first, *more = self._pieces(data)
        yield Step(lambda: path.write_bytes(first), needs)
        for piece in more:
            yield Step(lambda piece=piece: _append(path, piece))  # type: ignore[misc]

    def _pieces(self, data: bytes) -> list[bytes]:
        cuts = sorted(self._choose.randrange(len(data)) for _ in range(self._choose.randint(0, 3)))
        return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _publish(self, path: Path, data: bytes) -> None:
        (self._aside / "part").write_bytes(data)
        (self._aside / "part").replace(path)

    # What logrotate and people do

    def _rotate(self, channel: Channel) -> Iterable[Step]:
        path = channel.path
        if not path.exists() or not path.stat().st_size:
            return
        if channel.form != "timed" and any(host.returned for host in channel.hosts):
            # Without times, a return that was rotated away before it was read cannot be told from a copy.
            yield Step(lambda: None, (path,))
        channel.rotated_last, channel.live = channel.live, []
        old = channel.rotated()
        for last in old[KEPT - 1 :]:
            yield Step(last.unlink, (last,))
        for file in reversed(old[: KEPT - 1]):
            number = _number(file, path)
            ending = file.name.removeprefix(f"{path.name}.{number}")
            yield self._move(file, path.with_name(f"{path.name}.{number + 1}{ending}"))
        to = path.with_name(f"{path.name}.1")
        if channel.form == "stream" and self._choose.random() < 0.5:
            self.done["copytruncate"] += 1
            yield Step(lambda: shutil.copy2(path, to))
            yield Step(lambda: os.truncate(path, 0))
        else:
            self.done["rename"] += 1
            yield self._move(path, to)
        if self._choose.random() < 0.6:
            yield from self._compress(to)

    def _move(self, path: Path, to: Path) -> Step:
        return Step(lambda: path.rename(to))

    def _compress(self, path: Path) -> Iterable[Step]:
        ending = self._choose.choice(self._endings)
        self.done[ending] += 1
        to = path.with_name(path.name + ending)
        packed: list[bytes] = []

        def begin() -> None:
            packed.append(COMPRESSIONS[ending](path.read_bytes()))
            to.write_bytes(packed[0][: len(packed[0]) // 2])

        def finish() -> None:  # gzip and its relatives keep the time, and remove the original last
            status = path.stat()
            _append(to, packed[0][len(packed[0]) // 2 :])
            os.utime(to, ns=(status.st_atime_ns, status.st_mtime_ns))
            path.unlink()

        yield Step(begin)
        yield Step(finish)

    def _copy(self, channel: Channel) -> Iterable[Step]:
        files = [path for path in (channel.path, *channel.rotated()) if path.exists() and path.stat().st_size]
        if not files:
            return
        file = self._choose.choice(files)
        self._serial += 1
        to = self._root / "archive" / f"{self._serial}-{file.name}"
        part = self._aside / "part"

        def act() -> None:
            shutil.copy(file, part)
            part.rename(to)

        self.done["copy"] += 1
        yield Step(act)

    def _mirror(self, channel: Channel) -> Iterable[Step]:
        path = channel.path
        if not path.exists() or not path.stat().st_size:
            return
        self.done["mirror"] += 1
        yield Step(lambda: self._publish(self._root / "mirror" / path.name, path.read_bytes()))

    def _tidy(self, channel: Channel) -> Iterable[Step]:
        """Compress, move or delete what was rotated or archived earlier."""
        plain = [path for path in channel.rotated() if path.suffix not in COMPRESSIONS]
        if plain and self._choose.random() < 0.6:
            yield from self._compress(self._choose.choice(plain))
        archived = sorted((self._root / "archive").iterdir())
        if len(archived) > 12:
            last = self._choose.choice(archived)
            self.done["delete"] += 1
            yield Step(last.unlink)  # only copies lie there


@dataclass
class Verdict:
    """What came out, against what had to."""

    findings: int
    lost: dict[str, int]
    doubled: dict[str, int]
    strange_scans: list[str]
    details: list[str]

    @property
    def is_right(self) -> bool:
        return not self.lost and not self.doubled and not self.strange_scans


def judge(fleet: Fleet, lines: Iterable[bytes]) -> Verdict:
    """Compare the output with the feeder's count: findings of each host, then whole scans of each host."""
    came: dict[str, Counter[str]] = defaultdict(Counter)
    scans: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    records: Counter[str] = Counter()
    for line in lines:
        one = json.loads(line)
        if one["schema"] == "sysscan.enriched/1":
            came[one["host"]][one["finding"]["id"]] += 1
            scans[one["host"]][one["scan_id"]][one["finding"]["id"]] += 1
        elif one["schema"].startswith("sysscan.scan/"):
            records[one["host"]] += 1
    expected = fleet.expected()
    lost = {name: (wanted - came[name]).total() for name, wanted in expected.items() if wanted - came[name]}
    doubled = {
        name: (found - expected.get(name, Counter())).total()
        for name, found in came.items()
        if found - expected.get(name, Counter())
    }
    strange, details = [], []
    for host in fleet.hosts:
        state_of = {frozenset(host.ids(state)): state for state in host.produced}
        found = Counter(state_of.get(frozenset(ids)) for ids in scans[host.name].values() if max(ids.values()) == 1)
        wanted = Counter[int | None](host.produced)
        if found != wanted or records[host.name] != host.produced.total():
            strange.append(host.name)
            details.append(
                f"{host.name}: missing {dict(wanted - found)}, too many {dict(found - wanted)}, "
                f"{records[host.name]} records of {host.produced.total()} scans"
            )
    return Verdict(sum(counts.total() for counts in came.values()), lost, doubled, strange, details)


def _sum(pairs: Iterable[tuple[list[str], int]]) -> "Counter[str]":
    total: Counter[str] = Counter()
    for ids, times in pairs:
        for one in ids:
            total[one] += times
    return total


def _number(path: Path, live: Path) -> int:
    """Give N of ``live.N`` and its compressed forms, else 0."""
    number = path.name.removeprefix(f"{live.name}.").split(".")[0]
    return int(number) if number.isdigit() else 0


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
