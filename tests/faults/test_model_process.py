"""The shipped model's process killed, stopped and broken under the real daemon: no byte changes, nothing is lost."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from daemon.ledger import Ledger
from pipeline.errors import LedgerError
from tests.crash.process import ROOT, wait_until
from tests.daemon.running import PATIENCE_S, WITH_A_FIXED_CLOCK, Running
from tests.pipeline.sessions import SCANS

SCAN = "web01-ioc.json"


class Daemon(Running):
    """A daemon that asks the shipped model everything, about one scan."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, program=WITH_A_FIXED_CLOCK, SYSSCAN_MODEL__SHIPPED="false")
        self.hit: set[int] = set()  # processes that got a signal
        self.feed(SCAN, (SCANS / SCAN).read_bytes())

    def model(self) -> int | None:
        """Return the id of the model's process, when there is one."""
        return next(iter(self.children("pipeline.engine.serve")), None)

    def answers(self) -> int:
        """Count the answers that were kept so far."""
        with contextlib.suppress(LedgerError), Ledger.open(
            self.state, clock=lambda: 0.0, read_only=True, exclusive=False
        ) as ledger:  # fmt: skip
            return int(ledger.status()["analyses"])
        return 0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "disturbed")
    yield made
    made.end()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    written = Daemon(tmp_path_factory.mktemp("undisturbed")).finish()
    origins = {line["analysis"]["origin"] for line in map(orjson.loads, written.splitlines()) if "analysis" in line}
    assert "model" in origins
    return written


def hit(daemon: Daemon, number: signal.Signals, after: int) -> int:
    """Send a signal to a process that got none yet, once more answers than that are kept; return how many are."""

    def fresh() -> int | None:
        pid = daemon.model()
        return pid if pid not in daemon.hit else None

    wait_until(lambda: daemon.answers() > after or not daemon.is_running(), "more answers", 0.05)
    wait_until(lambda: fresh() is not None or not daemon.is_running(), "a process")
    known, pid = daemon.answers(), fresh()
    if pid is not None:
        daemon.hit.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return known


@pytest.mark.slow
def test_f39_killed_again_and_again_in_the_middle_of_a_scan_changes_no_byte(daemon: Daemon, undisturbed: bytes) -> None:
    process = daemon.start("--once")
    known = -1
    for _ in range(5):
        known = hit(daemon, signal.SIGKILL, known)
    assert process.wait(PATIENCE_S) == 0
    assert daemon.events().count("model.died") == 5
    assert "model.refused" not in daemon.events()
    assert daemon.output.read_bytes() == undisturbed


@pytest.mark.slow
def test_f40_stopped_in_the_middle_of_a_scan_it_is_ended_in_time_and_no_byte_changes(
    daemon: Daemon, undisturbed: bytes
) -> None:
    process = daemon.start("--once")
    for _ in range(2):
        wait_until(
            lambda: daemon.model() not in {None, *daemon.hit} or not daemon.is_running(),
            "a process",
            0.05,
            PATIENCE_S,  # it is given the longer to answer, the slower this machine is
        )
        hit(daemon, signal.SIGSTOP, daemon.answers())  # once it has answered: loading is waited for much longer
    assert process.wait(PATIENCE_S) == 0
    assert daemon.events().count("model.died") == 2
    assert "no answer came in time" in daemon.log.read_text()
    assert daemon.output.read_bytes() == undisturbed


@pytest.mark.slow
def test_f40_while_an_answer_is_out_the_rest_goes_on_and_sigterm_ends_it(daemon: Daemon, undisturbed: bytes) -> None:
    process = daemon.start()
    hit(daemon, signal.SIGSTOP, 0)
    model = daemon.model()
    (daemon.root / "other.json").write_bytes(b"no report\n")
    wait_until(lambda: "input.quarantined" in daemon.events(), "it takes in more")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert "service.stopped" in daemon.events()
    assert "model.died" not in daemon.events(), "it did not wait for the answer"
    assert model is not None and not Path(f"/proc/{model}").exists()
    (daemon.root / "other.json").unlink()
    daemon.log.write_bytes(b"")
    assert daemon.start("--once").wait(PATIENCE_S) in (0, 1)
    assert daemon.output.read_bytes() == undisturbed


def test_f39_the_daemon_killed_with_an_answer_out_leaves_no_process(daemon: Daemon, undisturbed: bytes) -> None:
    process = daemon.start("--once")
    hit(daemon, signal.SIGSTOP, 0)
    model = daemon.model()
    process.kill()
    process.wait()
    wait_until(lambda: not Path(f"/proc/{model}").exists(), "the model's process has ended, too")
    assert daemon.finish() == undisturbed


@pytest.mark.parametrize(
    ("library", "program", "event", "reason"),
    [
        ("llguidance", "raise ImportError('libgone.so: cannot open')", "model.refused", "libgone.so: cannot open"),
        ("llguidance", "import os; os.abort()", "model.refused", "SIGABRT"),
        ("onnxruntime", "raise OSError('libstdc++: too old')", "model.refused", "libstdc++: too old"),
        ("numpy", "raise MemoryError", "model.refused", "too little memory"),
    ],
    ids=["a library that is missing", "a library that crashes", "a runtime that is missing", "no memory"],
)
def test_f41_a_model_that_cannot_be_started_leaves_all_to_the_rules_and_says_so_in_one_line(
    library: str, program: str, event: str, reason: str, daemon: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / f"{library}.py").write_text(program)
    written = daemon.finish(PYTHONPATH=f"{tmp_path / 'broken'}:{ROOT}")
    reasons = {
        line["analysis"]["fallback_reason"]
        for line in map(orjson.loads, written.splitlines())
        if "host" in line and "analysis" in line
    }
    assert "model_failed" in reasons and None not in reasons
    assert daemon.events().count(event) == 1
    assert reason in daemon.log.read_text()
