"""The worker: nothing is given up before the ledger has it, and no fault of ours loses a finding."""

import contextlib
import errno
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from structlog.testing import capture_logs

import daemon.batch_runner
import daemon.finishing
import daemon.ledger.settling
import daemon.opening
from daemon.checkpoints import Checkpoints
from daemon.inference import ModelProcess
from daemon.ledger import Ledger
from daemon.ports.work import Batch
from daemon.worker import MAX_ATTEMPTS, Worker
from pipeline.analysis.model import ModelAnalyst
from pipeline.analysis.question import Answer, Question
from pipeline.engine.model import Model
from pipeline.errors import LedgerError
from pipeline.graph.batches import run_batch
from pipeline.graph.resources import Resources
from pipeline.graph.session import ScanSession, Stale
from pipeline.graph.state import thread_name
from pipeline.models.embedded import EMBEDDED_MODEL
from pipeline.output.enriched import Line
from pipeline.retrieval.retriever import Retriever
from pipeline.shortage import is_shortage
from tests.daemon.ledger.reports import SINK, admit
from tests.pipeline.analysts import LateAnalyst, PlainAnalyst
from tests.pipeline.sessions import knowledge, lines_of, made_up, report, resources, session_of
from tests.pipeline.unknown import finding

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"
SCAN = "web01-ioc.json"
SIZE = 16  # several batches
POISON = 20  # a finding in the second one


