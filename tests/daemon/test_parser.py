"""The process that reads documents: what it gives, and what becomes of a document over which it fails."""

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon import parser as parser_module
from daemon.parser import DocumentParser, ParserFailed
from pipeline.errors import Incomplete, ReportError
from pipeline.keys import content_digest
from pipeline.report.limits import MIB, Limits
from pipeline.report.pieces import Findings, Hosts, Piece, ReportBegins, ReportEnds, Whole, cut
from pipeline.report.read import read_patiently
from tests.daemon.sources.world import report

FAULTY = Path(__file__).with_name("faulty_parser.py")
PATIENCE_S = 60.0
NAMES = [f"f{number}" for number in range(3_000)]


class Bench:
    """A parser of the faulty kind, and documents in files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[DocumentParser] = []

    def parser(self, mode: str = "none", **limits: float) -> DocumentParser:
        command = [sys.executable, "-P", str(FAULTY), mode, str(self.directory)]
        parser = DocumentParser(Limits.model_validate(limits), command=command, idle_s=0.2)
        self.made.append(parser)
        return parser

    def starts(self) -> list[int]:
        path = self.directory / "starts"
        return list(map(int, path.read_text().split())) if path.exists() else []

    def read(self, parser: DocumentParser, raw: bytes, *, final: bool = True) -> list[Piece]:
        """Read all of a document, as a source does."""
        path = self.directory / "document"
        path.write_bytes(raw)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return self.drain(parser, parser.read(descriptor, final=final))
        finally:
            os.close(descriptor)

    def drain(self, parser: DocumentParser, steps: Iterator[Piece | None]) -> list[Piece]:
        found: list[Piece] = []
        deadline = time.monotonic() + PATIENCE_S
        for piece in steps:
            assert time.monotonic() < deadline
            if piece is not None:
                found.append(piece)
            elif parser.waiting:
                time.sleep(0.001)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for parser in made.made:
        parser.close()
    assert [pid for pid in made.starts() if is_alive(pid)] == []


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descriptors() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def here(raw: bytes) -> list[Piece]:
    return list(cut(read_patiently(raw, Limits(), True), content_digest(raw)))


def test_it_gives_what_reading_here_gives_and_serves_one_after_the_other(bench: Bench) -> None:
    parser = bench.parser()
    assert parser.pid is None
    for raw in (report(*NAMES), report("1"), b'{"results":[]}\n' * 3):
        found = bench.read(parser, raw)
        assert found == here(raw)
        assert isinstance(found[0], Hosts) and isinstance(found[-1], Whole)
    assert len(bench.starts()) == 1
    assert {type(piece) for piece in here(report("1"))} == {Hosts, ReportBegins, Findings, ReportEnds, Whole}


def test_what_cannot_be_used_is_said_and_the_process_goes_on(bench: Bench) -> None:
    parser = bench.parser()
    with pytest.raises(Incomplete) as cut_short:
        bench.read(parser, report(*NAMES)[:-9])
    assert cut_short.value.reason == "truncated"
    with pytest.raises(ReportError) as refused:
        bench.read(parser, b"neither")
    assert refused.value.reason == "not_a_report"
    two = report("1") + b"\n" + report("2")[:-5]
    with pytest.raises(Incomplete):
        bench.read(parser, two, final=False)
    assert sum(isinstance(piece, ReportBegins) for piece in bench.read(parser, two)) == 1
    assert len(bench.starts()) == 1
    assert parser.deaths == 0


DEATHS = [
    ("die", "parser_died", "signal 9"),
    ("crash", "parser_died", "signal 11"),
    ("leave", "parser_died", "libgone.so"),
    ("rubbish", "parser_died", "does not speak as agreed"),
]
COSTS = [
    ("hang", "parser_died", "stood still"),
    ("stop", "parser_died", "stood still"),
    ("flood", "too_costly", "limits.max_parser_s"),
    ("memory", "too_costly", "limits.max_parser_memory"),
    ("eat", "too_costly", "limits.max_parser_memory"),
]
# Before it has begun nothing is known of the document, so it is not for the document that it is late.
LATE = [(mode, "parser_died", "did not begin in time") for mode in ("hang", "stop")]


@pytest.mark.parametrize(
    ("mode", "reason", "said"),
    [
        *((mode, *more) for mode, *more in (*DEATHS, *COSTS)),
        *((f"middle-{mode}", *more) for mode, *more in (*DEATHS, *COSTS)),
        *((f"start-{mode}", *more) for mode, *more in (*DEATHS, *LATE)),
    ],
)
def test_a_process_that_fails_is_ended_and_another_one_reads_the_next(
    bench: Bench, mode: str, reason: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = mode.endswith(("hang", "stop", "flood"))  # nothing else is to hang on how busy the machine is
    if late:
        name = "_START_S" if mode.startswith("start-") else "_STILL_S"
        monkeypatch.setattr(parser_module, name, 3.0)
    limits = {"max_parser_s": 2.0} if late else {"max_parser_memory": 64 * MIB}
    parser = bench.parser(f"once-{mode}", **limits)
    raw = report(*NAMES)
    with pytest.raises(ParserFailed) as failed:
        bench.read(parser, raw)
    if mode.endswith("flood"):  # whether it works or stands still depends on how fast it is listened to
        reason, said = failed.value.reason, "the process" if failed.value.reason == "parser_died" else said
    assert (failed.value.reason, parser.deaths) == (reason, 1)
    assert said in failed.value.detail and "\n" not in failed.value.detail
    monkeypatch.undo()
    parser._limits = Limits()
    assert bench.read(parser, raw) == here(raw)
    assert len(bench.starts()) == 2
    assert not is_alive(bench.starts()[0])


def test_one_that_prints_much_is_not_held_up(bench: Bench) -> None:
    raw = report(*NAMES)
    assert bench.read(bench.parser("loud", max_parser_s=20.0), raw) == here(raw)


def test_a_real_document_that_takes_too_much_memory_or_time(bench: Bench) -> None:
    """Without a fault: the parser of JSON does not even survive it where memory ends."""
    values = b"[" + b"[]," * 3_000_000 + b"1]"
    raw = b'{"results":[{"scanner":"s","findings":[{"id":"a","severity":"low","metadata":%b}]}]}' % values
    parser = bench.parser(max_parser_memory=64 * MIB)
    with pytest.raises(ParserFailed) as failed:
        bench.read(parser, raw)
    assert (failed.value.reason, "max_parser_memory" in failed.value.detail) == ("too_costly", True)
    assert bench.read(parser, report("1")) == here(report("1"))
    with pytest.raises(ParserFailed) as failed:
        bench.read(bench.parser(max_parser_s=1.0), b"{\n" * 1_500_000)
    assert (failed.value.reason, failed.value.certain) == ("too_costly", True)


def test_where_the_system_bounds_nothing_the_parent_has_an_eye_on_it(bench: Bench) -> None:
    parser = bench.parser("once-unbound", max_parser_memory=64 * MIB, max_parser_s=30.0)
    with pytest.raises(ParserFailed) as failed:
        bench.read(parser, report("1"))
    assert (failed.value.reason, "max_parser_memory" in failed.value.detail) == ("too_costly", True)
    assert bench.read(parser, report("1")) == here(report("1"))


def test_what_is_asked_for_is_the_only_thing_that_is_held(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stands still while nobody takes what it gives, and nobody calls it late for that."""
    monkeypatch.setattr(parser_module, "_STILL_S", 2.0)
    parser = bench.parser()
    path = bench.directory / "document"
    path.write_bytes(report(*(f"f{number}" for number in range(30_000))))
    descriptor = os.open(path, os.O_RDONLY)
    steps = parser.read(descriptor, final=True)
    found: list[Piece] = []
    while not found:
        piece = next(steps)
        found += [piece] if piece is not None else []
    time.sleep(2.5)
    found += bench.drain(parser, steps)
    os.close(descriptor)
    assert sum(len(piece.rows) for piece in found if isinstance(piece, Findings)) == 30_000


