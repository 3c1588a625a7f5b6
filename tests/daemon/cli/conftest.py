"""The command line within the test's own process: a process of its own for each would take minutes."""

import gc
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli.app import main
from tests.daemon.cli.invoke import REPORT, Ended, in_a_process

Cli = Callable[..., Ended]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    def call(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["sysscan-agent", *map(str, arguments)])
        capfd.readouterr()
        heeded = signal.getsignal(signal.SIGINT)
        try:
            with pytest.raises(SystemExit) as end:
                main()
        finally:
            signal.signal(signal.SIGINT, heeded)
        gc.enable()  # which the program leaves off where it has little to do
        sys.stdout.flush()
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return call


@pytest.fixture(scope="session")
def enriched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Findings as `analyze` writes them."""
    path = tmp_path_factory.mktemp("enriched") / "findings.ndjson"
    done = in_a_process("analyze", "--output", str(path), str(REPORT))
    assert done.code == 0, done.err
    return path


@pytest.fixture
def state(taken_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `taken_in` gives, as a copy: what one test changes in it, no other one sees."""
    return shutil.copytree(taken_in, tmp_path_factory.mktemp("state") / "state")


@pytest.fixture(scope="session")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a daemon that took in a report and two files that are none, and ended."""
    directory = tmp_path_factory.mktemp("daemon")
    reports = directory / "reports"
    reports.mkdir()
    (reports / REPORT.name).write_bytes(REPORT.read_bytes())
    (reports / "notes.json").write_bytes(b"this is no report [/bold] :smile:\n")
    (reports / "other.json").write_bytes(b"nor is this\n")
    state = directory / "state"
    # A file that is no report is given up when it has stood still; here, at once.
    done = in_a_process(
        "run", "--once", "--watch", str(reports), "--state-dir", str(state), SYSSCAN_WATCH__SETTLE_S="0"
    )
    assert done.code == 1, done.err  # done, but two files could not be used
    return state
