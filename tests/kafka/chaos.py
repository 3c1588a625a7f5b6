"""Workers, their disks and the brokers are broken again and again while hosts send scans; then a reader looks.

The count of what must come out is kept by the sender alone: it numbers each finding of each scan, and notes a scan when
the brokers have confirmed it. A reader of what is committed must see, of each host, exactly these findings, each once
and in the order in which they were sent. What workers, ledgers and marks say of it does not enter.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.crash.fleet import Host
from tests.kafka import places
from tests.kafka.broker import Broker, Cluster
from tests.kafka.forks import Launcher

Start = Callable[[Path, Path, Sequence[str]], int]  # configuration, log, (step, count): returns the pid

_NUMBERED = re.compile(rb"/srv/(h\d+)/(\d+)/(\d+)")  # the id of a finding, wherever a line repeats it
NEVER = "never"  # a step that no worker comes to
FROZEN_S = (3.0, 14.0)  # on both sides of the time-outs of sessions and transactions
_PATIENCE_S = 90.0  # after the last fault, without anything getting through; only a hang takes so long


@dataclass(frozen=True)
class Size:
    """How much is broken, and on what.

    Attributes:
        findings: of one scan.
        kills, disks, freezes, absences, brokers: how many of each at least; a lost disk and an absence are kills, too.
        gap_s: between two faults, at most.
    """

    hosts: int = 12
    partitions: int = 4
    workers: int = 3
    findings: int = 20
    kills: int = 24
    disks: int = 3
    freezes: int = 2
    absences: int = 1
    brokers: int = 1
    gap_s: float = 0.8
    total: int = 4000  # findings that are sent at least
    seed: int = 1


@dataclass
class Outcome:
    """What a reader saw, beside what was sent."""

    sent: int = 0
    read: int = 0
    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    disordered: list[str] = field(default_factory=list)
    aborted: int = 0
    faults: "Counter[str]" = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Say whether everything came once and in order."""
        return not (self.lost or self.doubled or self.foreign or self.disordered)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.sent:,} findings sent, {self.read:,} read; lost {self.lost}, doubled {self.doubled}, "
            f"foreign {self.foreign}, hosts out of order {len(self.disordered)}; "
            f"{self.aborted:,} aborted records never seen; {faults}; {self.seconds:.0f} s"
        )


class Sender:
    """Sends scans of hosts whose states never repeat, each as one report or as lines in several messages."""

    def __init__(self, cluster: Cluster, topic: str, size: Size) -> None:
        self._cluster = cluster
        self._topic = topic
        self._choose = random.Random(size.seed)
        self._hosts = [Host(f"h{number:02d}", size.findings, alike=False) for number in range(size.hosts)]
        self._states: Counter[str] = Counter()
        self.sent: dict[str, list[str]] = defaultdict(list)  # by host, in order, as confirmed
        self._over = threading.Event()
        self._failed: Exception | None = None
        self.allowed = 0.0  # findings that may be sent by now
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what was begun is finished."""
        self._over.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what ended it: of a scan that may or may not be there nothing can be said."""
        if self._failed is not None:
            raise RuntimeError("the sender failed") from self._failed

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except Exception as error:
            self._failed = error

    @property
    def count(self) -> int:
        """Count the findings that the brokers have confirmed."""
        return sum(map(len, list(self.sent.values())))

    async def _send(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._cluster.plain, enable_idempotence=True, acks="all", request_timeout_ms=120_000,
            retry_backoff_ms=200, max_request_size=8 << 20, compression_type="gzip",
        )  # fmt: skip
        await producer.start()
        try:
            while not self._over.is_set():
                if self.count > self.allowed:
                    await asyncio.sleep(0.1)
                    continue
                chosen = self._choose.sample(self._hosts, 3)
                await asyncio.gather(*(self._scan(producer, host) for host in chosen))
                await asyncio.sleep(self._choose.uniform(0.0, 0.15))
        finally:
            await producer.stop()

    async def _scan(self, producer: AIOKafkaProducer, host: Host) -> None:
        state = self._states[host.name]
        self._states[host.name] += 1
        for piece in self._messages(host, state):
            await self._deliver(producer, host, piece)
        self.sent[host.name] += host.ids(state)

    async def _deliver(self, producer: AIOKafkaProducer, host: Host, value: bytes) -> None:
        # Without an end: a scan that was cut by a fault of the sender would be no scan.
        confirmed = await producer.send(self._topic, value, key=host.name.encode())
        await confirmed

    def _messages(self, host: Host, state: int) -> Iterable[bytes]:
        if self._choose.random() < 0.5:
            return [host.report(state, None)]
        lines = host.stream(state).splitlines(keepends=True)
        cuts = sorted(self._choose.sample(range(1, len(lines)), min(3, len(lines) - 1)))
        return [b"".join(lines[at:to]) for at, to in zip([0, *cuts], [*cuts, len(lines)], strict=True)]


