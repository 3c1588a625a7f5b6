"""Nothing that a host or a reviewer said reaches what is trained on, the model, or the report."""

import gzip
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.knowledge.schema import Knowledge
from pipeline.models.registry import EMBEDDED, Registry
from pipeline.output.case import case_of
from pipeline.output.records import EnrichedFinding
from pipeline.review.chain import Head
from pipeline.review.log import FILE_NAME, VerdictLog
from pipeline.review.verdict import Correction, Draft, Situation, Target, Verdict
from tests.trainer.retrain.fakes import Steps, measuring
from tests.trainer.retrain.reviewers import AT, knowledge, reviewed
from trainer.retrain.data import Progress, Rehearsal, _clean, compose, write_material
from trainer.retrain.gather import gather
from trainer.retrain.place import Place
from trainer.retrain.retained import Vocabulary
from trainer.retrain.retraining import Retraining, Surroundings
from trainer.settings import RetrainSettings

MARK = "tainted-by-somebody"
_OURS = frozenset({"features", "risk", "correlations", "artefact", "compliance", "attack", "remediation", "provenance"})


def test_no_string_of_a_host_or_a_reviewer_is_in_any_file_that_training_reads_or_writes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    given = list(_verdicts())
    with VerdictLog.open(state / FILE_NAME) as log:
        log.append(given, at=AT, author=f"{MARK} author")
    steps = Listening()
    said: list[Any] = []
    world = Surroundings(
        knowledge=knowledge(), registry=Registry(state / "models"), steps=steps,
        say=lambda event, **values: said.append((event, values)), deadline=time.monotonic() + 600,
        measuring=measuring(lambda digest: 0.9 if digest == "candidate" else 0.4), preparing=_prepare,
    )  # fmt: skip
    place = Place(state)
    with place.locked():
        outcome = Retraining(place, RetrainSettings(), world).run()
    assert outcome.what == "promoted"
    # The control: the log itself is full of it.
    assert _marked(state / FILE_NAME) or any(_marked(path) for path in state.glob(f"{FILE_NAME}*"))
    looked_at = [path for path in state.rglob("*") if path.is_file() and not path.name.startswith(FILE_NAME)]
    assert [path for path in looked_at if _marked(path)] == []
    assert steps.seen and [path for path, marked in steps.seen if marked] == []
    assert MARK not in f"{steps.arguments} {said} {outcome}"
    names = {path.name for path in looked_at}
    assert {"retraining.json", "retraining.md", "README.md", "manifest.json", "done.json", "incumbent.json"} <= names
    assert any(name.endswith(".lessons.jsonl") for name in names)
    lessons = next(place.reports.glob("*.lessons.jsonl")).read_bytes()
    assert lessons.count(b"\n") > 10
    assert Registry(state / "models").incumbent().digest != EMBEDDED


class Listening(Steps):
    """Looks, at each step, at every file that a step could read by then."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Path, bool]] = []
        self.arguments: list[Any] = []

    def run(self, arguments: Any, said: Path) -> None:
        self.arguments.append(list(arguments))
        self.seen += [(path, _marked(path)) for path in said.parent.rglob("*") if path.is_file()]
        super().run(arguments, said)


def _prepare(
    directory: Path, verdicts: list[Verdict], head: Head, known: Knowledge, settings: RetrainSettings,
    progress: Progress, rehearsal: Rehearsal,
) -> None:  # fmt: skip
    """Prepare as the product does, without the synthetic hosts, which take a minute and know of nobody."""
    directory.mkdir()
    found = gather(verdicts, head, Vocabulary(known, _clean(())), dict)
    write_material(directory, compose(found, (), {}, known, settings), {})


def _verdicts() -> Iterator[Draft]:
    """Give verdicts in which every string that is not of a closed list is marked."""
    for number, (record, situation, _) in enumerate(reviewed()):
        case: dict[str, Any] = {**case_of(_tainted(record), situation), MARK: MARK}
        case["said"] = {**case["said"], "key": MARK, "situation": MARK, "runtime": MARK, MARK: MARK}
        target = Target(f"{MARK}-host", None, situation)
        words = Correction(level="high", assessment=f"{MARK} words", impact=f"{MARK} impact")
        yield Draft("correct", f"{MARK} reason", target, words, owner=MARK, case=case)
        if number % 5 == 0:  # a log that somebody else wrote
            strange = Situation(situation.class_id, situation.status, {**situation.features, "role": MARK})
            yield Draft("correct", MARK, Target(MARK, None, strange), words, case={**case, "features": {"role": MARK}})
            unknown = Situation(f"unknown.{MARK}", "open")
            yield Draft("correct", MARK, Target(MARK, None, unknown), words, case={**case, "class": MARK})
            yield Draft("correct", MARK, Target(MARK, f"{MARK}-fingerprint"), words, case=case)
            yield Draft("correct", MARK, target, replace(words, controls=(MARK,), techniques=(MARK,)), case={})


def _tainted(record: EnrichedFinding) -> EnrichedFinding:
    """Mark every string of a line but those of closed lists, which `pipeline.output.case` says it takes."""
    changes: dict[str, Any] = {}
    for one in fields(record):
        value = getattr(record, one.name)
        if one.name in _OURS or one.name in ("class_", "class_basis", "class_candidates", "category", "status"):
            continue
        changes[one.name] = _marked_value(value)
    analysis = replace(record.analysis, assessment=MARK, impact=MARK, key=MARK, model=MARK)
    return replace(record, **{**changes, "analysis": analysis})


def _marked_value(value: Any) -> Any:
    if isinstance(value, str):
        return f"{MARK} {value}"
    if isinstance(value, dict):
        return {name: _marked_value(one) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _marked_value(getattr(value, one.name)) for one in fields(value)})
    return value


def _marked(path: Path) -> bool:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return MARK.encode() in data
