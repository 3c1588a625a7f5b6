"""The ledger against a small model: every finding reaches the sink exactly once, in order, whatever happens."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.ledger import Ledger
from daemon.ports.files import KIND
from tests.daemon.ledger.reports import (
    EXTENSION,
    SINK,
    Stream,
    admit,
    finding,
    line_of,
    meta,
    ndjson_report,
    open_ledger,
    report,
    summary,
    work_off,
)
from tests.depth import examples

IDS = st.sampled_from(["a", "b"])
FILES = st.integers(0, 3)
# A token is the beginning of a scan (which header, how many findings it announces), a finding, or a bad line.
BEGINNINGS = st.tuples(st.just("meta"), st.sampled_from(["h1", "h2"]), st.integers(1, 3))
TOKENS = st.one_of(BEGINNINGS, st.tuples(st.just("finding"), IDS), st.just(("bad",)))

Token = tuple[object, ...]
Known = tuple[tuple[object, ...], tuple[str, ...]]  # header, findings


def lines_of(token: Token) -> list[bytes]:
    match token:
        case ("meta", header, count):
            return [meta("web01", user=header), summary(int(str(count))), EXTENSION]
        case ("finding", id_):
            return [finding(str(id_))]
    return [b"nonsense"]


def host_of(scan: Known) -> str:
    """Give the host of a scan; who does not say is told apart from those who do."""
    return "nobody" if "no meta" in scan[0] else "web01"


@dataclass
class ModelFile:
    """What the model knows of a stream: all that was ever put into it, and its open scan."""

    tokens: list[Token] = field(default_factory=list)
    header: tuple[object, ...] = ("no meta",)
    ended: bool = False  # `header` is that of a scan that has ended
    open: list[str] | None = None
    announced: object = None
    claims: set[int] = field(default_factory=set)
    place: "ModelPlace" = field(default_factory=lambda: ModelPlace())
    before: set[int] = field(default_factory=set)  # scans that the content in front of this one had shown
    base: dict[str, float] = field(default_factory=dict)  # of each host, the latest that the place had shown before
    latest: dict[str, int] = field(default_factory=dict)  # and the latest that this content has

    @classmethod
    def at(cls, place: "ModelPlace") -> "ModelFile":
        """Begin another content under a name."""
        return cls(place=place, before=place.before, base=dict(place.marks))

    def end(self) -> None:
        """Note that this content is no longer to be found under its name."""
        if self.claims:
            self.place.before = self.claims

    def shows_again(self, n: int, scan: Known) -> bool:
        host = host_of(scan)
        mark = self.base.get(host, -1)
        is_latest = n == mark and self.latest.get(host, -1) <= mark  # and nothing later was shown since
        return n not in self.claims and (n > mark or is_latest or n in self.before)

    def claim(self, n: int, scan: Known) -> None:
        self.claims.add(n)
        host = host_of(scan)
        last = self.latest.get(host, -1)
        self.latest[host] = max(last, n)
        moved = n if n > last else last + 0.5  # past both, where the one that was closed earlier comes later
        self.place.marks[host] = max(self.place.marks.get(host, -1), moved)


@dataclass
class ModelPlace:
    """A name: what its latest content had shown, and of each host the latest scan that it ever has."""

    before: set[int] = field(default_factory=set)
    marks: dict[str, float] = field(default_factory=dict)


class Model:
    """The rules of admission once more, as plainly as can be."""

    def __init__(self) -> None:
        self.closed: list[Known] = []
        self.digests: set[str] = set()
        self.quarantined = 0

    def take(self, file: ModelFile, token: Token) -> None:
        match token:
            case ("meta", header, count):
                self.close(file)
                file.header, file.open, file.announced, file.ended = (header, count), [], count, False
            case ("finding", id_):
                if file.open is None:
                    continued = file.ended and file.header[0] != "continued"
                    file.header = ("continued", *file.header) if continued else file.header
                    file.open, file.announced, file.ended = [], None, False
                file.open.append(str(id_))
                if len(file.open) == file.announced:
                    self.close(file)
            case _:
                self.quarantined += 1

    def close(self, file: ModelFile) -> None:
        if file.open is None:
            return
        scan = (file.header, tuple(file.open))
        same = [n for n, known in enumerate(self.closed) if known == scan and file.shows_again(n, scan)]
        if not same:
            same = [len(self.closed)]
            self.closed.append(scan)
        file.claim(same[0], scan)
        file.open, file.ended = None, True

    def document(self, digest: str, ids: list[str]) -> None:
        """Take a report with times."""
        if digest not in self.digests:
            self.digests.add(digest)
            self.closed.append((("document", digest), tuple(ids)))

    def state(self, place: ModelPlace, digest: str, ids: list[str]) -> None:
        """Take a report without times, in a new file under a name."""
        file = ModelFile.at(place)
        known = (("state", digest), tuple(ids))
        same = [n for n, scan in enumerate(self.closed) if scan == known and file.shows_again(n, known)]
        if not same:
            same = [len(self.closed)]
            self.closed.append(known)
        file.claim(same[0], known)
        file.end()


class LedgerMachine(RuleBasedStateMachine):
    """Drives ledger and model through the same life."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.lives = 0
        self.ledger = self.open(self.root / "0")
        self.ledger.outbox.register(SINK)
        self.model = Model()
        self.streams: list[Stream] = []
        self.files: list[ModelFile] = []
        self.places: dict[str, ModelPlace] = {}
        self.delivered: list[tuple[str, bytes]] = []

    def open(self, directory: Path) -> Ledger:
        ledger = open_ledger(directory)
        ledger.database.connection.execute("PRAGMA synchronous = OFF")  # speed; power cuts have their own test
        return ledger

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for number in range(len(self.files)):
            self.close_stream(number)
        work_off(self.ledger)
        self.deliver(10_000)
        assert len(self.delivered) == len(self.expected())
        self.exactly_once_in_order()
        while self.ledger.idle():
            pass
        assert self.ledger.status()["outbox_rows"] == 0 and self.ledger.fsck() == []
        self.ledger.close()
        shutil.rmtree(self.root)

    # What a source does

    @precondition(lambda self: len(self.files) < 4)
    @rule(tokens=st.lists(TOKENS, max_size=6))
    def new_stream(self, tokens: list[Token]) -> None:
        path = f"/w/{len(self.streams)}"
        self.streams.append(Stream(self.ledger, path))
        self.files.append(ModelFile.at(self.place(path)))
        self.append(len(self.files) - 1, tokens)

    @precondition(lambda self: self.files)
    @rule(number=FILES, tokens=st.lists(TOKENS, min_size=1, max_size=8))
    def append_lines(self, number: int, tokens: list[Token]) -> None:
        self.append(number % len(self.files), tokens)

    def place(self, path: str) -> ModelPlace:
        return self.places.setdefault(path, ModelPlace())

    def append(self, number: int, tokens: list[Token]) -> None:
        file = self.files[number]
        file.tokens += tokens
        for token in tokens:
            self.model.take(file, token)
        self.streams[number].append(*(line for token in tokens for line in lines_of(token)))

    @precondition(lambda self: self.files)
    @rule(number=FILES)
    def close_stream(self, number: int) -> None:
        """Rotation or deadline."""
        self.model.close(self.files[number % len(self.files)])
        self.streams[number % len(self.files)].close()

    @precondition(lambda self: self.files)
    @rule(number=FILES)
    def rename_away_and_begin_anew(self, number: int) -> None:
        number %= len(self.files)
        self.model.close(self.files[number])
        self.ledger.inputs.drop(self.streams[number].state.input_id)
        self.files[number].end()
        self.streams[number] = Stream(self.ledger, f"/w/{number}")
        self.files[number] = ModelFile.at(self.place(f"/w/{number}"))

    @precondition(lambda self: self.files and len(self.files) < 4)
    @rule(number=FILES)
    def copy_stream(self, number: int) -> None:
        """Somebody copies the file under another name."""
        self.new_stream(list(self.files[number % len(self.files)].tokens))

    @precondition(lambda self: any(file.tokens for file in self.files))
    @rule(number=FILES)
    def read_again(self, number: int) -> None:
        """The source lost its place, or was asked to read the file once more."""
        number %= len(self.files)
        old = self.files[number]
        if not old.tokens:
            return
        self.model.close(old)
        old.end()
        file = self.files[number] = ModelFile.at(old.place)
        file.tokens = old.tokens
        for token in old.tokens:
            self.model.take(file, token)
        self.streams[number].read_anew()

    @rule(tokens=st.lists(st.tuples(BEGINNINGS, IDS), min_size=1, max_size=2))
    def compressed_streams(self, tokens: list[tuple[Token, str]]) -> None:
        """Whole scans of as many findings as announced, in one compressed file."""
        file = ModelFile.at(self.place("/w/z.gz"))
        flat: list[Token] = []
        for beginning, id_ in tokens:
            flat += [beginning, *[("finding", id_)] * int(str(beginning[2]))]
        for token in flat:
            self.model.take(file, token)
        reports = ndjson_report([line for token in flat for line in lines_of(token)])
        admit(self.ledger, *reports, path="/w/z.gz")
        file.end()

    @rule(digest=st.sampled_from(["d1", "d2", "d3"]))
    def document(self, digest: str) -> None:
        ids = [digest, "a", "a"]
        self.model.document(digest, ids)
        admit(self.ledger, report(*ids, digest=digest))

    @rule(digest=st.sampled_from(["s1", "s2"]), path=st.sampled_from(["/w/host.json", "/w/mirror.json"]))
    def state_of_a_host(self, digest: str, path: str) -> None:
        """A report without times, published over the one before it."""
        self.model.state(self.place(path), digest, [digest, "a"])
        admit(self.ledger, report(digest, "a", digest=digest, started_at=None), path=path)

    # What the pipeline and the sinks do

    @rule(size=st.integers(1, 3), batches=st.integers(0, 3), finish=st.booleans())
    def work(self, size: int, batches: int, finish: bool) -> None:
        scan = self.ledger.work.next_scan()
        if scan is None:
            return
        found = self.ledger.work.findings(scan.scan_no)
        waiting = self.ledger.work.plan(scan.scan_no, size)
        for batch in waiting[:batches]:
            rows = [(f"{scan.scan_no}/{n}", "low", True, line_of(found[n])) for n in range(batch.first, batch.last)]
            self.ledger.work.commit_batch(batch, rows)
            self.ledger.work.commit_batch(batch, rows)  # as after a crash between commit and the deletion of the thread
        if finish and not self.ledger.work.plan(scan.scan_no, size):
            self.ledger.work.finish_scan(scan, b"record %d" % scan.scan_no, [], [], "p")

    @rule(limit=st.integers(1, 5), acknowledge=st.booleans())
    def deliver_some(self, limit: int, acknowledge: bool) -> None:
        self.deliver(limit, acknowledge)

    def deliver(self, limit: int, acknowledge: bool = True) -> None:
        rows = self.ledger.outbox.pending(SINK, limit)
        if rows and acknowledge:
            self.delivered += [(row.kind, row.line) for row in rows]
            self.ledger.outbox.delivered(SINK, rows[-1].position)

    @rule()
    def upkeep(self) -> None:
        self.ledger.idle()

    @rule()
    def crash(self) -> None:
        """Go on with what is on disk at this moment; the process never got to close anything."""
        alive = self.root / str(self.lives)
        self.lives += 1
        dead = self.root / str(self.lives)
        dead.mkdir()
        for name in ("ledger.db", "ledger.db-wal", "ledger.mark"):
            shutil.copy(alive / name, dead / name)
        self.ledger.close()
        shutil.rmtree(alive)
        self.ledger = self.open(dead)
        for stream in self.streams:
            stream.ledger = self.ledger
            known = {source.input_id: source for source in self.ledger.inputs.known(KIND)}
            stream.state = known[stream.state.input_id]
            assert int(stream.state.position or 0) == len(stream.content)

    # What must be true

    def expected(self) -> list[tuple[str, bytes]]:
        out = []
        for number, (_, ids) in enumerate(self.model.closed, 1):
            out += [("finding", id_.encode()) for id_ in ids]
            out.append(("scan", b"record %d" % number))
        return out

    @invariant()
    def exactly_once_in_order(self) -> None:
        assert self.delivered == self.expected()[: len(self.delivered)]
        waiting = [(row.kind, row.line) for row in self.ledger.outbox.pending(SINK, 10_000)]
        reached = len(self.delivered)
        assert waiting == self.expected()[reached : reached + len(waiting)]

    @invariant()
    def nothing_is_lost_on_the_way(self) -> None:
        status = self.ledger.status()
        assert status["scans_waiting"] + status["scans_done"] == len(self.model.closed)
        assert status["scans_open"] == sum(file.open is not None for file in self.files)
        assert sum(status["quarantine_open"].values()) <= self.model.quarantined

    @invariant()
    def the_ledger_is_sound(self) -> None:
        assert self.ledger.fsck() == []


LedgerMachine.TestCase.settings = settings(
    max_examples=examples(60), stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLedger = LedgerMachine.TestCase
