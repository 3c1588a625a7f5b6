"""The model's text against the rules' text: pairs for a judge who does not know which is which, and their count.

    python benchmarks/blind_texts.py pairs DIRECTORY [--model DIR] [--number 60] [--seed 1]
    python benchmarks/blind_texts.py score DIRECTORY

`pairs` analyses real reports twice, by the model (asked everything: no shipped answers, and always its words) and by
the rules, and takes at most three findings of a class of which both say something else: half of them of classes that
the model never saw in training. It writes ``pairs.jsonl`` (what the scanner reported, and two texts A and B in an order
drawn by the seed) and ``key.json``. A
judge, who has not seen the key, writes ``verdicts.jsonl``: ``{"pair": 1, "right": "A"|"B"|"both"|"neither", "better":
"A"|"B"|"same"}``. The criteria: right (says nothing false of the finding, and nothing that the report does not
support), and better for an administrator (specific to this finding, says what to make of it, no padding). `score`
prints the table.
"""

import argparse
import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import ROOT, SCANS, agent

from pipeline.scorecard.holdouts import read_holdouts

_REPORTS = (
    "web01-ioc.json", "web01-fs-hygiene.json", "web01-weird-names.json", "web01-base-full.json.gz", "db02-full.json.gz",
    "db02-users.json", "web01-wk2-integrity-full.json", "web01-wk2-modules-anomalies.json", "web01-sysctl-weak.json",
    "web01-exec-watch.json", "web01-containers.json", "db02-compliance-fail.json", "web01-wk2-mounts-weak.json",
    "micro-selinux-permissive.json", "web01-wk2-rules.json",
)  # fmt: skip


def main() -> None:
    """Run."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=("pairs", "score"))
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--number", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    if given.what == "score":
        score(given.directory)
    else:
        write_pairs(given.directory, given.model, given.number, given.seed)


def write_pairs(directory: Path, model: Path | None, number: int, seed: int) -> None:
    """Write pairs and their key."""
    unseen = {case.class_id for case in read_holdouts().cases["class"]}
    chosen: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    for name in _REPORTS:
        report = SCANS / name
        if not report.exists():
            continue
        by_model, by_rules = analyse(report, model, enabled=True), analyse(report, model, enabled=False)
        for one, other in zip(by_model, by_rules, strict=True):
            is_other = one["analysis"]["assessment"] != other["analysis"]["assessment"]
            if one["analysis"]["origin"] == "model" and is_other:
                group = "class of the class holdout" if one["class"] in unseen else "other class"
                chosen.setdefault(f"{one['class']} {one['analysis']['assessment']}", (group, one, other))
    drawn = random.Random(seed)
    pool = sorted(chosen.values(), key=lambda entry: entry[1]["dedupe_key"])
    drawn.shuffle(pool)
    pool.sort(key=lambda entry: entry[0] != "class of the class holdout")
    half = sum(entry[0] == "class of the class holdout" for entry in pool[: number // 2])
    first, rest = pool[:half], [entry for entry in pool[half:] if entry[0] == "other class"]
    taken: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    classes: Counter[str] = Counter()
    for entry in first + rest:
        if classes[entry[1]["class"]] < 3 and len(taken) < number:
            classes[entry[1]["class"]] += 1
            taken.append(entry)
    drawn.shuffle(taken)
    key = {}
    with (directory / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for count, (group, one, other) in enumerate(taken, 1):
            swapped = drawn.random() < 0.5
            texts = {name: f"{doc['analysis']['assessment']} {doc['analysis']['impact']}"
                     for name, doc in zip("BA" if swapped else "AB", (one, other), strict=True)}  # fmt: skip
            shown = {
                "pair": count, "class": one["class"], "status": one["status"], "level": one["risk"]["level"],
                "finding": one["finding"], "features": one["features"], "artefact": one["artefact"], **texts,
            }  # fmt: skip
            file.write(json.dumps(shown, sort_keys=False) + "\n")
            key[str(count)] = {"model": "B" if swapped else "A", "group": group}
    (directory / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    print(f"{len(taken)} pairs in {directory / 'pairs.jsonl'}")


def score(directory: Path) -> None:
    """Count verdicts."""
    key = json.loads((directory / "key.json").read_text(encoding="utf-8"))
    rows: dict[str, Counter[str]] = {}
    for line in (directory / "verdicts.jsonl").read_text(encoding="utf-8").splitlines():
        verdict = json.loads(line)
        entry = key[str(verdict["pair"])]
        model = entry["model"]
        row = rows.setdefault(entry["group"], Counter())
        row["pairs"] += 1
        row["model right"] += verdict["right"] in (model, "both")
        row["rules right"] += verdict["right"] not in (model, "neither")
        row[
            "model better" if verdict["better"] == model else "same" if verdict["better"] == "same" else "rules better"
        ] += 1
    columns = ("pairs", "model right", "rules right", "model better", "same", "rules better")
    print(f"{'':<24}" + "".join(f"{name:>14}" for name in columns))
    for group, row in sorted(rows.items()):
        print(f"{group:<24}" + "".join(f"{row[name]:>14}" for name in columns))


def analyse(report: Path, model: Path | None, *, enabled: bool) -> list[dict[str, Any]]:
    """Analyse a report in a new process; gives the findings."""
    with TemporaryDirectory() as state:
        environment = {
            **os.environ,
            "SYSSCAN_STATE_DIR": f"{state}/state",
            "SYSSCAN_MODEL__ENABLED": str(enabled).lower(),
            "SYSSCAN_MODEL__SHIPPED": "false",
            "SYSSCAN_MODEL__TEXTS": "model",
            **({"SYSSCAN_MODEL__PATH": str(model.absolute())} if model else {}),
        }
        done = subprocess.run(agent("analyze", str(report)), cwd=ROOT, env=environment, capture_output=True, check=True)
    documents = map(json.loads, done.stdout.splitlines())
    return [document for document in documents if document["schema"] == "sysscan.enriched/1"]


if __name__ == "__main__":
    main()
