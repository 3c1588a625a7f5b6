"""The graph: resume at any node, one question once, the bounded way back, a small state, and checkpoints that run
nothing."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.checkpoints import Checkpoints
from daemon.ledger import Ledger
from pipeline.analysis.answers import MemoryStore
from pipeline.analysis.question import MAX_ATTEMPTS, AnalysisStore, Analyst
from pipeline.finding import LEVELS, ParsedReport
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.session import ScanSession
from pipeline.output.enriched import Line
from pipeline.rules.policy import load_policy
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import documents, knowledge, lines_of, report, resources, session_of

SCAN = "web01-ioc.json"
NODES = {
    "classify": "classify",
    "correlate": "correlate",
    "judge": "assess",
    "ask": "ask",
    "recall": "recall",
    "analyse": "analyse",
    "critique": "critique",
    "fallback": "fallback",
    "remediate": "remediate",
    "finalise": "finalise",
}


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "state", clock=lambda: 1_800_000_000.0) as opened:
        yield opened


@contextmanager
def checkpoints(path: Path) -> Iterator[Checkpoints]:
    opened = Checkpoints(path)
    try:
        yield opened
    finally:
        opened.close()


def run(session: ScanSession, saver: Any, first: int, last: int, thread: str | None = "t") -> list[Line]:
    return run_batch(build_graph({1: session}, saver), session, first, last, thread=thread)


def plain_run(parsed: ParsedReport, analyst: Analyst, store: AnalysisStore | None = None) -> list[Line]:
    return lines_of(session_of(parsed, resources(analyst=analyst, store=store)), 4096)


def third_is_stubborn(question: Any) -> int:
    """Some questions are refused once, some for good."""
    return (0, 1, MAX_ATTEMPTS)[int(question.key, 16) % 3]


def test_the_nodes_named_here_are_those_of_the_graph() -> None:
    assert set(build_graph({}).get_graph().nodes) - {"__start__", "__end__"} == set(NODES)
    assert all(callable(getattr(ScanSession, method)) for method in NODES.values())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("node", NODES)
def test_a_batch_that_was_killed_in_a_node_goes_on_and_asks_nothing_again(
    node: str, when: str, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`after`: the node had done its work, but the checkpoint after it was not written."""
    parsed = report(SCAN)
    undisturbed = PlainAnalyst(refuse=third_is_stubborn)
    expected = plain_run(parsed, undisturbed)
    analyst = PlainAnalyst(refuse=third_is_stubborn)
    method = NODES[node]
    original: Callable[..., Any] = getattr(ScanSession, method)

    def killed(self: ScanSession, *args: Any) -> Any:
        if when == "after":
            original(self, *args)
        raise Killed

    path = tmp_path / "checkpoints.db"
    total = len(parsed.findings)
    with checkpoints(path) as kept, monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ScanSession, method, killed)
        run(session_of(parsed, resources(analyst=analyst, store=ledger.analyses)), kept.saver, 0, total)
    with checkpoints(path) as kept:
        lines = run(session_of(parsed, resources(analyst=analyst, store=ledger.analyses)), kept.saver, 0, total)
    assert lines == expected
    assert sorted(analyst.asked) == sorted(undisturbed.asked)


