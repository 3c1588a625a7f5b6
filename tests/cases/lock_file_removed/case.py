"""Whatever happens to the lock file, one state directory has one daemon, and nothing comes out twice."""

import time
from collections import Counter

from tests.cases.scene import IDS, STATE, emitted, end, hosts, logged, publish, report, start, stop, until

one = start()
until(lambda: logged("service.ready"), 40)
(STATE / "lock").unlink()
two = start()
until(lambda: logged("service.ready", 2) or two.poll() is not None, 40)
until(lambda: one.poll() is not None or two.poll() is not None, 3)
both = one.poll() is None and two.poll() is None
for number in range(30):
    publish(f"r{number}.json", report(f"h{number}", IDS))
    time.sleep(0.02)
until(lambda: len(hosts()) == 30, 15)
time.sleep(2)
keys = Counter(line["dedupe_key"] for line in emitted())
twice = sum(count - 1 for count in keys.values())
stop(one)
stop(two)
end(f"two daemons run; {twice} of {len(keys)} findings came out twice" if both or twice else None)
