"""One scan that is larger than the memory does not end the service for good."""

import contextlib
from pathlib import Path

from tests.cases.scene import IN, end, hosts, publish, report, start, stop, stream, until_or_ended

LIMIT = 1 << 30  # as MemoryMax of the unit; address space is the nearest that needs no cgroup
GROUP = Path("/sys/fs/cgroup/memory/sysscan-case")
with (IN / "big.ndjson").open("wb") as file:
    file.write(stream("huge", [f"/tmp/{number}/" + "x" * 1_000_000 for number in range(400)]))
before = ["sh", "-c", 'ulimit -v 1300000; exec "$@"', "sh"]
with contextlib.suppress(OSError):
    GROUP.mkdir(parents=True, exist_ok=True)
    (GROUP / "memory.limit_in_bytes").write_text(str(LIMIT))
    before = ["sh", "-c", f'echo $$ > {GROUP}/cgroup.procs; exec "$@"', "sh"]


codes = []
for number in range(3):
    daemon = start(*before)
    until_or_ended(daemon, lambda: hosts()["victim"], 30 if number else 90)
    codes.append(daemon.poll())
    if daemon.poll() is None:
        stop(daemon, 60)
    if hosts()["victim"]:
        break
    if not number:
        (IN / "big.ndjson").unlink()
        publish("small.json", report("victim"))
with contextlib.suppress(OSError):
    GROUP.rmdir()
came = hosts()["victim"]
end(None if came else f"with 1 GiB it ended with {codes} and reports of other hosts never came out")