@pytest.mark.parametrize("survivors", [0, 1, 5])
def test_answers_that_came_before_the_kill_are_not_asked_for_again(
    survivors: int, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = report(SCAN)
    analyst = PlainAnalyst()
    original = PlainAnalyst.analyse

    def dies_later(self: PlainAnalyst, questions: Any, attempt: int) -> Any:
        if len(self.asked) == survivors:
            raise Killed
        return original(self, questions, attempt)

    total = len(parsed.findings)
    with checkpoints(tmp_path / "c.db") as kept, monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(PlainAnalyst, "analyse", dies_later)
        run(session_of(parsed, resources(analyst=analyst, store=ledger.analyses)), kept.saver, 0, total)
    assert len(analyst.asked) == survivors
    with checkpoints(tmp_path / "c.db") as kept:
        lines = run(session_of(parsed, resources(analyst=analyst, store=ledger.analyses)), kept.saver, 0, total)
    keys = [key for key, _ in analyst.asked]
    assert len(keys) == len(set(keys)) > 10
    assert lines == plain_run(parsed, PlainAnalyst())


def test_a_thread_that_came_to_its_end_gives_its_lines_again(tmp_path: Path) -> None:
    parsed = report(SCAN)
    total = len(parsed.findings)
    with checkpoints(tmp_path / "c.db") as kept:
        first = run(session_of(parsed, resources()), kept.saver, 0, total)
        assert run(session_of(parsed, resources()), kept.saver, 0, total) == first
        kept.delete("t")
        assert kept.threads() == []


def test_what_is_refused_once_is_asked_once_more_and_then_stands() -> None:
    analyst = PlainAnalyst(refuse=lambda question: 1)
    lines = documents(plain_run(report(SCAN), analyst))
    assert {line["analysis"]["origin"] for line in lines} == {"model"}
    assert {line["analysis"]["model"] for line in lines} == {"model of plain/1"}
    assert {line["analysis"]["fallback_reason"] for line in lines} == {None}
    assert all(line["analysis"]["assessment"].endswith("attempt 1.") for line in lines)
    keys = {line["analysis"]["key"] for line in lines}
    assert sorted(analyst.asked) == sorted((key, attempt) for key in keys for attempt in (0, 1))


def test_what_the_model_was_not_trained_on_is_not_asked_and_says_so() -> None:
    analyst = PlainAnalyst(untrained=lambda question: question.class_id == "kernel_params.kptr_restrict")
    lines = documents(plain_run(report(SCAN), analyst))
    reasons = {line["class"] == "kernel_params.kptr_restrict": line["analysis"]["fallback_reason"] for line in lines}
    assert reasons == {True: "not_trained", False: None}
    keys = {line["analysis"]["key"] for line in lines if line["class"] == "kernel_params.kptr_restrict"}
    assert keys and not keys & {key for key, _ in analyst.asked}


def test_what_is_refused_twice_is_answered_by_the_rules() -> None:
    analyst = PlainAnalyst(refuse=lambda question: MAX_ATTEMPTS)
    lines = documents(plain_run(report(SCAN), analyst))
    by_rules = documents(lines_of(session_of(report(SCAN), resources()), 4096))
    for line, ruled in zip(lines, by_rules, strict=True):
        said = line["analysis"]
        assert (said["origin"], said["model"], said["fallback_reason"]) == ("rules", None, "rejected")
        assert (said["assessment"], said["impact"]) == (ruled["analysis"]["assessment"], ruled["analysis"]["impact"])
        assert line["risk"] == ruled["risk"]
    assert len(analyst.asked) == 2 * len({key for key, _ in analyst.asked})


def test_a_model_without_an_answer_is_named_as_failed() -> None:
    lines = documents(plain_run(report(SCAN), PlainAnalyst(silent=lambda question: True)))
    assert {(line["analysis"]["origin"], line["analysis"]["fallback_reason"]) for line in lines} == {
        ("rules", "model_failed")
    }


def test_reasons_do_not_spill_from_one_question_to_another() -> None:
    analyst = PlainAnalyst(
        refuse=lambda question: MAX_ATTEMPTS if question.status == "open" else 0,
        silent=lambda question: question.status == "passed",
    )
    lines = documents(plain_run(report(SCAN), analyst))
    found = {(line["status"], line["analysis"]["origin"], line["analysis"]["fallback_reason"]) for line in lines}
    assert found == {
        ("open", "rules", "rejected"), ("passed", "rules", "model_failed"), ("info", "model", None),
    }  # fmt: skip


def test_an_answer_below_the_floor_lowers_nothing() -> None:
    lines = documents(plain_run(report(SCAN), PlainAnalyst(level="info")))
    ruled = documents(lines_of(session_of(report(SCAN), resources()), 4096))
    assert [line["risk"] for line in lines] == [line["risk"] for line in ruled]
    assert max(LEVELS.index(line["risk"]["level"]) for line in lines) >= 3


def test_an_answer_above_the_floor_raises_the_level_and_the_score_with_it() -> None:
    lines = plain_run(report(SCAN), PlainAnalyst(level="critical"))
    ruled = documents(lines_of(session_of(report(SCAN), resources()), 4096))
    for line, document, before in zip(lines, documents(lines), ruled, strict=True):
        assert (line.level, document["risk"]["level"]) == ("critical", "critical")
        assert document["risk"]["floor"] == before["risk"]["floor"]
        assert document["risk"]["score"] >= max(90, before["risk"]["score"])  # the band of critical begins there


def test_no_model_raises_what_the_operator_accepted(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("allow: [{class: kernel_params.kptr_restrict, owner: ops, reason: known, expires: 2030-01-01}]")
    policy = load_policy([file], knowledge())
    session = session_of(report(SCAN), resources(policy, analyst=PlainAnalyst(level="critical")))
    levels: dict[str, set[str]] = {}
    for line in documents(lines_of(session)):
        levels.setdefault(line["status"], set()).add(line["risk"]["level"])
    assert levels["accepted"] == {"info"}
    assert levels["open"] == {"critical"}


def test_a_question_is_asked_once_across_batches_and_scans(ledger: Ledger) -> None:
    analyst = PlainAnalyst(refuse=third_is_stubborn)
    where = resources(analyst=analyst, store=ledger.analyses)
    first = lines_of(session_of(report("web01-base-default.json"), where), 7)
    keys = {document["analysis"]["key"] for document in documents(first)}
    assert {key for key, _ in analyst.asked} == keys
    assert len(analyst.asked) == len(set(analyst.asked)) < len(first)
    asked = len(analyst.asked)
    again = lines_of(session_of(report("web01-base-default.json"), where), 7)
    fresh = lines_of(
        session_of(report("web01-base-default.json"), resources(analyst=analyst, store=ledger.analyses)), 256
    )
    assert again == fresh == first
    assert len(analyst.asked) == asked
    lines_of(session_of(report("web01-base-pretty.json"), where), 7)  # the same host, another report
    assert len(analyst.asked) == asked


def test_another_analyst_answers_anew() -> None:
    store = MemoryStore()
    one, other = PlainAnalyst("plain/1"), PlainAnalyst("plain/2")
    parsed = report("micro-default.json")
    before = documents(plain_run(parsed, one, store))
    after = documents(plain_run(parsed, other, store))
    assert {key for key, _ in one.asked}.isdisjoint(key for key, _ in other.asked)
    assert len(one.asked) == len(other.asked) == len(store.rows) / 2
    assert all(line["analysis"]["assessment"].startswith("plain/2:") for line in after)
    assert [line["dedupe_key"] for line in before] == [line["dedupe_key"] for line in after]


def test_a_cached_answer_that_cannot_be_read_is_asked_for_again() -> None:
    store = MemoryStore()
    parsed = report("micro-default.json")
    expected = plain_run(parsed, PlainAnalyst(), store)
    damage = [b"", b"{}", b"[]", b'{"answer":{},"attempt":0,"accepted":true}', b"\xff", b"null"]
    for number, key in enumerate(sorted(store.rows)):
        store.rows[key] = damage[number % len(damage)]
    analyst = PlainAnalyst()
    assert plain_run(parsed, analyst, store) == expected
    assert len(analyst.asked) == len(store.rows)


def test_the_state_stays_small(tmp_path: Path) -> None:
    """It is written after every node, so each byte a finding counts a dozen times."""
    parsed = report("db02-full.json.gz")
    sizes = {}
    for analyst in (None, PlainAnalyst(refuse=third_is_stubborn)):
        path = tmp_path / f"{analyst is None}.db"
        session = session_of(parsed, resources(analyst=analyst, store=MemoryStore()))
        with checkpoints(path) as kept:
            graph = build_graph({1: session}, kept.saver)
            run_batch(graph, session, 0, 256, thread="t")
            with sqlite3.connect(path) as connection:
                (largest,) = connection.execute("SELECT max(length(checkpoint)) FROM checkpoints").fetchone()
                (total,) = connection.execute(
                    "SELECT (SELECT sum(length(checkpoint) + length(metadata)) FROM checkpoints)"
                    " + (SELECT sum(length(value)) FROM writes)"
                ).fetchone()
        sizes[analyst is None] = largest / 256, total / 256
    for largest, total in sizes.values():
        assert largest < 16  # three quarters of it are LangGraph's own
        assert total < 60 * 2, "all rows that one batch ever writes; they go when it is committed"


FORGED = """
import ormsgpack, sqlite3, sys
from pathlib import Path
from daemon.checkpoints import Checkpoints
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph

path, mark = Path(sys.argv[1]), sys.argv[2]
call = ormsgpack.Ext(0, ormsgpack.packb(("os", "system", f"touch {mark}")))
kept = Checkpoints(path)
config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
kept.saver.put(config, {
    "v": 4, "id": "1f000000-0000-6000-8000-000000000000", "ts": "2026-11-02T00:00:00+00:00",
    "channel_values": {"seal": "SEAL"}, "channel_versions": {"seal": "1"}, "versions_seen": {},
}, {"source": "loop", "step": 9, "parents": {}}, {})
with sqlite3.connect(path) as connection:
    (good,) = connection.execute("SELECT checkpoint FROM checkpoints").fetchone()
    seal = ormsgpack.packb("SEAL")
    assert seal in good
    connection.execute("UPDATE checkpoints SET checkpoint = ?", (good.replace(seal, ormsgpack.packb(call)),))
kept.close()
kept = Checkpoints(path)
loaded = kept.saver.get_tuple(config)
print("loaded", loaded.checkpoint["channel_values"])
"""


@pytest.mark.parametrize("environment", [{}, {"LANGGRAPH_STRICT_MSGPACK": "false"}], ids=["unset", "switched off"])
def test_a_forged_checkpoint_runs_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    clean = {key: value for key, value in os.environ.items() if key != "LANGGRAPH_STRICT_MSGPACK"}
    run = subprocess.run(
        [sys.executable, "-c", FORGED, str(tmp_path / "c.db"), str(mark)],
        env={**clean, **environment},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert "loaded" in run.stdout, run.stderr
    assert not mark.exists()


WATCHED = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("langgraph", "langsmith", "langchain_core") and not seen:
            seen.append(sorted(key for key in os.environ if key.startswith(("LANGSMITH", "LANGCHAIN"))))
            seen.append(os.environ.get("LANGGRAPH_STRICT_MSGPACK"))

seen = []
sys.meta_path.insert(0, Watch())
import MODULE
print(seen)
"""


@pytest.mark.parametrize("module", ["daemon.worker", "daemon.one_shot", "pipeline.graph.graph", "daemon.cli.app"])
def test_tracing_is_off_before_anything_that_could_trace_is_imported(module: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WATCHED.replace("MODULE", module)],
        env={**os.environ, "LANGSMITH_TRACING": "true", "LANGCHAIN_ENDPOINT": "http://127.0.0.1:9"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    nothing_imported = module == "daemon.cli.app"  # it loads commands when they are called
    assert run.stdout.strip() == "[[], 'true']" or (nothing_imported and run.stdout.strip() == "[]")


def test_the_forgery_of_this_test_would_run_where_nothing_is_strict(tmp_path: Path) -> None:
    """The test above could not fail otherwise."""
    mark = tmp_path / "ran"
    script = (
        "import ormsgpack\n"
        "from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer\n"
        f"call = ormsgpack.Ext(0, ormsgpack.packb(('os', 'system', 'touch {mark}')))\n"
        "JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(('msgpack', ormsgpack.packb({'seal': call})))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert mark.exists()