class Worker:
    """One worker: its settings, its state directory, and its process while there is one."""

    def __init__(self, base: Path, number: int, start: Start, config: str) -> None:
        self.name = f"w{number}"
        self.state = base / self.name
        self._config = base / f"{self.name}.toml"
        self._config.write_text(f'state_dir = "{self.state}"\n{config.replace("@WORKER@", self.name)}')
        self.log = base / f"{self.name}.log"
        self._start = start
        self.pid: int | None = None
        self.frozen = False
        self.not_before = 0.0

    @property
    def running(self) -> bool:
        """Say whether its process is there."""
        return self.pid is not None and _alive(self.pid)

    def start(self, step: str = NEVER, after: int = 1) -> None:
        """Start it; with a step it kills itself when it comes to that."""
        self.pid = self._start(self._config, self.log, (step, str(after)))
        self.frozen = False

    def kill(self) -> None:
        """Kill it where it is."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            while _alive(self.pid):
                time.sleep(0.005)
        self.pid = None
        self.frozen = False

    def lose_disk(self) -> None:
        """Remove all that it knows."""
        shutil.rmtree(self.state, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Chaos:
    """Breaks things, in an order that follows from the seed, until as many as asked for are broken."""

    def __init__(
        self, cluster: Cluster, base: Path, size: Size, start: Callable[..., int], steps: Sequence[str]
    ) -> None:
        """Args:
        start: starts a worker, given its configuration, its log, and a step with a count at which it dies.
        steps: those that there are.
        """
        self._cluster = cluster
        self._base = base
        self._size = size
        self._steps = steps
        self._choose = random.Random(size.seed * 7919)
        self.name = f"c{size.seed}-{os.getpid()}-{time.monotonic_ns() % 1_000_000}"
        self.faults: Counter[str] = Counter()
        self._told = 0.0
        self._calm_until = 0.0  # of brokers
        config = self._config()
        self.workers = [Worker(base, number, start, config) for number in range(size.workers)]
        self._due: list[tuple[float, Callable[[], object]]] = []  # what ends a fault

    def run(self, progress: Callable[[str], None] = lambda line: None) -> Outcome:
        """Break, mend, wait until everything is through, and read."""
        began = time.monotonic()
        asyncio.run(self._create())
        sender = Sender(self._cluster, f"{self.name}-reports", self._size)
        sender.start()
        try:
            while not self._enough(sender):
                sender.check()
                # Scans come as long as things break, and no more than workers can get done meanwhile.
                sender.allowed = self._size.total * (0.1 + self._progress())
                self._mend()
                self._keep_up()
                self._break()
                time.sleep(self._choose.uniform(0.05, self._size.gap_s))
                if time.monotonic() - self._told > 10:
                    self._told = time.monotonic()
                    progress(f"{sender.count:,} findings sent, {dict(self.faults)}")
        finally:
            sender.stop()
        self._mend(everything=True)
        self._cluster.wait()
        outcome = self._wait_and_read(sender, progress)
        outcome.seconds = time.monotonic() - began
        outcome.faults = self.faults
        return outcome

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            if worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGCONT)
            worker.kill()

    # Faults

    def _progress(self) -> float:
        """Say how much is broken of what is to be, from 0 to 1."""
        wanted = {kind: getattr(self._size, kind) for kind in ("kills", "disks", "freezes", "absences", "brokers")}
        return min((min(1.0, self.faults[kind] / count) for kind, count in wanted.items() if count), default=1.0)

    def _enough(self, sender: Sender) -> bool:
        size, done = self._size, self.faults
        return (
            sender.count >= size.total
            and done["kills"] >= size.kills
            and done["disks"] >= size.disks
            and done["freezes"] >= size.freezes
            and done["absences"] >= size.absences
            and done["brokers"] >= size.brokers
        )

    def _keep_up(self) -> None:
        """Start what has died by itself or was killed; most die again, at a step."""
        for worker in self.workers:
            if worker.running or time.monotonic() < worker.not_before:
                continue
            if worker.pid is not None:  # at the step that it was armed with
                self.faults["kills"] += 1
                self.faults["kills at a step"] += 1
                worker.pid = None
            aimed = bool(self._steps) and self._choose.random() < 0.8 and self.faults["kills"] < self._size.kills
            step = self._choose.choice(self._steps) if aimed else NEVER
            worker.start(step, self._choose.choice((1, 2, 3, 5)))

    def _break(self) -> None:
        size, done = self._size, self.faults
        left = {
            "kills": 0.15 * (size.kills - done["kills"]),  # most die at a step that they were started with
            "disks": 4 * (size.disks - done["disks"]),
            "freezes": 2 * (size.freezes - done["freezes"]),
            "absences": 2 * (size.absences - done["absences"]),
            "brokers": 2 * (size.brokers - done["brokers"]),
        }
        kinds = [kind for kind, count in left.items() if count > 0]
        up = [worker for worker in self.workers if worker.running and not worker.frozen]
        if not kinds or len(up) < 2 or self._choose.random() < 0.2:
            return  # one at least is to get on with it
        kind = self._choose.choices(kinds, [left[one] for one in kinds])[0]
        if kind == "brokers":
            if self._break_broker():
                done["brokers"] += 1
            return
        worker = self._choose.choice(up)
        if kind == "freezes":
            worker.frozen = True
            pid = worker.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            self._later(self._choose.uniform(*FROZEN_S), lambda: self._thaw(worker, pid))
        else:
            worker.kill()
            done["kills"] += 1
            if kind == "disks":
                worker.lose_disk()
            if kind == "absences":
                worker.not_before = time.monotonic() + self._choose.uniform(*FROZEN_S)
        if kind != "kills":
            done[kind] += 1

    def _thaw(self, worker: Worker, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        worker.frozen = False

    def _break_broker(self) -> bool:
        brokers = [broker for broker in self._cluster.brokers if broker.running]
        if len(brokers) < len(self._cluster.brokers) or time.monotonic() < self._calm_until:
            return False  # one at a time
        broker = self._choose.choice(brokers)
        if self._choose.random() < 0.5:
            broker.freeze()
            thaws_in = self._choose.uniform(1.0, 8.0)
            self._calm_until = time.monotonic() + thaws_in + 4.0
            self._later(thaws_in, broker.thaw)
        else:
            broker.kill()
            self._later(self._choose.uniform(0.5, 4.0), lambda: self._restart(broker))
        return True

    def _restart(self, broker: Broker) -> None:
        broker.start()
        self._calm_until = time.monotonic() + 8.0  # it has to catch up before another one may go

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        self._due.append((time.monotonic() + seconds, act))

    def _mend(self, *, everything: bool = False) -> None:
        now = time.monotonic()
        for due in list(self._due):
            if everything or due[0] <= now:
                self._due.remove(due)
                due[1]()

    # The end

    def _wait_and_read(self, sender: Sender, progress: Callable[[str], None]) -> Outcome:
        read, moved_at = 0, time.monotonic()
        while True:
            for worker in self.workers:
                worker.not_before = 0.0
                if not worker.running:
                    worker.start()
            time.sleep(1.0 + read / 20_000)  # looking costs more, the more there is
            outcome = judge(sender.sent, self._lines())
            progress(f"waiting: {outcome.read:,} of {outcome.sent:,} findings are through")
            if outcome.read > read:
                read, moved_at = outcome.read, time.monotonic()
            # What came twice must not be taken for what has not come yet.
            there = outcome.read >= outcome.sent and not outcome.lost
            if there or time.monotonic() - moved_at > _PATIENCE_S:
                break
        self.close()
        raw = places.records(self._cluster, f"{self.name}-findings", isolation="read_uncommitted")
        outcome = judge(sender.sent, self._lines())
        outcome.aborted = len(raw) - outcome.read
        return outcome

    def _lines(self) -> list[bytes]:
        return [one.value for one in places.records(self._cluster, f"{self.name}-findings")]

    async def _create(self) -> None:
        names = [f"{self.name}-{kind}" for kind in ("reports", "findings", "scans", "dlq")]
        await self._cluster.create(*names, partitions=self._size.partitions)
        await self._cluster.create(f"{self.name}-state", partitions=self._size.partitions, cleanup_policy="compact")

    def _config(self) -> str:
        brokers = ", ".join(f'"{one}"' for one in self._cluster.plain)
        name = self.name
        return f"""
