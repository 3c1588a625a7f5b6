"""An NDJSON report of which one line in the middle is another, of equal length, is another scan, however it comes."""

import time

from tests.cases.scene import IDS, IN, emitted, end, hosts, logged, publish, start, stop, stream, until


def evil(number: int) -> str:
    return f"/usr/local/bin/evil-{number:03d}"


def came(number: int) -> bool:
    return any(line["finding"]["id"] == evil(number) for line in emitted())


daemon = start()
until(lambda: logged("service.ready"), 40)
publish("scan.ndjson", stream("web01", IDS))
until(lambda: hosts()["web01"] >= len(IDS), 30)
missing = []
for number, how in enumerate(("in place", "by rename", "under another name")):
    time.sleep(2.5)  # the stream before it is closed
    changed = stream("web01", [*IDS[:30], evil(number), *IDS[31:]])
    if how == "in place":
        with (IN / "scan.ndjson").open("r+b") as file:
            file.truncate(0)
            file.write(changed)
    elif how == "by rename":
        publish("scan.ndjson", changed)
    else:
        (IN / "scan.ndjson").unlink()
        time.sleep(2.5)
        publish("tomorrow.ndjson", changed)
    if not until(lambda number=number: came(number), 15):  # type: ignore[misc]
        missing.append(how)
stop(daemon)
end(f"nothing came out of a scan that differs in one line, written {', '.join(missing)}" if missing else None)
