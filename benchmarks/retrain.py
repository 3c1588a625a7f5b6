"""Whether a model learns what reviewers decide, and does not learn what it should not.

    .venv-trainer/bin/python benchmarks/retrain.py [--only NAME] [--seed N] [-- OPTION OF retrain ...]

A simulated reviewer with a policy of its own (eight rules over features, three of which contradict the shipped answers)
decides on 60 open situations of the real reports; 200 others are what its policy is compared with before and after.
The same reviewer is then wrong in one verdict of ten, calls everything a false positive, or works beside another one
who contradicts it. Prints agreement before and after, the frozen scores, the decision with its reason, minutes, and
peak memory.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import ROOT, SCANS, descendants, machine, resident_mb

sys.path.insert(0, str(ROOT))

from pipeline.analysis.case import CaseMaker
from pipeline.analysis.question import Answer, Question
from pipeline.errors import ReportError
from pipeline.features import load_features
from pipeline.finding import LEVELS
from pipeline.graph.resources import Resources
from pipeline.intel.match import load_intel
from pipeline.keys import digest
from pipeline.knowledge.load import load_knowledge
from pipeline.models.registry import Registry
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Correction, Draft, Situation, Target
from pipeline.rules.policy import Policy
from pipeline.scorecard.evaluate import respond_all, respond_with
from pipeline.scorecard.model import find_target
from trainer.data.cases import questions

REVIEWED, HELD_OUT = 60, 200
AT = "2026-11-03T08:00:00Z"
PCI = "pci_dss_4_0:"


@dataclass(frozen=True)
class Right:
    """What a reviewer holds for right, apart from words."""

    level: str
    action: str | None
    controls: frozenset[str]
    techniques: frozenset[str]


class Peak(threading.Thread):
    """Looks twice a second at what a process and its descendants hold together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.peak_mb = 0.0

    def run(self) -> None:
        """Look until `end`."""
        while not self._over.wait(0.5):
            held = sum(resident_mb(pid)[0] for pid in (self._pid, *descendants(self._pid)))
            self.peak_mb = max(self.peak_mb, held)

    def end(self) -> float:
        """Stop, and give the most."""
        self._over.set()
        self.join()
        return self.peak_mb


Rule = tuple[str, Callable[[Question], bool], Callable[[Question, Right], Right]]


def _role(*roles: str) -> Callable[[Question], bool]:
    return lambda asked: asked.class_id.startswith("systemd_units.") and asked.features.get("role") in roles


def _hardened(*roles: str) -> Callable[[Question], bool]:
    return lambda asked: _role(*roles)(asked) and asked.features.get("advice") == "set"


def _at_least(level: str) -> Callable[[Question, Right], Right]:
    def raised(asked: Question, shown: Right) -> Right:
        return replace(shown, level=max(shown.level, level, key=lambda one: LEVELS.index(one)))

    return raised


def _of(*scanners: str) -> Callable[[Question], bool]:
    return lambda asked: asked.class_id.partition(".")[0] in scanners


# The first three contradict what is shipped; the others agree with it. The first that holds speaks.
POLICY: tuple[Rule, ...] = (
    ("what runs before anybody looks is medium", _role("boot", "unlisted", "job_runner"), _at_least("medium")),
    (
        "no technique is known to use a weak unit that logs or serves",
        _hardened("logging", "server"),
        lambda asked, shown: replace(shown, techniques=frozenset()),
    ),
    (
        "the card data environment ends before core and network units",
        _hardened("core", "network"),
        lambda asked, shown: replace(
            shown, controls=frozenset(one for one in shown.controls if not one.startswith(PCI))
        ),
    ),
    ("other units as shipped", _of("systemd_units"), lambda asked, shown: shown),
    ("kernel as shipped", _of("kernel_hardening", "kernel_params", "modules"), lambda asked, shown: shown),
    ("files as shipped", _of("suid_sgid", "world_writable", "mounts", "integrity"), lambda asked, shown: shown),
    ("processes as shipped", _of("ioc", "processes", "network", "yara"), lambda asked, shown: shown),
    ("all else as shipped", lambda asked: True, lambda asked, shown: shown),
)


@dataclass(frozen=True)
class Seen:
    """An open situation of the real reports, what the shipped model says of it, and what the reviewer wants."""

    question: Question
    shown: Right
    right: Right


