"""Any order of what writers, rotation and crashes do to files, against a model of what must come out."""

import gzip
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.daemon.sources.world import META, World, line, report
from tests.depth import examples

STREAMS = st.sampled_from(["a.ndjson", "b.ndjson"])
DOCUMENTS = st.sampled_from(["c.json", "d.json"])


@dataclass
class Live:
    """A file as its writer knows it. `unread` were written since the last sweep, `rest` completes a started line."""

    unread: list[str] = field(default_factory=list)
    rest: bytes = b""
    pending: str = ""
    seen: bool = False


class SourceMachine(RuleBasedStateMachine):
    """Every line that was readable when a sweep came, or is held open, comes out exactly once and in order.

    `due` must come out once, `excused` may (nobody could have read it), `torn` must not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.world = World(self.directory / "in")
        self.live: dict[str, Live] = {}
        self.orphans: list[Live] = []  # unlinked, held only by a descriptor
        self.due: set[str] = set()
        self.excused: set[str] = set()
        self.torn: set[str] = set()
        self.count = 0

    def teardown(self) -> None:
        self.sweep()
        for _ in range(3):
            self.wait(70)
        assert set(self.world.inputs.ids) >= self.due, "a finding was lost"
        self.check()
        self.world.stop()
        shutil.rmtree(self.directory)

    def name(self) -> str:
        self.count += 1
        return f"id{self.count}"

    def stream(self, name: str) -> Live:
        if name not in self.live:
            self.live[name] = Live()
            self.world.write(name, META)
        return self.live[name]

    @rule(name=STREAMS, count=st.integers(1, 3), pad=st.sampled_from([0, 0, 300, 2000]))
    def append(self, name: str, count: int, pad: int) -> None:
        file = self.stream(name)
        self.complete(name)
        for _ in range(count):
            new = self.name()
            self.world.append(name, line(new, pad))
            file.unread.append(new)
            self.due.add(new)

    @rule(name=STREAMS, cut=st.integers(1, 60), all_but_end=st.booleans())
    def begin_line(self, name: str, cut: int, all_but_end: bool) -> None:
        file = self.stream(name)
        self.complete(name)
        file.pending = self.name()
        data = line(file.pending)
        cut = len(data) - 1 if all_but_end else cut
        self.world.append(name, data[:cut])
        file.rest = data[cut:]
        if all_but_end:
            self.due.add(file.pending)
            file.unread.append(file.pending)

    @rule(name=STREAMS)
    def complete(self, name: str) -> None:
        file = self.live.get(name)
        if file is not None and file.rest:
            self.world.append(name, file.rest)
            if file.pending and file.pending not in self.due:
                self.due.add(file.pending)
                file.unread.append(file.pending)
            file.rest, file.pending = b"", ""

    @rule(name=STREAMS)
    def rotate(self, name: str) -> None:
        if name in self.live:
            self.count += 1
            self.world.path(name).rename(self.world.path(f"{name}.{self.count}"))
            self._abandon(name)

    @rule(name=STREAMS)
    def rotate_and_compress(self, name: str) -> None:
        if name in self.live:
            self.count += 1
            data = self.world.path(name).read_bytes()
            self.world.write(f"{name}.{self.count}.gz", gzip.compress(data))
            self.world.path(name).unlink()
            self._abandon(name)

    @rule(name=STREAMS, appended=st.integers(0, 3), elsewhere=st.booleans())
    def copytruncate(self, name: str, appended: int, elsewhere: bool) -> None:
        if name not in self.live:
            return
        self.count += 1
        copy = f"{name}.{self.count}"
        if elsewhere:
            self.world.path("old").mkdir(exist_ok=True)
            copy = f"old/{copy}"
        self.world.copytruncate(name, copy)
        file = self.live[name]
        if file.pending and file.pending not in self.due:
            self.torn.add(file.pending)
        file.pending = ""  # its rest, if any, becomes a torn line at the start of the emptied file
        file.unread = []  # they are in the copy
        if appended:
            self.append(name, appended, 0)

    @rule(name=STREAMS)
    def unlink(self, name: str) -> None:
        if name in self.live:
            self.world.path(name).unlink()
            file = self.live[name]
            if file.seen:
                self.orphans.append(file)
            else:
                self.excused |= set(file.unread)
                self.due -= set(file.unread)
            self._abandon(name)

    @rule(name=DOCUMENTS)
    def rewrite_document(self, name: str) -> None:
        self._replace(name)
        self.world.write(name, report(*self.live[name].unread))

    @rule(name=DOCUMENTS, cut=st.integers(0, 200))
    def cut_document(self, name: str, cut: int) -> None:
        self._replace(name)
        self.world.write(name, report(*self.live[name].unread)[:cut])
        self.due -= set(self.live[name].unread)
        self.torn |= set(self.live[name].unread)
        self.live[name].unread = []

    @rule(name=DOCUMENTS)
    def publish(self, name: str) -> None:
        self._replace(name)
        self.world.write("x.tmp", report(*self.live[name].unread))
        self.world.path("x.tmp").rename(self.world.path(name))

    def _replace(self, name: str) -> None:
        old = self.live.get(name)
        if old is not None:
            self.excused |= set(old.unread)
            self.due -= set(old.unread)
        self.live[name] = Live(unread=[self.name(), self.name()])
        self.due |= set(self.live[name].unread)

    def _abandon(self, name: str) -> None:
        """Let the writer open a new file; what it had begun to write stays as it is."""
        file = self.live.pop(name)
        if file.pending and file.pending not in self.due | self.excused:
            self.torn.add(file.pending)

    @rule()
    def crash(self) -> None:
        self.world.crash()
        for orphan in self.orphans:
            self.excused |= set(orphan.unread)
            self.due -= set(orphan.unread)
        self.orphans = []
        for file in self.live.values():
            file.seen = False

    @rule()
    def restart(self) -> None:
        self.world.stop()
        self.orphans = []
        for file in self.live.values():
            file.seen = False

    @rule()
    def sweep(self) -> None:
        self.world.sweep()
        self._swept()

    @rule()
    def hint(self) -> None:
        if self.world._sweeper is not None:
            self.world.sweep(str(self.world.root))
            self._swept()

    @rule(seconds=st.sampled_from([1, 6, 35, 70]))
    def wait(self, seconds: int) -> None:
        self.world.later(seconds)
        self._swept()

    def _swept(self) -> None:
        for file in [*self.live.values(), *self.orphans]:
            file.seen = True
            # A line that lacks only its end is read when the file has been idle for a while.
            file.unread = [file.pending] if file.pending in self.due else []

    @invariant()
    def check(self) -> None:
        ids = self.world.inputs.ids
        assert len(ids) == len(set(ids)), "a finding came twice"
        assert not set(ids) & self.torn, "a torn record was taken"
        assert set(ids) <= self.due | self.excused
        last: dict[int, int] = {}
        for file_id, offset in self.world.inputs.offsets:
            assert offset > last.get(file_id, -1), "lines of a file came out of order"
            last[file_id] = offset


SourceMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("SYSSCAN_TEST_MODEL_RUNS", examples(150))),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSource = SourceMachine.TestCase


def test_a_stream_that_was_skipped_as_a_copy_is_continued_by_no_other_that_begins_alike() -> None:
    state = SourceMachine()
    state.append(count=1, name="a.ndjson", pad=0)
    state.sweep()
    state.rotate(name="a.ndjson")
    state.begin_line(all_but_end=False, cut=1, name="b.ndjson")  # no more than the header that the first one has
    state.hint()
    state.wait(seconds=6)
    state.begin_line(all_but_end=True, cut=1, name="a.ndjson")
    state.rotate_and_compress(name="b.ndjson")
    state.hint()
    state.crash()
    state.teardown()