def test_one_document_at_a_time_in_the_order_of_asking(bench: Bench) -> None:
    parser = bench.parser()
    path = bench.directory / "document"
    path.write_bytes(report(*NAMES))
    descriptor = os.open(path, os.O_RDONLY)
    one, other = parser.read(descriptor, final=True), parser.read(descriptor, final=True)
    next(one)
    assert [next(other) for _ in range(5)] == [None] * 5
    assert parser.waiting
    assert len(bench.drain(parser, one)) == len(bench.drain(parser, other)) > 0
    os.close(descriptor)
    assert len(bench.starts()) == 1


def test_who_closes_it_in_the_middle_leaves_no_process_and_the_next_gets_its_own(bench: Bench) -> None:
    parser = bench.parser()
    path = bench.directory / "document"
    path.write_bytes(report(*NAMES))
    descriptor = os.open(path, os.O_RDONLY)
    steps = parser.read(descriptor, final=True)
    assert isinstance(steps, Iterator)
    while not isinstance(next(steps), Findings):
        pass
    steps.close()  # type: ignore[attr-defined]
    os.close(descriptor)
    until(lambda: not is_alive(bench.starts()[0]))
    assert bench.read(parser, report("1")) == here(report("1"))
    assert len(bench.starts()) == 2


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.EAGAIN])
def test_one_that_cannot_be_started_is_an_error_of_the_system(
    bench: Bench, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = bench.parser()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        for _ in range(3):
            with pytest.raises(OSError) as raised:
                bench.read(parser, report("1"))
            assert raised.value.errno == number
    assert bench.read(parser, report("1")) == here(report("1"))


def test_without_descriptors_it_says_so_and_leaks_none(bench: Bench) -> None:
    parser = bench.parser()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    path = bench.directory / "document"
    path.write_bytes(report("1"))
    descriptor = os.open(path, os.O_RDONLY)
    before = len(descriptors())
    for spare in range(1, 8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(descriptors()) + spare, hard))
        try:
            bench.drain(parser, parser.read(descriptor, final=True))
        except OSError as error:
            assert error.errno == errno.EMFILE
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    parser.close()
    assert len(descriptors()) == before
    os.close(descriptor)


