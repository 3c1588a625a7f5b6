"""Killed as soon as the position of a stream is stored, with the stream of another host in its place: both come out."""

import contextlib
import shutil
import sqlite3
import subprocess

from tests.cases.scene import IDS, IN, STATE, end, give_up, hosts, publish, start, stop, stream, until

if not shutil.which("strace"):
    give_up("needs strace")
first, second = stream("web-01", IDS, 3865), stream("web-02", IDS, 3901)  # alike but for the head; of one length
publish("app.ndjson", first)


def is_stored() -> bool:
    """Say whether the ledger has a position; how it is written is the source's own affair."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(STATE / "ledger.db")) as ledger:
        return any(position for (position,) in ledger.execute("SELECT position FROM inputs"))
    return False


for number in range(1, 60):  # killed at each sync in turn, until the position is stored
    shutil.rmtree(STATE, ignore_errors=True)
    killed = start(
        "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
        "-e", f"inject=fdatasync:signal=SIGKILL:when={number}",
    )  # fmt: skip
    try:
        killed.wait(20)
    except subprocess.TimeoutExpired:
        stop(killed)
    if is_stored():
        break
else:
    give_up("there was no kill between two transactions")

(IN / "app.ndjson").unlink()
publish("next.ndjson", second)
daemon = start()
until(lambda: hosts()["web-02"] >= len(IDS), 20)
stop(daemon)
seen = hosts()
right = seen["web-02"] == len(IDS) and seen["web-01"] == len(IDS)
end(None if right else f"60 findings of each host; came out: {dict(seen)}")
