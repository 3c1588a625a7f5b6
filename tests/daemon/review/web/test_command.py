"""`review --web` as somebody calls it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.cli.invoke import COMMAND, ROOT, in_a_process
from tests.daemon.review.web.served import PATIENCE_S, Client, copied, verdicts


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_the_page_is_and_ends_well_when_told_to(
    scanned: Path, tmp_path: Path, how: signal.Signals
) -> None:
    state = copied(scanned, tmp_path / "copy")
    process = subprocess.Popen(
        [*COMMAND, "review", "--web", "--listen", "127.0.0.1:0", "--author", "carol", "--state-dir", str(state)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    found = re.search(r"http://(127\.0\.0\.1:\d+)/enter\?token=(\S+)", process.stderr.readline())
    assert found is not None and "decides as carol" in process.stderr.readline()
    client = Client(found[1]).enter(found[2])
    client.send(client.get(client.get("/").links("/finding/")[0]).deciding, kind="approve")
    process.send_signal(how)
    assert process.wait(PATIENCE_S) == 0 and process.stderr.read() == ""
    process.stderr.close()
    assert [verdict.author for verdict in verdicts(state)] == ["carol"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--listen", "0.0.0.0:80", "--web"), 2, "an address of this machine alone"),
        (("--listen", "127.0.0.1:1"), 2, "--listen: has no effect without --web"),
        (("--author", "a", "history"), 2, "--author: has no effect without --web"),
        (("--web", "history"), 2, "--web: has no effect on `review history`"),
        (("--web", "--author", " "), 2, "--author: is empty"),
        (("--web", "--group", "root"), 2, "--group: has no effect on HOST:PORT"),
        (("--web", "--listen", "PATH", "--author", "a"), 2, "--author: has no effect on a UNIX socket"),
        (("--web", "--state-dir", "NOWHERE"), 3, "there is no ledger here yet"),
        (("--web", "--config", "NOWHERE"), 2, "cannot be read"),
    ],
)
def test_mistakes_are_one_line(scanned: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    places = {"PATH": str(tmp_path / "s"), "NOWHERE": str(tmp_path / "nowhere")}
    given = [places.get(one, one) for one in arguments]
    ended = in_a_process("review", *given, SYSSCAN_STATE_DIR=str(scanned / "state"))
    assert ended.code == code and says in ended.err and ended.err.count("\n") == 1, ended.err
    assert not (tmp_path / "s").exists() and not (tmp_path / "nowhere").exists()


def test_without_its_packages_it_says_what_to_install_and_nothing_else_needs_them(
    scanned: Path, tmp_path: Path
) -> None:
    for name in ("starlette", "uvicorn", "jinja2", "markupsafe", "h11"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('not there', name={name!r})")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYSSCAN_")}
    environment = {**kept, "PYTHONPATH": f"{tmp_path}:{ROOT}", "SYSSCAN_STATE_DIR": str(scanned / "state")}
    done = subprocess.run(
        [*COMMAND, "review", "--web"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"-e '{ROOT}[review]'" in done.stderr
    for script in (
        "import daemon.cli.app, daemon.compose, daemon.service, daemon.cli.review.interactive, daemon.review.deciding",
        "import daemon.cli.review.web",
    ):
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True)
    listed = subprocess.run(
        [*COMMAND, "review", "list"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0 and listed.stdout
