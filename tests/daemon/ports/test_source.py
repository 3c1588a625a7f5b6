"""What every source promises the shard that it feeds."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from daemon.lane.counts import Counts
from daemon.lane.mailbox import Mailbox
from daemon.lane.source import TopicPartition
from daemon.ledger import Ledger, codec
from daemon.ledger.lane import LaneStore
from daemon.ledger.lane_admission import Taken as LaneTaken
from daemon.parser import DocumentParser
from daemon.ports.files import FileIdentity
from daemon.ports.inputs import Input
from daemon.ports.lane import Arrival
from daemon.ports.source import Source, Taken
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.source import ReportDirectory
from daemon.sources.kafka.messages import Message
from daemon.sources.standard_input import Descriptor, StandardInput
from pipeline.errors import LedgerError, SourceError
from pipeline.report.limits import Limits
from pipeline.report.stream import parse_line
from tests.daemon.memory_inputs import MemoryFiles, MemoryInputs
from tests.daemon.sources.world import META, lines, report, stream

Blocked = Callable[[], bool]


class Fed(ABC):
    """A source, and the way in which reports get to it."""

    def __init__(self, directory: Path) -> None:
        self.inputs = MemoryInputs()
        self.blocked = False
        self.parser = DocumentParser(Limits())
        self.left = self.leave()
        self.inputs.admit_records(self.left, [(0, parse_line(META, 0, Limits()))])
        self.source = self.make(directory)

    @abstractmethod
    def leave(self) -> Input:
        """Add an input of this kind as an earlier process left it that read something else."""

    @abstractmethod
    def make(self, directory: Path) -> Source: ...

    @abstractmethod
    def give(self, data: bytes) -> None: ...

    @abstractmethod
    def end(self) -> None:
        """Say that nothing more comes."""


class FromADirectory(Fed):
    def leave(self) -> Input:
        self._files = MemoryFiles(self.inputs)
        return self._files.add("/no/longer/a/root/a.ndjson", FileIdentity(1, 1), "stream").source

    def make(self, directory: Path) -> Source:
        self._path = directory / "in" / "a.ndjson"
        self._path.parent.mkdir()
        settings = WatchSettings(roots=(str(directory / "in"),), watch="poll", poll_s=0.05)
        return ReportDirectory(
            self.inputs, self._files, Limits(), settings, blocked=lambda: self.blocked, parser=self.parser
        )

    def give(self, data: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(data)

    def end(self) -> None:
        pass  # a directory has no end


class FromAPipe(Fed):
    def leave(self) -> Input:
        return self.inputs.add("stdin", "-")

    def make(self, directory: Path) -> Source:
        read_end, self._write_end = os.pipe()
        return StandardInput(
            Descriptor(read_end), self.inputs, Limits(), blocked=lambda: self.blocked, parser=self.parser
        )

    def give(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._write_end, data) :]

    def end(self) -> None:
        os.close(self._write_end)


class TopicInputs(MemoryInputs):
    """Shows what the ledger of a partition holds as the others show what they were given."""

    def __init__(self, ledger: Ledger, store: LaneStore) -> None:
        super().__init__()
        self._ledger = ledger
        self._admit_to_lane = store.admit
        self._lane = store
        vars(store)["admit"] = self._admit_unless_full

    @property
    def ids(self) -> list[str]:
        """List what waits for analysis."""
        rows = self._ledger.database.connection.execute("SELECT finding FROM inbox ORDER BY scan, seq")
        return [codec.decode_finding(row[0]).id for row in rows]

    def _admit_unless_full(self, arrivals: Sequence[Arrival]) -> LaneTaken:
        if self.full:
            raise LedgerError("the disk is full", transient=True)
        taken = self._admit_to_lane(arrivals)
        self.open = set(range(len(self._lane.open_streams())))
        return taken


class FromATopic(Fed):
    def make(self, directory: Path) -> Source:
        ledger = Ledger.open(directory / "ledger", clock=lambda: 1_790_000_000.0)
        store = LaneStore(ledger, "in", 0)
        self.inputs = TopicInputs(ledger, store)
        self._mailbox = Mailbox()
        self._mailbox.open(0)
        self._offset = 0
        return TopicPartition(
            "in", 0, self._mailbox, ledger, store, KafkaSettings(require_key=False), Limits(), Counts(),
            end=1, blocked=lambda: self.blocked, clock=time.monotonic,
        )  # fmt: skip

    def leave(self) -> Input:
        return self.inputs.add("stdin", "-")

    def end(self) -> None:
        pass  # a topic has no end

    def give(self, data: bytes) -> None:
        record = Message("in", 0, self._offset, None, data)
        self._offset += 1
        self._mailbox.put([record], self._offset, self._offset)


@pytest.fixture(params=[FromADirectory, FromAPipe, FromATopic])
def fed(request: pytest.FixtureRequest, tmp_path: Path) -> Fed:
    made: Fed = request.param(tmp_path)
    return made


@pytest.fixture(params=[FromADirectory, FromAPipe])
def fed_here(request: pytest.FixtureRequest, tmp_path: Path) -> Fed:
    """Give one whose reports come from this host: of a topic each partition has a ledger of its own."""
    made: Fed = request.param(tmp_path)
    return made


async def until(condition: Callable[[], bool], seconds: int = 4) -> None:
    for _ in range(100 * seconds):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


@pytest.mark.parametrize("dry", [True, False])
def test_a_large_document_comes_in_whole_and_others_have_their_turn(fed_here: Fed, dry: bool) -> None:
    names = [f"f{number}" for number in range(4_000)]
    turns = 0

    def write() -> None:
        fed_here.give(report(*names))
        fed_here.end()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def script() -> None:
        stop = asyncio.Event()
        beside = asyncio.ensure_future(others())
        writing = asyncio.get_running_loop().run_in_executor(None, write)
        if isinstance(fed_here, FromADirectory):
            await writing
        told: list[Taken] = []
        running = asyncio.ensure_future(fed_here.source.run(stop, told.append, dry=dry))
        await until(lambda: len(fed_here.inputs.ids) == len(names), 60)
        stop.set()
        await running
        await writing
        beside.cancel()
        assert sum(one.admitted.findings for one in told) == len(names)

    asyncio.run(script())
    fed_here.parser.close()
    assert fed_here.inputs.ids == names
    assert turns > 10


def test_a_dry_run_takes_all_and_ends(fed: Fed) -> None:
    told: list[Taken] = []
    fed.give(stream("1", "2"))
    fed.end()
    asyncio.run(fed.source.run(asyncio.Event(), told.append, dry=True))
    assert fed.inputs.ids == ["1", "2"]
    assert not fed.inputs.open
    assert sum(taken.admitted.findings for taken in told) == 2
    assert sum(taken.bytes_read for taken in told) == len(stream("1", "2"))


def test_it_takes_what_comes_until_it_is_told_to_stop(fed: Fed) -> None:
    told: list[Taken] = []

    async def test() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(fed.source.run(stop, told.append))
        fed.give(META + lines("1"))
        await until(lambda: fed.inputs.ids == ["1"])
        fed.give(lines("2"))
        await until(lambda: fed.inputs.ids == ["1", "2"])
        await until(lambda: fed.source.ready)
        assert (fed.source.healthy, fed.source.problems(), fed.source.overflows) == (True, [], 0)
        stop.set()
        await asyncio.wait_for(task, 10)

    asyncio.run(test())
    assert sum(taken.admitted.findings for taken in told) == 2


def test_what_was_left_open_in_an_input_that_it_does_not_read_is_closed(fed_here: Fed) -> None:
    async def test() -> None:
        stop = asyncio.Event()
        assert fed_here.inputs.open == {fed_here.left.input_id}
        fed_here.give(META + lines("1"))
        task = asyncio.create_task(fed_here.source.run(stop, lambda taken: None))
        await until(lambda: fed_here.inputs.ids == ["1"])
        assert fed_here.inputs.closed == [fed_here.left.name]
        stop.set()
        await asyncio.wait_for(task, 10)

    asyncio.run(test())


def test_a_ledger_that_takes_nothing_ends_the_run_and_the_next_goes_on(fed: Fed) -> None:
    async def test() -> None:
        stop = asyncio.Event()
        fed.inputs.full = True
        fed.give(META + lines("1"))
        with pytest.raises(LedgerError):
            await asyncio.wait_for(fed.source.run(stop, lambda taken: None), 10)
        fed.inputs.full = False
        task = asyncio.create_task(fed.source.run(stop, lambda taken: None))
        await until(lambda: fed.inputs.ids == ["1"])
        stop.set()
        await asyncio.wait_for(task, 10)

    asyncio.run(test())


def test_nothing_is_taken_while_the_ledger_has_no_room(fed: Fed) -> None:
    async def test() -> None:
        stop = asyncio.Event()
        fed.blocked = True
        fed.give(META + lines("1"))
        told: list[Taken] = []
        task = asyncio.create_task(fed.source.run(stop, told.append))
        await until(lambda: bool(told))  # it shows that it lives
        assert fed.inputs.ids == []
        fed.blocked = False
        fed.source.look_again()
        await until(lambda: fed.inputs.ids == ["1"])
        stop.set()
        await asyncio.wait_for(task, 10)

    asyncio.run(test())


def test_it_has_a_kind_and_a_name_and_gives_back_what_it_can(fed: Fed) -> None:
    assert fed.source.kind and fed.source.name
    assert fed.source.release() is False  # nothing is open yet, or nothing can be closed


def test_a_dry_run_of_what_is_not_there_says_so(tmp_path: Path) -> None:
    inputs = MemoryInputs()
    for name in ("nowhere", "nowhere.json"):
        settings = WatchSettings(roots=(str(tmp_path / name),))
        source = ReportDirectory(inputs, MemoryFiles(inputs), Limits(), settings)
        with pytest.raises(SourceError, match=f"{name}: is not there"):
            asyncio.run(source.run(asyncio.Event(), lambda taken: None, dry=True))
