"""Measure what the model adds to `analyze`, from process start to the last durable line; prints a table.

    python benchmarks/analyze_model.py [--model DIRECTORY] [--runs 5] [--beside CHECKOUT] [--states 0123] [--reports 2]

Four states: without the model; with its answers cached by a run before ("warm"); a first run with the answers that it
brings along; a first run without them, in which it is asked every question. All of them begin with a ledger in the
state directory, as where a daemon runs. They take turns, so that whatever else the machine does meets all of them;
"ms a key" is what a run takes longer than without the model, for each different question. Memory is that of the command
and of the model's process together. With `--beside`, each run is made with another checkout (and its `.venv`), too,
just before or just after; the last columns are medians of the ratios of two such runs, ours to theirs.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import DB02, ROOT, WEB01, Cost, agent, cost, machine, median

from daemon.ledger import Ledger

STATES = {
    "without the model": {"SYSSCAN_MODEL__ENABLED": "false"},
    "warm": {},
    "first run, shipped answers": {},
    "first run, no answers": {"SYSSCAN_MODEL__SHIPPED": "false"},
}
OFF, WARM, *_ = STATES


@dataclass
class Row:
    """The runs in one state, and what the last of them wrote."""

    costs: list[Cost] = field(default_factory=list)
    ratios: list[tuple[float, float]] = field(default_factory=list)
    lines: int = 0
    by_model: int = 0
    keys: int = 0

    def read(self, output: Path) -> None:
        """Count lines, those of the model, and different questions."""
        keys: set[str] = set()
        self.lines = self.by_model = 0
        with output.open("rb") as file:
            for line in file:
                analysis = json.loads(line).get("analysis")
                if analysis is not None:
                    self.lines += 1
                    self.by_model += analysis["origin"] == "model"
                    keys.add(analysis["key"])
        self.keys = len(keys)


def measure(report: Path, runs: int, states: dict[str, dict[str, str]], beside: Path | None) -> dict[str, Row]:
    """Run `analyze` in every state."""
    rows = {state: Row() for state in states}
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "out.ndjson"
        other = Path(place) / "other"
        run(report, Path(place) / "warm", output, {})
        if beside is not None:
            run(report, other / "warm", output, {}, beside)
        for number in range(runs):
            for state, setting in states.items():
                name = "warm" if state == WARM else f"{state}-{number}"
                theirs: Cost | None = None
                if beside is not None and number % 2:
                    theirs = run(report, other / name, output, setting, beside)
                rows[state].costs.append(ours := run(report, Path(place) / name, output, setting))
                if beside is not None:
                    theirs = theirs or run(report, other / name, other.with_suffix(".out"), setting, beside)
                    rows[state].ratios.append((ours.wall_s / theirs.wall_s, ours.cpu_s / theirs.cpu_s))
                if number == runs - 1:
                    rows[state].read(output)
    return rows


def run(report: Path, state: Path, output: Path, setting: dict[str, str], checkout: Path = ROOT) -> Cost:
    """Run `analyze` once, in a state directory that has a ledger."""
    if not state.exists():
        state.parent.mkdir(exist_ok=True)
        Ledger.open(state, clock=time.time).close()
    return cost(
        agent("analyze", str(report), "-o", str(output), "--state-dir", str(state), checkout=checkout),
        environment={**os.environ, **setting},
        checkout=checkout,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="model directory; default: the one that comes with the program")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout, with a `.venv`, to run in turn with this one")
    parser.add_argument("--states", default="0123", help="which of the states, by number")
    parser.add_argument("--reports", type=int, default=2, help="how many of the reports")
    arguments = parser.parse_args()
    if arguments.model is not None:
        os.environ["SYSSCAN_MODEL__PATH"] = str(arguments.model.resolve())
    print(f"{machine()}\nmedian of {arguments.runs} runs each\n")
    print(
        f"{'report, state':<30}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}{'keys':>6}{'ms a key':>10}{'by the model':>18}"
        f"{'  ratio of wall, cpu' if arguments.beside else ''}"
    )
    states = {
        state: setting for number, (state, setting) in enumerate(STATES.items()) if str(number) in arguments.states
    }
    for report in (DB02, WEB01)[: arguments.reports]:
        print(report.name)
        rows = measure(report, arguments.runs, states, arguments.beside and arguments.beside.resolve())
        off = median(rows[OFF].costs).wall_s if OFF in rows else math.nan
        for state, row in rows.items():
            one = median(row.costs)
            each = f"{(one.wall_s - off) / row.keys * 1000:.2f}" if state != OFF else ""
            ratio = "".join(f"{statistics.median(each):>8.3f}" for each in zip(*row.ratios, strict=True))
            figures = f"{one.wall_s:>8.2f}{one.cpu_s:>8.2f}{one.peak_mb:>9.0f}{row.keys:>6}{each:>10}"
            print(f"  {state:<28}{figures}{f'{row.by_model} of {row.lines}':>18}{ratio}", flush=True)


if __name__ == "__main__":
    main()