class Shop:
    """A ledger with one scan, and a worker that can be lost and made again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = Ledger.open(directory, clock=lambda: 1_800_000_000.0)
        self.ledger.outbox.register(SINK)
        self.resources: Resources = resources()
        self.opened: list[Checkpoints] = []

    def take_in(self, name: str = SCAN) -> None:
        admit(self.ledger, report(name), path=f"/w/{name}")

    def worker(self) -> Worker:
        """Make one whose turns never end, so that opening a scan is a step, and so is its end."""
        self.opened.append(Checkpoints(self.checkpoints))
        return Worker(self.ledger.work, self.resources, self.opened[-1], SIZE, clock=lambda: 0.0)

    def slow_worker(self) -> Worker:
        """Make one to which everything takes as long as a whole turn."""
        ticks = itertools.count()
        self.opened.append(Checkpoints(self.checkpoints))
        return Worker(self.ledger.work, self.resources, self.opened[-1], SIZE, clock=lambda: float(next(ticks)))

    @property
    def checkpoints(self) -> Path:
        return self.directory / "checkpoints.db"

    def finish(self, worker: Worker) -> None:
        while worker.step():
            worker.awaited.rest_here()

    def written(self, kind: str = "finding") -> list[bytes]:
        return [row.line for row in self.ledger.outbox.pending(SINK, 100_000) if row.kind == kind]

    def close(self) -> None:
        for checkpoints in self.opened:
            checkpoints.close()
        self.ledger.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "state")
    yield made
    assert made.ledger.fsck() == []
    made.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], list[bytes]]:
    """Lines and records of a worker that nothing disturbs."""
    made = Shop(tmp_path_factory.mktemp("calm") / "state")
    made.take_in()
    made.finish(made.worker())
    result = made.written(), made.written("scan")
    made.close()
    assert len(result[0]) == len(report(SCAN).findings)
    return result


def valid(kind: str, line: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(line)
    Draft202012Validator(json.loads((SCHEMAS / f"{kind}-1.schema.json").read_bytes())).validate(document)
    return document


def test_checkpoints_and_batches_change_no_byte_of_an_analysis(expected: tuple[list[bytes], list[bytes]]) -> None:
    plain = [json.loads(line.line) for line in lines_of(session_of(report(SCAN), resources(), {}))]
    ours = [json.loads(line) for line in expected[0]]
    for one in (*plain, *ours):  # the ledger names scans otherwise than the test's session does
        for name in ("scan_id", "dedupe_key", "correlations"):
            del one[name]
    assert ours == plain


def test_a_scan_that_was_half_done_goes_on_where_the_ledger_says(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take_in()
    before = shop.worker()
    for _ in range(3):  # opened, and two batches
        before.step()
    assert len(shop.written()) == 2 * SIZE
    ran: list[int] = []

    def watched(graph: Any, session: ScanSession, first: int, last: int, **more: Any) -> list[Line]:
        ran.append(first)
        return run_batch(graph, session, first, last, **more)

    monkeypatch.setattr(daemon.batch_runner, "run_batch", watched)
    shop.finish(shop.worker())
    assert ran[0] == 2 * SIZE
    assert len(ran) == len(set(ran))
    assert (shop.written(), shop.written("scan")) == expected


def test_a_batch_that_was_run_but_not_committed_is_resumed(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take_in()
    before = shop.worker()
    before.step()
    monkeypatch.setattr(shop.ledger.work, "commit_batch", refuse)
    with pytest.raises(LedgerError):
        before.step()
    monkeypatch.undo()
    assert shop.opened[0].threads() != []
    done: list[str] = []
    monkeypatch.setattr(ScanSession, "ask", lambda *_: done.append("again"))
    after = shop.worker()
    after.step()
    after.step()
    assert done == []  # the whole graph had been run: only its lines are written again
    monkeypatch.undo()
    shop.finish(after)
    assert (shop.written(), shop.written("scan")) == expected


def refuse(*_: object) -> None:
    raise LedgerError("the disk is full", transient=True)


@pytest.mark.parametrize("method", ["next_scan", "findings", "baseline", "plan", "commit_batch", "finish_scan"])
def test_a_ledger_that_fails_for_a_while_costs_nothing(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take_in()
    real: Callable[..., Any] = getattr(shop.ledger.work, method)
    calls: list[int] = []

    def every_other(*args: Any) -> Any:
        calls.append(1)
        return refuse() if len(calls) % 2 else real(*args)

    monkeypatch.setattr(shop.ledger.work, method, every_other)
    worker = shop.worker()
    for _ in range(200):
        try:
            if not worker.step():
                break
        except LedgerError as error:
            assert error.transient
    assert len(calls) > 1
    assert (shop.written(), shop.written("scan")) == expected


def test_threads_that_nothing_waits_for_are_discarded(shop: Shop, expected: tuple[list[bytes], list[bytes]]) -> None:
    """What other knowledge, policy, model or code began is never gone on with."""
    shop.take_in()
    worker = shop.worker()
    scan = shop.ledger.work.next_scan()
    assert scan is not None
    stale = f"{'0' * 32}:{scan.scan_id}:0-{SIZE}"
    ours = thread_name(shop.resources.digest, scan.scan_id, 0, SIZE)
    with sqlite3.connect(shop.checkpoints) as other:
        for thread in (stale, ours, "nonsense"):
            other.execute("INSERT INTO checkpoints (thread_id, checkpoint_id) VALUES (?, '1')", (thread,))
    other.close()
    worker.step()
    assert shop.opened[0].threads() == [ours]
    with sqlite3.connect(shop.checkpoints) as other:
        other.execute("DELETE FROM checkpoints")
    other.close()
    shop.finish(worker)
    assert (shop.written(), shop.written("scan")) == expected


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500, b"SQLite format 3\0" + b"\xa5" * 9000])
@pytest.mark.parametrize("half_way", [False, True])
def test_a_damaged_checkpoint_file_is_replaced(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], content: bytes, half_way: bool
) -> None:
    shop.take_in()
    if half_way:
        before = shop.worker()
        before.step()
        before.step()
        shop.opened.pop().close()
    shop.checkpoints.write_bytes(content)
    shop.finish(shop.worker())
    assert (shop.written(), shop.written("scan")) == expected


def test_checkpoints_that_are_damaged_under_way_are_replaced(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], logs: list[Any]
) -> None:
    shop.take_in()
    worker = shop.worker()
    worker.step()
    with sqlite3.connect(shop.checkpoints) as other:
        other.execute("DROP TABLE checkpoints")
    other.close()
    shop.finish(worker)
    assert "checkpoints.replaced" in [entry["event"] for entry in logs]
    assert (shop.written(), shop.written("scan")) == expected


def test_f24_checkpoints_without_room_are_waited_for(shop: Shop, expected: tuple[list[bytes], list[bytes]]) -> None:
    shop.take_in()
    worker = shop.worker()
    worker.step()
    connection = shop.opened[0].saver.conn
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(LedgerError, match="full; make room") as raised:
        shop.finish(worker)
    assert raised.value.transient
    connection.execute("PRAGMA max_page_count=100000")
    shop.finish(worker)
    assert (shop.written(), shop.written("scan")) == expected


def test_checkpoints_stay_small_over_many_scans(shop: Shop) -> None:
    worker = shop.worker()
    sizes = []
    for name in (SCAN, "web01-unpriv.json", "db02-drift-1.json", "db02-drift-2.json", "micro-default.json"):
        shop.take_in(name)
        shop.finish(worker)
        worker.tidy()
        assert shop.opened[0].threads() == []
        sizes.append(shop.checkpoints.stat().st_size)
    assert max(sizes) <= 16 * 4096  # a few pages of empty tables
    assert sizes[-1] <= sizes[0]


# Faults of ours


def break_on(monkeypatch: pytest.MonkeyPatch, broken: Callable[[int, int], bool]) -> None:
    """Have a step of the graph fail for the batches that `broken` chooses."""
    original = ScanSession.classify

    def classify(self: ScanSession, first: int, last: int) -> list[int]:
        if broken(first, last):
            raise ZeroDivisionError("a fault of ours")
        return original(self, first, last)

    monkeypatch.setattr(ScanSession, "classify", classify)


def test_a_batch_that_fails_once_is_tried_again(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    shop.take_in()
    faults = [True]
    break_on(monkeypatch, lambda first, last: first <= POISON < last and bool(faults) and faults.pop())
    shop.finish(shop.worker())
    assert [entry["attempt"] for entry in logs if entry["event"] == "batch.failed"] == [1]
    assert (shop.written(), shop.written("scan")) == expected


def test_a_finding_that_our_code_fails_on_is_written_as_the_report_has_it_and_its_neighbours_in_full(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    shop.take_in()
    break_on(monkeypatch, lambda first, last: first <= POISON < last)
    shop.finish(shop.worker())
    lines = shop.written()
    assert lines[:POISON] + lines[POISON + 1 :] == expected[0][:POISON] + expected[0][POISON + 1 :]
    poor, rich = valid("enriched", lines[POISON]), json.loads(expected[0][POISON])
    assert poor["analysis"]["fallback_reason"] == "internal_error"
    assert poor["class"] == f"unknown.{rich['finding']['scanner']}"
    for name in ("dedupe_key", "fingerprint", "scan_id", "host", "as_of", "profile"):
        assert poor[name] == rich[name]
    assert poor["finding"]["id"] == report(SCAN).findings[POISON].id
    assert poor["finding"]["description"] == report(SCAN).findings[POISON].description
    assert [entry["seq"] for entry in logs if entry["event"] == "finding.failed"] == [POISON]
    assert all(entry["log_level"] == "error" for entry in logs if entry["event"].endswith(".failed"))
    assert shop.written("scan") == expected[1]


def test_attempts_are_counted_across_restarts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.take_in()
    tried: list[tuple[int, int]] = []

    def breaks(first: int, last: int) -> bool:
        if last - first > 1 and first == 0:
            tried.append((first, last))
            return True
        return False

    break_on(monkeypatch, breaks)
    for _ in range(MAX_ATTEMPTS):
        lost = shop.worker()
        lost.step()
        lost.step()  # and the process is lost
    shop.finish(shop.worker())
    assert len(tried) == MAX_ATTEMPTS
    assert len(shop.written()) == len(report(SCAN).findings)


def test_a_ledger_fault_is_never_taken_for_a_fault_of_a_batch(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.take_in()
    worker = shop.worker()
    worker.step()
    monkeypatch.setattr(ScanSession, "recall", refuse)
    for _ in range(5):
        with pytest.raises(LedgerError):
            worker.step()
    monkeypatch.undo()
    first: Batch = shop.ledger.work.plan(1, SIZE)[0]
    assert first.attempt == 0
    shop.finish(worker)


def test_a_scan_that_our_code_cannot_even_begin_comes_out_as_reported_and_the_next_in_full(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take_in("web01-weird-names.json")
    with monkeypatch.context() as patch:
        patch.setattr(ScanSession, "steps", Broken)
        shop.finish(shop.worker())
    findings = report("web01-weird-names.json").findings
    lines = [valid("enriched", line) for line in shop.written()]
    assert [one["finding"]["id"] for one in lines] == [finding.id for finding in findings]
    assert len({one["dedupe_key"] for one in lines}) == len(findings)
    (record,) = shop.written("scan")
    said = valid("scan", record)
    assert "internal_error" in said["notes"]
    assert said["counts"]["lines"] == len(findings)
    assert said["baseline"] is None
    shop.take_in()
    shop.finish(shop.worker())
    assert len(shop.written()) == len(findings) + len(expected[0])


class Broken:
    def __init__(self, *_: object) -> None:
        raise RecursionError("a fault of ours")


def test_a_record_that_our_code_fails_on_is_a_poor_one(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.take_in()
    monkeypatch.setattr(ScanSession, "record_steps", Broken)
    shop.finish(shop.worker())
    assert shop.written() == expected[0]
    (record,) = shop.written("scan")
    assert "internal_error" in valid("scan", record)["notes"]


def test_a_shortage_of_what_the_model_needs_is_waited_for_and_never_answered_by_the_rules(
    shop: Shop, tmp_path: Path
) -> None:
    class Starved(PlainAnalyst):
        left = 5

        def analyse(self, question: Question, attempt: int) -> "Future[Answer | None]":
            if not self.left:
                return super().analyse(question, attempt)
            self.left -= 1
            answer: Future[Answer | None] = Future()
            answer.set_exception(OSError(errno.EMFILE, "Too many open files"))
            return answer

    shop.take_in()
    shop.resources = resources(analyst=Starved(), store=shop.ledger.analyses)
    worker, waited = shop.worker(), 0
    busy = True
    while busy:
        try:
            busy = worker.step()
        except LedgerError as error:
            assert error.transient and is_shortage(error)
            waited += 1
    assert waited > 0
    other = Shop(tmp_path / "other")
    other.take_in()
    other.resources = resources(analyst=PlainAnalyst(), store=other.ledger.analyses)
    other.finish(other.worker())
    assert shop.written() == other.written()
    other.close()


def test_a_model_that_takes_long_gives_way_and_goes_on_where_it_was(shop: Shop, tmp_path: Path) -> None:
    """Every answer takes as long as a whole turn; the lines are those of a model that takes no time."""
    shop.take_in()
    analyst = PlainAnalyst()
    shop.resources = resources(analyst=analyst, store=shop.ledger.analyses)
    worker = shop.slow_worker()
    turns = [len(analyst.asked)]
    while worker.step():
        turns.append(len(analyst.asked))
    assert max(after - before for before, after in itertools.pairwise(turns)) == 1
    assert len(analyst.asked) == len({key for key, _ in analyst.asked}) > SIZE
    other = Shop(tmp_path / "other")
    other.take_in()
    other.resources = resources(analyst=PlainAnalyst(), store=other.ledger.analyses)
    other.finish(other.worker())
    assert shop.written() == other.written()
    assert shop.written("scan") == other.written("scan")
    other.close()


def test_a_question_that_takes_a_whole_turn_and_gets_no_answer_is_not_asked_in_every_turn(shop: Shop) -> None:
    """What comes first in a batch and never gets an answer would hold up all that is behind it."""
    shop.take_in()
    analyst = PlainAnalyst(silent=lambda question: True)
    shop.resources = resources(analyst=analyst, store=shop.ledger.analyses)
    worker = shop.slow_worker()
    for _ in range(1000):
        if not worker.step():
            break
    assert {json.loads(line)["analysis"]["fallback_reason"] for line in shop.written()} == {"model_failed"}
    assert len(analyst.asked) == len(set(analyst.asked))


def test_a_model_gives_way_also_where_a_batch_is_done_finding_by_finding(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_on(monkeypatch, lambda first, last: last - first > 1)
    shop.take_in()
    analyst = PlainAnalyst()
    shop.resources = resources(analyst=analyst, store=shop.ledger.analyses)
    worker = shop.slow_worker()
    turns = [0]
    while worker.step():
        turns.append(len(analyst.asked))
    assert max(after - before for before, after in itertools.pairwise(turns)) == 1
    lines = [json.loads(line) for line in shop.written()]
    assert len(lines) == 97
    assert {line["analysis"]["origin"] for line in lines} == {"model"}


def test_what_keeps_a_model_from_answering_is_logged_once(shop: Shop) -> None:
    shop.take_in()
    analyst = PlainAnalyst(silent=lambda question: True)
    analyst.failure = "out of order"
    shop.resources = resources(analyst=analyst, store=shop.ledger.analyses)
    with capture_logs() as logs:
        shop.finish(shop.worker())
    assert [entry["reason"] for entry in logs if entry["event"] == "model.failed"] == ["out of order"]
    assert {json.loads(line)["analysis"]["fallback_reason"] for line in shop.written()} == {"model_failed"}


def test_what_keeps_unknown_findings_from_being_searched_is_logged_once(shop: Shop, tmp_path: Path) -> None:
    admit(shop.ledger, made_up([finding("docker:socket"), finding("cron:job")]), path="/w/unknown.json")
    shop.resources = resources()
    shop.resources.retriever = Retriever(knowledge(), file=tmp_path / "gone.json")
    with capture_logs() as logs:
        shop.finish(shop.worker())
    (told,) = [entry["reason"] for entry in logs if entry["event"] == "retrieval.unavailable"]
    assert "gone.json" in told
    lines = [json.loads(line) for line in shop.written()]
    assert len(lines) == 2 and not any("likely" in line for line in lines)


def undisturbed(base: Path, name: str = SCAN) -> tuple[list[bytes], list[bytes]]:
    """Return what a model writes that answers at once."""
    shop = Shop(base)
    shop.take_in(name)
    shop.resources = resources(analyst=PlainAnalyst(), store=shop.ledger.analyses)
    shop.finish(shop.worker())
    written = shop.written(), shop.written("scan")
    shop.close()
    return written


def test_steps_return_at_once_while_answers_are_out_and_go_on_when_they_are_there(shop: Shop, tmp_path: Path) -> None:
    shop.take_in()
    analyst = LateAnalyst()
    shop.resources = resources(analyst=analyst, store=shop.ledger.analyses)
    worker = shop.worker()
    most = waited = 0
    while worker.step():
        most = max(most, analyst.num_open)
        if not worker.awaited.waiting:
            continue
        asked = len(analyst.asked)
        for _ in range(3):
            assert worker.step(), "there is work, and it is the model's turn"
        assert len(analyst.asked) == asked
        analyst.answer(analyst.num_open)
        waited += 1
    assert waited > 2 and 1 < most <= 16, "some wait together, and not all of a batch"
    assert len(analyst.asked) == len(set(analyst.asked))
    assert (shop.written(), shop.written("scan")) == undisturbed(tmp_path / "other")


def test_a_lost_worker_asks_again_only_what_was_not_kept(shop: Shop, tmp_path: Path) -> None:
    shop.take_in()
    first, second = LateAnalyst(), PlainAnalyst()
    shop.resources = resources(analyst=first, store=shop.ledger.analyses)
    worker = shop.worker()
    while not worker.awaited.waiting:
        worker.step()
    first.answer(first.num_open)
    while not worker.awaited.waiting:
        worker.step()
    assert first.num_open
    shop.resources = resources(analyst=second, store=shop.ledger.analyses)
    shop.finish(shop.worker())
    assert len({*first.asked, *second.asked}) == len(first.asked) + len(second.asked) - first.num_open
    assert (shop.written(), shop.written("scan")) == undisturbed(tmp_path / "other")


def test_two_workers_on_the_same_resources_wait_for_their_own_answers(shop: Shop, tmp_path: Path) -> None:
    other = Shop(tmp_path / "two")
    shop.take_in()
    other.take_in("micro-hardening.json")
    analyst = LateAnalyst()
    shared = resources(analyst=analyst)
    shop.resources = other.resources = shared
    workers = [shop.worker(), other.worker()]
    busy = [True, True]
    together = False
    while any(busy):
        busy = [worker.step() for worker in workers]
        if all(worker.awaited.waiting for worker, going in zip(workers, busy, strict=True) if going):
            together |= all(busy)
            analyst.answer(7)  # of whomever
    assert together
    assert (shop.written(), shop.written("scan")) == undisturbed(tmp_path / "alone")
    assert other.written() == undisturbed(tmp_path / "also alone", "micro-hardening.json")[0]
    other.close()


def test_two_workers_on_one_model_process_write_what_each_would_alone(shop: Shop, tmp_path: Path) -> None:
    names = ["web01-fs-hygiene.json", "micro-hardening.json"]
    alone = []
    with contextlib.closing(ModelProcess(Model(EMBEDDED_MODEL, shipped=False))) as process:
        shared = resources(analyst=ModelAnalyst(process, knowledge(), "embedded"))
        for name in names:
            one = Shop(tmp_path / f"alone-{name}")
            one.take_in(name)
            one.resources = shared
            one.finish(one.worker())
            alone.append(one.written())
            one.close()
        shops = [Shop(tmp_path / name) for name in names]
        for each, name in zip(shops, names, strict=True):
            each.take_in(name)
            each.resources = shared
        workers = [each.worker() for each in shops]
        busy = [True, True]
        while any(busy):
            busy = [worker.step() for worker in workers]
            for worker, going in zip(workers, busy, strict=True):
                if going and all(each.awaited.waiting for each in workers):
                    worker.awaited.rest_here()
        assert process.health.deaths == 0
    assert [each.written() for each in shops] == alone
    assert all(b'"origin":"model"' in b"".join(lines) for lines in alone)
    for each in shops:
        each.close()


def test_a_model_that_answers_late_is_waited_for_also_finding_by_finding(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_on(monkeypatch, lambda first, last: last - first > 1)
    shop.take_in()
    analyst = LateAnalyst()
    shop.resources = resources(analyst=analyst, store=shop.ledger.analyses)
    worker = shop.worker()
    while worker.step():
        analyst.answer(analyst.num_open)
    assert {json.loads(line)["analysis"]["origin"] for line in shop.written()} == {"model"}
    assert len(analyst.asked) == len(set(analyst.asked))


# Turns


def small_pieces(monkeypatch: pytest.MonkeyPatch, rows: int = 16) -> None:
    """Have every scan treated as a large one."""
    monkeypatch.setattr(daemon.opening, "_ROWS", rows)
    monkeypatch.setattr(daemon.finishing, "_ROWS", rows)
    monkeypatch.setattr(daemon.ledger.settling, "AT_ONCE", rows)


DRIFT = ("db02-drift-1.json", "db02-drift-2.json", "db02-drift-1.json")


def worked_off(shop: Shop, worker: Callable[[], Worker], steps_each: int) -> tuple[list[bytes], list[bytes], Any]:
    """Work scans of one host off, with a worker that is lost after so many steps each time."""
    for number, name in enumerate(DRIFT):
        parsed = report(name)
        admit(shop.ledger, replace(parsed, digest=f"{number}{parsed.digest}"), path=f"/w/{number}")
        busy, lives = True, 0
        while busy:
            lost, lives = worker(), lives + 1
            assert lives < 30, "no life is long enough to get on"
            for _ in range(steps_each):
                busy = lost.step()
                assert shop.ledger.fsck() == []
                if not busy:
                    break
            shop.opened.pop().close()
    (host,) = {json.loads(line)["host"] for line in shop.written("scan")}
    profile = json.loads(shop.written("scan")[0])["profile"]
    return shop.written(), shop.written("scan"), shop.ledger.baseline.rows(host, profile)


@pytest.fixture(scope="module")
def drift(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Shop(tmp_path_factory.mktemp("drift") / "state")
    result = worked_off(made, made.worker, 10_000)
    made.close()
    assert {json.loads(line)["baseline"]["state"] for line in result[0]} > {"new", "recurring"}
    return result


def test_a_scan_in_pieces_comes_out_as_a_scan_at_once(shop: Shop, drift: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch)
    assert worked_off(shop, shop.worker, 10_000) == drift
    connection = shop.ledger.database.connection
    for table in ("inbox", "keys", "batches", "staged", "settling"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


@pytest.mark.parametrize("steps", [74, 78, 82])
def test_a_worker_that_is_lost_in_the_middle_of_opening_or_finishing_costs_nothing(
    shop: Shop, drift: Any, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is one piece; so many are enough for a scan to be opened, and some batches to be committed."""
    small_pieces(monkeypatch, 48)
    assert worked_off(shop, shop.slow_worker, steps) == drift


