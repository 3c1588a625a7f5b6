"""When one part of the daemon fails, the process ends at once; it never stays and does nothing.

What made a part fail was a name of bytes in the log. Where that no longer fails there is nothing to see; the kind is
tested in tests/daemon/test_shard.py.
"""

import os

from tests.cases.scene import IN, LOG, end, give_up, hosts, logged, report, start, stop, until_or_ended

for number in range(12):
    (IN / os.fsdecode(b"r%d-\xff.json" % number)).write_bytes(report(f"h{number}"))
hung = failed = 0
for _ in range(10):
    LOG.write_bytes(b"")
    daemon = start()
    until_or_ended(daemon, lambda: len(hosts()) == 12, 14)
    if daemon.poll() is not None:
        failed += 1
        continue
    complete = len(hosts()) == 12
    stop(daemon)
    if complete:
        break
    hung += logged("TypeError")
if not hung and not failed:
    give_up("no part fails of a name of bytes any more")
end(f"{hung} of {hung + failed} starts in which a part failed left a process that does nothing" if hung else None)
