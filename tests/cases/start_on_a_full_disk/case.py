"""A daemon that is started while the disk of its state is full delivers what it has, which makes room, and goes on."""

import os
import subprocess
import time

from tests.cases.scene import (
    OUTPUT,
    STATE,
    emitted,
    end,
    give_up,
    hosts,
    logged,
    publish,
    report,
    start,
    stop,
    until,
    until_or_ended,
)

if os.geteuid():
    give_up("needs root")
STATE.mkdir()
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", STATE]).returncode:
    give_up("needs to mount a tmpfs")
OUTPUT.mkdir()  # the output cannot be written
daemon = start()
until(lambda: logged("service.ready"), 40)
for number in range(8):
    publish(f"r{number}.json", report(f"h{number}", [f"/usr/local/bin/{number}-{one}" for one in range(800)]))
until(lambda: logged("ledger.failed"), 60)
time.sleep(3)
daemon.kill()
daemon.wait()
OUTPUT.rmdir()
codes = []
for _ in range(3):
    daemon = start()
    until_or_ended(daemon, lambda: len(hosts()) == 8, 60)
    codes.append(daemon.poll())
    if daemon.poll() is None:
        stop(daemon)
    if len(hosts()) == 8:
        break
came = len(emitted())
complete = len(hosts()) == 8
subprocess.run(["umount", "-l", STATE])
end(None if complete else f"three starts ended with {codes}; {came} findings of 6,400 came out")
