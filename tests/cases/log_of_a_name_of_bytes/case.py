"""A report whose name is not UTF-8 is read, and its name is logged."""

import os

from tests.cases.scene import IN, end, hosts, publish, report, start, stop, until

for number in range(6):
    (IN / os.fsdecode(b"r%d-\xff.json" % number)).write_bytes(report(f"h{number}"))
publish("zz.json", report("victim"))
daemon = start()
until(lambda: len(hosts()) == 7 or daemon.poll() is not None, 30)
code, seen = daemon.poll(), hosts()
stop(daemon)
end(None if code is None and len(seen) == 7 else f"exit code {code}, {len(seen)} of 7 reports came out")
