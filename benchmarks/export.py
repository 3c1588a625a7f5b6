"""What an export costs: processor time and memory in each form, for one full scan and for many findings.

    python benchmarks/export.py [--findings 100000] [--forms sarif,csv]

First `analyze --format` on a report of db02, after a run that keeps the model's answers. Then `export`: the lines are
those of that scan, over and over, each with a key and a fingerprint of its own, its issues, and one scan record that
counts them; they go through the command as saved lines do. Beside the time of the clock, which means little on a busy
machine, stand the processor's time and the most memory that the process held. A tenth of the findings goes through
first: memory that does not grow is the same for both.
"""

import argparse
import os
import sys
from dataclasses import replace
from itertools import cycle
from multiprocessing import Process
from pathlib import Path
from subprocess import DEVNULL, run
from tempfile import TemporaryDirectory
from typing import get_args

from common import DB02, agent, cost, machine

from daemon.cli.options import Form
from pipeline.keys import digest
from pipeline.output.read import read_finding, read_scan_line
from pipeline.output.write import write

FORMS: tuple[Form, ...] = get_args(Form)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--findings", type=int, default=100_000)
    arguments.add_argument("--forms", default=",".join(FORMS))
    given = arguments.parse_args()
    print(machine(), f"load {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as directory:
        few, many = Path(directory) / "few.ndjson", Path(directory) / "many.ndjson"
        source = Path(directory) / "source.ndjson"
        run(agent("analyze", str(DB02), "--output", str(source)), check=True, stderr=DEVNULL)
        print("db02-full, from the report: form, processor, clock, most memory, size")
        for form in given.forms.split(","):
            output = Path(directory) / "output"
            whole = cost(agent("analyze", str(DB02), "--format", form, "--output", str(output)))
            print(
                f"{form:9} {whole.cpu_s:7.2f} s {whole.wall_s:8.2f} s {whole.peak_mb:9.0f} MB"
                f" {output.stat().st_size / 1e6:9.1f} MB"
            )
            sys.stdout.flush()
        for path, count in ((few, given.findings // 10), (many, given.findings)):
            # In a process of its own: what this one holds would count as its children's.
            filling = Process(target=fill, args=(source, path, count))
            filling.start()
            filling.join()
        print(f"{given.findings:,} findings, {many.stat().st_size / 1e6:,.0f} MB of lines")
        print("form      processor   clock    most memory   with a tenth   size")
        for form in given.forms.split(","):
            output = Path(directory) / "output"
            small = cost(agent("export", str(few), "--format", form, "--output", str(output)))
            large = cost(agent("export", str(many), "--format", form, "--output", str(output)))
            print(
                f"{form:9} {large.cpu_s:7.1f} s {large.wall_s:8.1f} s {large.peak_mb:9.0f} MB"
                f" {small.peak_mb:9.0f} MB {output.stat().st_size / 1e6:9,.0f} MB"
            )
            sys.stdout.flush()


def fill(source: Path, path: Path, count: int) -> None:
    """Write so many findings, and the record of their scan."""
    lines = source.read_bytes().splitlines()
    record = read_scan_line(lines[-1])
    found = [read_finding(line) for line in lines if b'"schema":"sysscan.enriched/1"' in line]
    with path.open("wb") as file:
        for number, finding in zip(range(count), cycle(found), strict=False):
            name = digest("benchmark", number)
            file.write(write(replace(finding, dedupe_key=name, fingerprint=name)) + b"\n")
        file.writelines(line + b"\n" for line in lines[len(found) : -1])
        file.write(write(replace(record, counts=replace(record.counts, lines=count))) + b"\n")


if __name__ == "__main__":
    main()
