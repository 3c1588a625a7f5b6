"""What a model changes in the findings of real reports, beside the rules.

    python benchmarks/model_effect.py [--model DIRECTORY] [--every-answer] [REPORT...]

Each report goes through `analyze` twice, with the model and without it, each in a process of its own with an empty
cache. Prints how many findings differ, and in what; and for each difference an example. With ``--every-answer`` the
model is asked everything, and the answers that it brings along are left aside.
"""

import argparse
import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import ROOT, SCANS, agent, machine

WHAT = ("class", "status", "level", "score", "first action", "controls", "techniques", "text")


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("reports", nargs="*", type=Path)
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--every-answer", action="store_true")
    given = arguments.parse_args()
    reports = given.reports or [
        path for path in sorted(SCANS.iterdir()) if path.is_file() and path.name != "index.json"
    ]
    differ: Counter[str] = Counter()
    by_model = total = 0
    examples: dict[str, str] = {}
    for report in reports:
        without = findings(report, None, enabled=False, shipped=True)
        with_model = findings(report, given.model, enabled=True, shipped=not given.every_answer)
        for plain, told in zip(without, with_model, strict=True):
            total += 1
            by_model += told["analysis"]["origin"] == "model"
            before, after = said(plain), said(told)
            for name in WHAT:
                if before[name] != after[name]:
                    differ[name] += 1
                    shown = f"{report.name}: {told['class']}: {before[name]} → {after[name]}"
                    examples.setdefault(name, shown[:400])
    print(f"{machine()}\n\n{total:,} findings of {len(reports)} reports, {by_model:,} of them answered by the model")
    for name in WHAT:
        print(f"  {name:<14}{differ[name]:>6,} differ" + (f"   {examples[name]}" if name in examples else ""))


def said(line: dict[str, Any]) -> dict[str, object]:
    """Give what a line says, by the names of `WHAT`; lists as sets, since their order says nothing."""
    analysis = line["analysis"]
    return {
        "class": line["class"],
        "status": line["status"],
        "level": line["risk"]["level"],
        "score": line["risk"]["score"],
        "first action": analysis["action"],
        "controls": sorted(f"{one['framework']}:{one['control']}" for one in analysis["controls"]),
        "techniques": sorted(analysis["techniques"]),
        "text": (analysis["assessment"], analysis["impact"]),
    }


def findings(report: Path, model: Path | None, *, enabled: bool, shipped: bool) -> list[dict[str, Any]]:
    """Analyse a report in a new process, without a cache of earlier runs; gives the findings."""
    with TemporaryDirectory() as state:
        environment = {
            **os.environ,
            "SYSSCAN_STATE_DIR": f"{state}/state",
            "SYSSCAN_MODEL__ENABLED": str(enabled).lower(),
            "SYSSCAN_MODEL__SHIPPED": str(shipped).lower(),
            **({"SYSSCAN_MODEL__PATH": str(model.absolute())} if model else {}),
        }
        done = subprocess.run(
            agent("analyze", str(report.absolute())), cwd=ROOT, env=environment, capture_output=True, check=False
        )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr.decode())
    documents = map(json.loads, done.stdout.splitlines())
    return [document for document in documents if document["schema"] == "sysscan.enriched/1"]


if __name__ == "__main__":
    main()
