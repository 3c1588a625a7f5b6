"""What becomes of findings that the knowledge does not know: real ones with their classes hidden, and written ones.

    python benchmarks/hidden_knowledge.py [--folds 0,1,2,3,4] [--kinds tuned|held|sixty|eighty|hundred_twenty]
        [--without SCANNER] [--model DIRECTORY] [--misses]

Five folds each hide about a fifth of the classes that have topics, together with all that share a topic with them.
Columns: nothing (as before there was a search), retrieval, and the model if one is given. Every class counts once.
Scores with the middle 95 % of 2,000 draws of classes. The search was tuned on folds 0 to 2 and on the half `tuned` of
the forty findings, and its ranking learnt from findings that others wrote for it (`trainer/data/ranking.py`). The
sixty, the eighty and the hundred and twenty are by others again, who had seen the topics' titles alone; the last were
never read, and nothing was chosen by them.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

from common import SCANS, machine

from pipeline.analysis.model import ModelAnalyst, knows_unknown, trained_classes
from pipeline.engine.load import open_generator
from pipeline.engine.manifest import read_manifest
from pipeline.features import load_features
from pipeline.finding import ParsedReport
from pipeline.keys import digest
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.retrieval.retriever import Retriever
from pipeline.scorecard.hidden import FOLDS, MEASURES, Column, Gold, difference, folds
from pipeline.scorecard.hidden_answers import (
    EIGHTY,
    HUNDRED_TWENTY,
    SIXTY,
    MakeAnalyst,
    answer_folds,
    answer_kinds,
    golds,
    kinds,
)

_FILES = {"sixty": SIXTY, "eighty": EIGHTY, "hundred_twenty": HUNDRED_TWENTY}
LABELS = {
    "top1": "topic, first",
    "top3": "topic, among three",
    "controls": "controls, F1",
    "action": "action, same kind of thing",
    "level": "level, the same",
}


def main() -> None:
    """Run and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folds", default=",".join(map(str, range(FOLDS))))
    arguments.add_argument("--kinds", choices=("tuned", "held", *_FILES))
    arguments.add_argument("--without", help="leave the classes of a scanner out of the measure")
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--misses", action="store_true")
    given = arguments.parse_args()
    knowledge = load_knowledge(load_features)
    model = opener(given.model) if given.model is not None else None
    only = [int(number) for number in given.folds.split(",")]
    if given.model is not None:
        taught = [number for number in only if number != read_manifest(given.model).record.get("hidden_fold")]
        if taught:
            print(f"note: the model was trained on classes of the folds {', '.join(map(str, taught))}")
    gold = [one for one in golds(knowledge, reports()) if knowledge.classes[one.group].scanner != given.without]
    hidden = [name for number, part in enumerate(folds(knowledge)) if number in only for name in part]
    print(machine())
    measured = [one for one in gold if one.group in hidden]
    scanners = {knowledge.classes[one.group].scanner for one in measured}
    print(
        f"\nhidden classes, folds {given.folds}: {len({one.group for one in measured})} classes of {len(scanners)} "
        f"scanners, {len(measured)} findings"
    )
    show(answer_folds(knowledge, gold, only, model))
    chosen = written(given.kinds) if given.kinds is not None else kinds()
    ours, none = [one for one in chosen if one.topics], [one for one in chosen if not one.topics]
    print(f"\nkinds that no class describes, with a topic of ours: {len(ours)}")
    show(answer_kinds(knowledge, ours, model))
    print(f"\nkinds that no class describes, none of our topics: {len(none)} (right is to claim nothing)")
    show(answer_kinds(knowledge, none, model))
    if given.misses:
        misses(knowledge, chosen)
    speed(knowledge, [*measured, *chosen])


def reports() -> list[ParsedReport]:
    """Read the real reports that say what a finding is told by."""
    found: list[ParsedReport] = []
    for path in sorted(SCANS.iterdir()):
        if path.is_file() and path.name != "index.json":
            found += read_document(path.read_bytes(), Limits()).reports
    return found


def opener(directory: Path) -> MakeAnalyst:
    """Load a model that was trained on such questions."""
    manifest = read_manifest(directory)
    if not knows_unknown(manifest):
        raise SystemExit(f"{directory}: its record does not say that it was trained on unknown findings")
    generator, classes = open_generator(directory), trained_classes(manifest)

    def make(knowledge: Knowledge) -> ModelAnalyst:
        return ModelAnalyst(generator, knowledge, manifest.name, classes, knows_unknown=True)

    return make


def written(name: str) -> list[Gold]:
    """Give the findings of another author, or one half of the forty, divided by a hash."""
    if name in _FILES:
        return kinds(_FILES[name])
    ordered = sorted(kinds(), key=lambda one: digest("half", one.raw.id))
    middle = len(ordered) // 2
    return ordered[:middle] if name == "tuned" else ordered[middle:]


def show(columns: Mapping[str, Column]) -> None:
    """Print a table of measures by column."""
    print(f"{'':<28}" + "".join(f"{name:>24}" for name in columns))
    for measure in MEASURES:
        cells = []
        for column in columns.values():
            found = column.interval(measure)
            cells.append("" if found is None else f"{found.mean:.3f} ({found.low:.3f}-{found.high:.3f})")
        if any(cells):
            print(f"{LABELS[measure]:<28}" + "".join(f"{cell:>24}" for cell in cells))
    if "model" in columns:
        for measure in MEASURES:
            more = difference(columns["model"], columns["retrieval"], measure)
            if more is not None:
                print(f"model over retrieval, {measure}: {more.mean:+.3f} ({more.low:+.3f} to {more.high:+.3f})")


def misses(knowledge: Knowledge, chosen: list[Gold]) -> None:
    """Print what is claimed of findings of which it should not be, and what is missed."""
    retriever = Retriever(knowledge)
    for one in chosen:
        likely = retriever.likely(one.raw)
        said = [topic.topic for topic in likely.topics] if likely is not None else []
        if said[:1] != list(one.topics[:1]):
            print(f"{one.raw.title}: right is {', '.join(one.topics) or 'none'}, said {', '.join(said) or 'nothing'}")


def speed(knowledge: Knowledge, gold: list[Gold]) -> None:
    """Print how long a finding takes, and what the first one costs."""
    start = time.perf_counter()
    retriever = Retriever(knowledge)
    retriever.likely(gold[0].raw)
    first = time.perf_counter() - start
    taken = []
    for one in gold:
        start = time.perf_counter()
        retriever.likely(one.raw)
        taken.append(time.perf_counter() - start)
    taken.sort()
    print(
        f"\nfirst finding {first * 1e3:.0f} ms (the index is made); "
        f"then p50 {taken[len(taken) // 2] * 1e3:.2f} ms, p99 {taken[int(0.99 * len(taken))] * 1e3:.2f} ms"
    )


if __name__ == "__main__":
    main()
