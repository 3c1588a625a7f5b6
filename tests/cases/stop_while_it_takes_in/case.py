"""SIGTERM is heeded while a long look at the directory lasts: 20,000 reports are there at the start."""

import subprocess
import time

from tests.cases.scene import IN, end, logged, report, start, until

for number in range(20_000):
    (IN / f"r{number:05d}.json").write_bytes(report(f"h{number}"))
daemon = start()
until(lambda: logged("service.started"), 40)
time.sleep(5)
daemon.terminate()
try:
    daemon.wait(30)
except subprocess.TimeoutExpired:
    daemon.kill()
    daemon.wait()
    end("30 s after SIGTERM it still reads; systemd kills it after a minute")
end(None)