def main() -> None:
    """Run the scenarios and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", choices=list(SCENARIOS), action="append")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--keep", type=Path, help="where the state directories stay")
    arguments.add_argument("options", nargs="*", help="for `sysscan-train retrain`")
    given = arguments.parse_args()
    print(machine(), flush=True)
    seen = see(given.seed)
    reviewed, apart = seen[:REVIEWED], seen[REVIEWED : REVIEWED + HELD_OUT]
    contradicted = sum(one.right != one.shown for one in apart)
    print(f"{len(seen)} open situations; of the {len(apart)} held out the policy contradicts {contradicted}\n")
    for name in given.only or SCENARIOS:
        with TemporaryDirectory(prefix="retrain-") as temporary:
            state = Path(given.keep or temporary) / f"state-{name}"
            state.mkdir(parents=True)
            SCENARIOS[name](state, reviewed, given.seed)
            show(name, state, apart, given.options)


def see(seed: int) -> list[Seen]:
    """Have the shipped model answer each open situation of the real reports once, in an order that the seed gives."""
    knowledge = load_knowledge(load_features)
    resources = Resources(knowledge, Policy(), load_intel([]), version="benchmark")
    found: dict[str, Question] = {}
    for path in sorted(SCANS.iterdir()):
        if path.is_file() and path.name != "index.json":
            try:
                asked = [one.question for one in questions(path.read_bytes(), resources)]
            except ReportError:
                continue
            for one in asked:
                if one.status == "open" and not one.class_id.startswith("unknown."):
                    found.setdefault(one.situation, one)
    ordered = sorted(found.values(), key=lambda one: digest("benchmark", seed, one.situation))
    said = ask(Registry(Path("/nonexistent")).incumbent().directory, ordered)
    seen = []
    for question, answer in zip(ordered, said, strict=True):
        if answer is not None:
            shown = right(answer)
            seen.append(Seen(question, shown, decide(question, shown)))
    return seen


def ask(directory: Path, asked: Sequence[Question]) -> list[Answer | None]:
    """Have a model answer."""
    maker = CaseMaker(load_knowledge(load_features))
    generator = find_target(directory).open()
    try:
        said = respond_all(respond_with(generator), [maker.case(one) for one in asked])
    finally:
        generator.close()
    return [one.answer if one.wrong is None else None for one in said]


def right(answer: Answer) -> Right:
    """Take the words away."""
    return Right(answer.level, answer.remediation, frozenset(answer.controls), frozenset(answer.techniques))


def decide(question: Question, shown: Right) -> Right:
    """Apply the policy."""
    return next(change(question, shown) for _, holds, change in POLICY if holds(question))


# Scenarios: each writes a log of verdicts


def faithful(state: Path, reviewed: Sequence[Seen], seed: int) -> None:
    """The reviewer is right throughout."""
    write(state, "reviewer", (verdict(one) for one in reviewed))


def wrong_in_ten(state: Path, reviewed: Sequence[Seen], seed: int) -> None:
    """One verdict of ten says another level than the policy, or drops what was right."""
    drafts = []
    for number, one in enumerate(reviewed):
        if number % 10 == 7:
            level = "high" if one.right.level != "high" else "critical"
            one = replace(one, right=replace(one.right, level=level, techniques=frozenset()))
        drafts.append(verdict(one))
    write(state, "reviewer", drafts)


def all_false(state: Path, reviewed: Sequence[Seen], seed: int) -> None:
    """Everything is a false positive."""
    write(state, "reviewer", (replace(verdict(one), kind="false_positive", correction=None) for one in reviewed))


def contradicting(state: Path, reviewed: Sequence[Seen], seed: int) -> None:
    """A second reviewer overrules the first in every other situation, by a whim of its own."""
    write(state, "reviewer", (verdict(one) for one in reviewed))
    levels = [LEVELS[int(digest("whim", seed, one.question.situation), 16) % len(LEVELS)] for one in reviewed]
    whims = [
        replace(verdict(one), kind="correct", correction=Correction(level=level))
        for one, level in list(zip(reviewed, levels, strict=True))[::2]
    ]
    write(state, "another", whims)


SCENARIOS: dict[str, Callable[[Path, Sequence[Seen], int], None]] = {
    "faithful": faithful, "wrong_in_ten": wrong_in_ten, "all_false": all_false, "contradicting": contradicting,
}  # fmt: skip


def verdict(one: Seen) -> Draft:
    """Write what the reviewer decides, with the case as the review keeps it."""
    asked, shown, wanted = one.question, one.shown, one.right
    situation = Situation(asked.class_id, asked.status, asked.features, asked.candidates)
    case = {
        "class": asked.class_id, "candidates": list(asked.candidates), "status": asked.status, "floor": asked.floor,
        "features": dict(asked.features), "context": list(asked.context), "slots": list(asked.slots),
        "artefact": None if asked.artefact is None else list(asked.artefact), "controls": list(asked.controls),
        "techniques": list(asked.techniques), "evidence": asked.evidence, "actions": list(asked.actions),
        "barred": list(asked.barred),
        "said": {
            "level": shown.level, "action": shown.action, "controls": sorted(shown.controls),
            "techniques": sorted(shown.techniques),
        },
    }  # fmt: skip
    target = Target("benchmark", None, situation)
    if wanted == shown:
        return Draft("approve", "as it should be", target, case=case)
    correction = Correction(
        level=wanted.level if wanted.level != shown.level else None,  # type: ignore[arg-type]
        controls=tuple(sorted(wanted.controls)) if wanted.controls != shown.controls else None,
        techniques=tuple(sorted(wanted.techniques)) if wanted.techniques != shown.techniques else None,
    )
    return Draft("correct", "our policy", target, correction, case=case)


def write(state: Path, author: str, drafts: Sequence[Draft] | Iterator[Draft]) -> None:
    """Append to the log."""
    with VerdictLog.open(state / FILE_NAME) as log:
        log.append(list(drafts), at=AT, author=author)


def show(name: str, state: Path, apart: Sequence[Seen], options: Sequence[str]) -> None:
    """Retrain, and print a row."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "trainer", "retrain", "--state-dir", str(state), "--no-idle", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    peak.start()
    said = [json.loads(line) for line in process.communicate()[0].splitlines()]
    most = peak.end()
    minutes = (time.monotonic() - begin) / 60
    ended = said[-1]
    asked = [one.question for one in apart]
    wanted = [one.right for one in apart]
    after = [
        None if one is None else right(one) for one in ask(Registry(state / "models").incumbent().directory, asked)
    ]
    before = sum(one.right == one.shown for one in apart) / len(apart)
    now = sum(one == other for one, other in zip(after, wanted, strict=True)) / len(apart)
    print(f"{name}: {ended.get('outcome')}: {ended.get('reason')}")
    print(f"  agreement with the reviewer on {len(apart)} situations: {before:.1%} -> {now:.1%}")
    print(f"  {minutes:.1f} minutes, {most:,.0f} MB at most")
    stages = {one["stage"]: one["seconds"] for one in said if one["event"] == "retraining.stage_done"}
    print(f"  seconds: {stages}")
    if "report" in ended:
        scores(json.loads(Path(ended["report"]).with_suffix(".json").read_bytes()))
    sys.stdout.flush()