[output]
enabled = false
[analysis]
batch_size = 24
[model]
enabled = false
[kafka]
brokers = [{brokers}]
topic = "{name}-findings"
scans_topic = "{name}-scans"
input_topic = "{name}-reports"
state_topic = "{name}-state"
dlq_topic = "{name}-dlq"
group = "{name}"
consume = true
instance_id = "@WORKER@"
timeout_s = 8
transaction_timeout_s = 6
session_timeout_s = 6
"""


def judge(sent: "dict[str, list[str]]", lines: Sequence[bytes]) -> Outcome:
    """Hold what a reader saw against what was sent."""
    seen: dict[str, list[str]] = defaultdict(list)
    foreign = 0
    for line in lines:
        found = _NUMBERED.search(line)
        if found is None or json.loads(line)["host"] != found[1].decode():
            foreign += 1
            continue
        seen[found[1].decode()].append(found[0].decode())
    outcome = Outcome(sent=sum(map(len, sent.values())), read=len(lines), foreign=foreign)
    for host in sorted({*sent, *seen}):
        wanted, got = Counter(sent.get(host, [])), Counter(seen.get(host, []))
        outcome.lost += (wanted - got).total()
        outcome.doubled += (got - wanted).total()
        if wanted == got and sent[host] != seen[host]:
            outcome.disordered.append(host)
    return outcome


def forking(launcher: Launcher) -> Start:
    """Start workers as forks of a process that has imported everything."""

    def start(config: Path, log: Path, armed: Sequence[str]) -> int:
        step, after = armed
        return launcher.start(step, int(after), log, ["run", "--config", str(config)])

    return start
