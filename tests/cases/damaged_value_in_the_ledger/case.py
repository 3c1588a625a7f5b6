"""A damaged value in the ledger is refused in one line, or costs its scan alone: no traceback at each start."""

import contextlib
import sqlite3
import time

from tests.cases.scene import LOG, STATE, end, give_up, hosts, publish, report, start, stop, until

CLOSED = "SELECT count(*) FROM scans WHERE state = 'closed'"

publish("a.json", report("h0", [f"/usr/local/bin/{one}" for one in range(4_000)]))
daemon = start()
while daemon.poll() is None:  # until the scan is in the ledger, and not yet done
    time.sleep(0.02)
    with contextlib.suppress(sqlite3.Error):
        ledger = sqlite3.connect(f"file:{STATE}/ledger.db?mode=ro", uri=True)
        if ledger.execute(CLOSED).fetchone()[0]:
            break
daemon.kill()
daemon.wait()
ledger = sqlite3.connect(STATE / "ledger.db")
if not ledger.execute(CLOSED).fetchone()[0]:
    give_up("the scan was done before the process was killed")
ledger.execute("UPDATE scans SET header = x'7b' WHERE state = 'closed'")
ledger.commit()
ledger.close()
publish("b.json", report("victim"))
daemon = start()
until(lambda: daemon.poll() is not None or hosts()["victim"], 25)
code, log = daemon.poll(), LOG.read_text()
stop(daemon)
end(
    f"exit code {code}, a traceback instead of a line that says what to do" if "Traceback" in log or code == 1 else None
)