def test_a_turn_ends_with_the_piece_that_is_in_hand(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    small_pieces(monkeypatch)
    shop.take_in()
    pieces: list[str] = []
    for owner, name in ((daemon.opening.Opening, "advance"), (daemon.finishing.Finishing, "advance")):
        original = getattr(owner, name)

        def advance(self: Any, original: Any = original) -> bool:
            pieces.append(type(self).__name__)
            done: bool = original(self)
            return done

        monkeypatch.setattr(owner, name, advance)
    worker = shop.slow_worker()
    most = 0
    while worker.step():
        most, pieces[:] = max(most, len(pieces)), []
    assert most == 1
    other = shop.worker()
    shop.take_in("web01-unpriv.json")
    counts = []
    while other.step():
        counts.append(len(pieces))
        pieces.clear()
    assert max(counts) > 10


@pytest.mark.parametrize("method", ["findings", "baseline", "plan", "stage_baseline", "finish_scan", "settle"])
def test_a_piece_that_the_ledger_refuses_is_offered_again(
    shop: Shop, drift: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pieces(monkeypatch)
    real: Callable[..., Any] = getattr(shop.ledger.work, method)
    calls: list[int] = []

    def every_other(*args: Any) -> Any:
        calls.append(1)
        return refuse() if len(calls) % 2 else real(*args)

    monkeypatch.setattr(shop.ledger.work, method, every_other)

    class Patient(Worker):
        def step(self) -> bool:
            try:
                return super().step()
            except LedgerError as error:
                assert error.transient
                return True

    def patient() -> Worker:
        shop.opened.append(Checkpoints(shop.checkpoints))
        return Patient(shop.ledger.work, shop.resources, shop.opened[-1], SIZE, clock=lambda: 0.0)

    assert worked_off(shop, patient, 10_000) == drift
    assert len(calls) > 4


def test_a_record_waits_for_a_cache_that_cannot_be_read_just_now(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that fails for a while is no fault of ours that would make the record a poor one."""
    shop.take_in()
    worker = shop.worker()
    while len(shop.written()) < len(report(SCAN).findings):
        worker.step()
    with monkeypatch.context() as patch:
        patch.setattr(ScanSession, "record_steps", refuse)
        for _ in range(3):
            with pytest.raises(LedgerError):
                worker.step()
    shop.finish(worker)
    (record,) = shop.written("scan")
    assert "internal_error" not in valid("scan", record)["notes"]


def test_a_batch_that_rests_on_what_is_no_longer_so_is_begun_again(
    shop: Shop, expected: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    shop.take_in()
    before = shop.worker()
    before.step()
    monkeypatch.setattr(shop.ledger.work, "commit_batch", refuse)
    with pytest.raises(LedgerError):
        before.step()
    monkeypatch.undo()
    faults = [Stale("judged otherwise")]

    def check(self: ScanSession, state: Any) -> None:
        if faults:
            raise faults.pop()

    monkeypatch.setattr(ScanSession, "check", check)
    shop.finish(shop.worker())
    assert [entry["first"] for entry in logs if entry["event"] == "batch.restarted"] == [0]
    assert (shop.written(), shop.written("scan")) == expected


@pytest.mark.parametrize(
    ("steps", "damage"),
    [
        (0, "UPDATE scans SET header = x'7b' WHERE scan_no = 1"),
        (0, "UPDATE inbox SET finding = x'5b' WHERE scan = 1 AND seq = 9"),
        (0, "DELETE FROM inbox WHERE scan = 1 AND seq = 9"),
        (3, "DELETE FROM batches WHERE scan = 1 AND NOT done"),  # two batches are done
    ],
)
def test_a_scan_that_is_damaged_is_set_aside_at_any_step_and_the_next_goes_on(
    tmp_path: Path, steps: int, damage: str, logs: list[Any]
) -> None:
    shop = Shop(tmp_path / "state")
    shop.take_in()
    shop.take_in("web01-unpriv.json")
    worker = shop.worker()
    for _ in range(steps):
        worker.step()
    shop.ledger.database.connection.execute(damage)
    shop.finish(worker)
    assert len(shop.written("scan")) == 1
    assert len(shop.written()) >= len(report("web01-unpriv.json").findings)
    assert shop.ledger.aside.count() == [entry["event"] for entry in logs].count("scan.set_aside") == 1
    shop.close()


def test_a_scan_that_does_not_fit_into_memory_is_tried_twice_and_set_aside(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    shop.take_in()
    shop.take_in("web01-unpriv.json")
    tried = []

    def too_large(opening: daemon.opening.Opening) -> None:
        if opening.scan.scan_no == 1:
            tried.append(1)
            raise MemoryError
        real(opening)

    real = daemon.opening.Opening._work_out
    monkeypatch.setattr(daemon.opening.Opening, "_work_out", too_large)
    shop.finish(shop.worker())
    assert len(tried) == 2
    assert len(shop.written("scan")) == 1
    assert "not enough memory" in shop.ledger.aside.rows()[0].reason
    monkeypatch.undo()
    shop.ledger.aside.retry(1)
    shop.finish(shop.worker())
    assert len(shop.written("scan")) == 2


def test_a_scan_that_comes_late_changes_no_baseline(shop: Shop) -> None:
    shop.take_in()
    shop.ledger.work.set_aside(1, "a test")
    admit(shop.ledger, replace(report(SCAN), digest="later", findings=report(SCAN).findings[:5]), path="/w/later")
    shop.finish(shop.worker())
    query = "SELECT * FROM baseline ORDER BY fingerprint"
    before = shop.ledger.database.connection.execute(query).fetchall()
    shop.ledger.aside.retry(1)
    shop.finish(shop.worker())
    assert shop.ledger.database.connection.execute(query).fetchall() == before != []
    assert len(shop.written("scan")) == 2


def test_checkpoints_that_cannot_be_opened_are_kept_in_memory(tmp_path: Path) -> None:
    """As on a disk without room: what waits is delivered, and that makes room."""
    (tmp_path / "state" / "checkpoints.db").mkdir(parents=True)
    shop = Shop(tmp_path / "state")
    shop.take_in()
    shop.finish(shop.worker())
    assert len(shop.written()) == len(report(SCAN).findings)
    shop.close()
