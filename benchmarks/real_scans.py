"""Who analyses the findings of real reports, and whether the same comes out again.

    python benchmarks/real_scans.py [--model DIRECTORY] [REPORT...]

Each report goes through `analyze` in processes of their own with an empty cache: with the answers that the model
brings along, and twice without them. Prints findings, questions (distinct analysis keys), who answered, why the rules
did where they did, and how many lines differ between the two runs that ask the model everything.
"""

import argparse
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import ROOT, SCANS, agent, machine


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("reports", nargs="*", type=Path)
    arguments.add_argument("--model", type=Path)
    given = arguments.parse_args()
    reports = given.reports or [
        path for path in sorted(SCANS.iterdir()) if path.is_file() and path.name != "index.json"
    ]
    print(f"{machine()}\n\n{'report':<44}{'findings':>9}{'keys':>6}{'shipped':>9}{'fresh':>7}{'rules':>7}{'differ':>8}")
    total: Counter[str] = Counter()
    reasons: Counter[str | None] = Counter()
    for report in reports:
        shipped = lines(run(report, given.model, shipped=True))
        fresh, again = (run(report, given.model, shipped=False) for _ in range(2))
        row = Counter(
            findings=len(shipped),
            keys=len({line["analysis"]["key"] for line in shipped}),
            shipped=sum(line["analysis"]["origin"] == "model" for line in shipped),
            fresh=sum(line["analysis"]["origin"] == "model" for line in lines(fresh)),
            rules=sum(line["analysis"]["origin"] == "rules" for line in shipped),
            differ=sum(one != other for one, other in zip(fresh, again, strict=True)),
        )
        reasons.update(line["analysis"]["fallback_reason"] for line in shipped)
        total.update(row)
        show(report.name, row)
    show("all", total)
    share = total["shipped"] / max(1, total["findings"])
    by_rules = dict(reasons - Counter[str | None]({None: total["shipped"]}))
    print(f"\nanswered by the model: {share:.2%}; by the rules: {by_rules}")


def show(name: str, row: Counter[str]) -> None:
    """Print a row."""
    print(
        f"{name[:43]:<44}{row['findings']:>9,}{row['keys']:>6,}{row['shipped']:>9,}{row['fresh']:>7,}"
        f"{row['rules']:>7,}{row['differ']:>8,}"
    )


def run(report: Path, model: Path | None, *, shipped: bool) -> list[bytes]:
    """Analyse a report in a new process, without a cache of earlier runs; gives the lines."""
    with TemporaryDirectory() as state:
        environment = {
            **os.environ,
            "SYSSCAN_STATE_DIR": f"{state}/state",
            "SYSSCAN_MODEL__SHIPPED": str(shipped).lower(),
            **({"SYSSCAN_MODEL__PATH": str(model.absolute())} if model else {}),
        }
        done = subprocess.run(
            agent("analyze", str(report.absolute())), cwd=ROOT, env=environment, capture_output=True, check=False
        )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode())
    return done.stdout.splitlines()


def lines(output: list[bytes]) -> list[dict[str, Any]]:
    """Give the findings among the lines."""
    return list(_findings(output))


def _findings(output: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in output:
        document = json.loads(line)
        if document["schema"] == "sysscan.enriched/1":
            yield document


if __name__ == "__main__":
    main()