def test_it_is_ended_when_nothing_has_come_for_a_while(bench: Bench) -> None:
    async def script() -> None:
        parser = bench.parser()
        for _ in range(2):
            bench.read(parser, report("1"))
        (pid,) = bench.starts()
        assert is_alive(pid)
        deadline = time.monotonic() + PATIENCE_S
        while is_alive(pid):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert bench.read(parser, report("1")) == here(report("1"))
        parser.close()

    asyncio.run(script())


def test_it_ends_with_us_and_signals_for_all_are_not_for_it(bench: Bench) -> None:
    parser = bench.parser()
    bench.read(parser, report("1"))
    (pid,) = bench.starts()
    assert os.getpgid(pid) != os.getpgid(0)
    theirs = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert len(theirs) <= 5  # standard streams, its socket, and perhaps the listing
    script = (
        "import time\nfrom daemon.parser import DocumentParser\nfrom pipeline.errors import ReportError\n"
        "from pipeline.report.limits import Limits\nparser = DocumentParser(Limits())\n"
        "try:\n    for _ in parser.read(0, final=True):\n        time.sleep(0.01)\n"
        "except ReportError:\n    print(parser.pid, flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            grandchild = int(holder.stdout.readline())
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(grandchild, number)
            time.sleep(0.2)
            assert is_alive(grandchild)
        finally:
            holder.kill()
    until(lambda: not is_alive(grandchild))
