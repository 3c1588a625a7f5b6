"""The state: every key has a writer, and a reader beside it; what it rests on is compared before a batch goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from daemon.checkpoints import Checkpoints
from pipeline.analysis.answers import MemoryStore
from pipeline.graph.batches import run_batch
from pipeline.graph.graph import build_graph
from pipeline.graph.nodes import Nodes
from pipeline.graph.session import ScanSession, Stale
from pipeline.graph.state import BatchState, thread_name
from pipeline.rules.policy import load_policy
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import Baseline, knowledge, lines_of, report, resources, session_of

SCAN = "web01-ioc.json"
NODES = (
    "classify", "correlate", "judge", "ask", "recall", "analyse", "critique", "fallback", "remediate", "finalise",
)  # fmt: skip
ROUTES = ("after_recall", "after_critique")


class Read(dict[str, Any]):
    """A state that notes what is read of it."""

    def __init__(self, values: Any, reads: set[str]) -> None:
        super().__init__(values)
        self._reads = reads

    def __getitem__(self, key: str) -> Any:
        self._reads.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._reads.add(str(key))
        return super().__contains__(key)


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Checkpoints]:
    kept = Checkpoints(tmp_path / "c.db")
    yield kept
    kept.close()


def test_every_key_of_the_state_is_written_and_read_by_somebody_else(
    monkeypatch: pytest.MonkeyPatch, saver: Checkpoints
) -> None:
    written: dict[str, set[str]] = {"start": {"scan_no", "first", "last"}}
    read: dict[str, set[str]] = {}

    def watched(owner: type, name: str, at: int) -> None:
        original = getattr(owner, name)

        def note(*args: Any) -> Any:
            state = Read(args[at], read.setdefault(name, set()))
            result = original(*args[:at], state, *args[at + 1 :])
            if isinstance(result, dict):
                written.setdefault(name, set()).update(result)
            return result

        monkeypatch.setattr(owner, name, note)

    for name in (*NODES, *ROUTES):
        watched(Nodes, name, 1)
    for name in ("check", "take_lines"):  # the resume
        watched(ScanSession, name, 1)
    analyst = PlainAnalyst(refuse=lambda question: int(question.key, 16) % 4)
    where = resources(analyst=analyst, store=MemoryStore())
    for _ in range(2):  # the second time as after a restart
        session = session_of(report(SCAN), where)
        run_batch(build_graph({1: session}, saver.saver), session, 0, 97, thread="t")
    assert {name for name in written if name in NODES} == set(NODES)
    for key in get_type_hints(BatchState):
        writers = {name for name, keys in written.items() if key in keys}
        readers = {name for name, keys in read.items() if key in keys}
        assert writers, f"{key} is written by nobody"
        assert any(readers - {writer} for writer in writers), f"{key} is read by nobody but {writers}"
        # What is written twice is read by others than both of its writers, or by each for the other.
        assert readers and (readers - writers or len(writers) > 1), key


def test_what_other_knowledge_began_is_begun_again(saver: Checkpoints, tmp_path: Path) -> None:
    """The threads have different names, so a batch that was interrupted under the old one is not gone on with."""
    file = tmp_path / "policy.yaml"
    file.write_text("allow: [{class: kernel_params.kptr_restrict, owner: ops, reason: known, expires: 2030-01-01}]")
    before, after = resources(), resources(load_policy([file], knowledge()))
    names = {thread_name(on.digest, "scan", 0, 97) for on in (before, after)}
    assert len(names) == 2
    assert thread_name(before.digest, "scan", 0, 97) in names
    for on in (before, after):
        session = session_of(report(SCAN), on)
        lines = run_batch(
            build_graph({1: session}, saver.saver), session, 0, 97, thread=thread_name(on.digest, "scan", 0, 97)
        )
        assert lines == lines_of(session_of(report(SCAN), on), 97)


@pytest.mark.parametrize("node", NODES[3:])
def test_a_batch_whose_findings_are_judged_otherwise_by_now_is_stale(
    node: str, saver: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline may have been written beside the daemon: a finding that came back weighs more."""
    parsed = report(SCAN)
    memory = Baseline()
    memory.session(parsed, resources(), 1)
    (known,) = memory.known.values()
    known_mended = {name: _mended(row) for name, row in known.items()}
    analyst, store = PlainAnalyst(refuse=lambda question: 2), MemoryStore()

    def open_(prior: Any, answers: MemoryStore = store) -> ScanSession:
        return session_of(parsed, resources(analyst=analyst, store=answers), prior, scan_no=2)

    def killed(*_: object) -> Any:
        raise KeyboardInterrupt

    session = open_(known)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Nodes, node, killed)
        run_batch(build_graph({2: session}, saver.saver), session, 0, 97, thread="t")
    session = open_(known_mended)
    with pytest.raises(Stale):
        run_batch(build_graph({2: session}, saver.saver), session, 0, 97, thread="t")
    session = open_(known)
    lines = run_batch(build_graph({2: session}, saver.saver), session, 0, 97, thread="t")
    assert lines == lines_of(open_(known, MemoryStore()), 97)


def test_lines_that_would_be_others_by_now_are_stale(saver: Checkpoints) -> None:
    """The last thing that a thread says is the digest of its lines."""
    parsed = report(SCAN)
    session = session_of(parsed, resources())
    lines = run_batch(build_graph({1: session}, saver.saver), session, 0, 97, thread="t")
    other = session_of(parsed, resources(), {})  # with a baseline, which the lines show and the judgements do not
    with pytest.raises(Stale, match="lines"):
        run_batch(build_graph({1: other}, saver.saver), other, 0, 97, thread="t")
    assert json.loads(lines[0].line)["baseline"] is None


def _mended(row: Any) -> Any:
    return type(row)(**{**{name: getattr(row, name) for name in type(row).__slots__}, "status": "resolved"})