def scores(report: dict[str, Any]) -> None:
    """Print what the report says beside the decision."""
    agreement = report["agreement"]
    counts = report["verdicts"]
    print(
        f"  trained on {counts['trained']} ({counts['trained_corrections']} corrections), held out "
        f"{agreement['held_out']}: {agreement['incumbent']:.1%} -> {agreement['candidate']:.1%}, contradicted "
        f"{counts['contradicted']}"
    )
    print(f"  contradicted frozen cases: {counts['decided_otherwise']} of {counts['frozen']}; without them")
    for holdout, before in report["incumbent"]["compared"].items():
        after = report["candidate"]["compared"][holdout]
        parts = [
            f"{label} {before_value:.3f} -> {after_value:.3f}"
            for label, before_value, after_value in (
                ("F1", before["selection"]["f1"], after["selection"]["f1"]),
                ("techniques", before["techniques"]["f1"], after["techniques"]["f1"]),
                ("kappa", before["level_kappa"], after["level_kappa"]),
                ("level", before["level"], after["level"]),
                ("action", before["action"], after["action"]),
                ("grounded", before["grounded"], after["grounded"]),
            )
        ]
        print(f"  {holdout}: {', '.join(parts)}")
    if report["falls"]:
        print(f"  fell: {report['falls']}")


if __name__ == "__main__":
    main()
