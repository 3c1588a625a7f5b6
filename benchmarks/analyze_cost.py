"""Measure `analyze` from process start to the last durable line; prints a table.

    python benchmarks/analyze_cost.py [runs]

"cold" is the first run, with no state directory; "warm" repeats it (`analyze` keeps nothing but a model's answers). The
skeleton imports what the daemon needs, runs an empty graph over the batches and writes as many bytes, durably: it
is what the libraries alone cost (without garbage collection, as ours while it starts).
"""

import sys
import tempfile
from pathlib import Path

from common import DB02, SCANS, WEB01, agent, cost, machine, median

SKELETON = """
import gc, os, sys
gc.disable()
import pipeline
from pathlib import Path
from langgraph.graph import END, START, StateGraph
import orjson, pydantic, structlog, typer, sqlite3, rich.console
graph = StateGraph(dict)
names = ["a", "b", "c", "d", "e", "f", "g", "h"]
for name in names:
    graph.add_node(name, lambda state: {})
for left, right in zip([START, *names], [*names, END]):
    graph.add_edge(left, right)
run = graph.compile()
for _ in range(13):
    run.invoke({"n": 1})
with open(sys.argv[1], "wb") as file:
    file.write(bytes(int(sys.argv[2])))
    os.fsync(file.fileno())
"""


def main(runs: int) -> None:
    """Run and print."""
    print(f"{machine()}\nmedian of {runs} runs each\n")
    print(f"{'input':<26}{'findings':>9}  {'run':<9}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}{'output MB':>11}")
    for source, findings in ((DB02, 3176), (WEB01, 2720), (SCANS / "web01-ioc.json", 97)):
        with tempfile.TemporaryDirectory() as place:
            output = Path(place) / "out.ndjson"
            command = agent("analyze", str(source), "-o", str(output), "--state-dir", f"{place}/state")
            cold = cost(command)
            warm = median([cost(command) for _ in range(runs)])
            size = output.stat().st_size
            skeleton = median([cost([sys.executable, "-c", SKELETON, str(output), str(size)]) for _ in range(runs)])
        for name, one in (("cold", cold), ("warm", warm), ("skeleton", skeleton)):
            print(
                f"{source.name:<26}{findings:>9}  {name:<9}{one.wall_s:>8.2f}{one.cpu_s:>8.2f}{one.peak_mb:>9.0f}"
                f"{size / 1e6:>11.1f}"
            )
        own = (warm.wall_s - skeleton.wall_s) / findings * 1e6
        print(f"{'':<26}{'':>9}  of our own: {own:.0f} µs a finding, {warm.wall_s / skeleton.wall_s:.2f} x skeleton\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
