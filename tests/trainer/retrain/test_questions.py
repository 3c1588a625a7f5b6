"""What a candidate is asked: what its incumbent was asked, and was taught again."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.analysis.model import knows_unknown, trained_classes
from pipeline.analysis.unknown_prompt import QUESTION
from pipeline.engine.manifest import Manifest, read_manifest, write_manifest
from pipeline.errors import RegistryError
from pipeline.models.registry import Registry
from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Correction, Draft, Situation
from tests.trainer.retrain.fakes import Steps, preparing
from tests.trainer.retrain.reviewers import drafts, knowledge, reviewed, write_log
from tests.trainer.retrain.test_retraining import House
from trainer.data.dataset import HIDDEN_FOLD, Example, hidden_fold, read_unknown
from trainer.data.examples import questions_of, read_training
from trainer.retrain.data import Rehearsal, prepare
from trainer.retrain.gather import head_of, read_log
from trainer.settings import RetrainSettings


def correct(record: EnrichedFinding, situation: Situation) -> Draft:
    return Draft("correct", "worse than that", correction=Correction(level="high"))


class Taught(Steps):
    """Exports as the real command does: what the run was taught stands in the record."""

    def _export(self, output: Path, arguments: Any) -> None:
        super()._export(output, arguments)
        taught = list(read_unknown(output.parent / "data", "train"))
        write_record(
            output, {**read_manifest(output).record, **({"questions": questions_of(taught)} if taught else {})}
        )


def write_record(directory: Path, record: dict[str, Any]) -> None:
    known = read_manifest(directory)
    write_manifest(
        directory, name=known.name, kind=known.kind, base=known.base, prompt_version=known.prompt_version,
        context_length=known.context_length, parts=known.parts, record=record,
    )  # fmt: skip


def retrained(directory: Path, record: dict[str, Any]) -> tuple[Manifest, Rehearsal]:
    """Retrain a model whose record says this, and give the candidate's manifest and what was asked of the data."""
    state = directory / "state"
    write_log(state, drafts(reviewed(), correct))
    other = directory / "other"
    Steps()._export(other, ())
    write_record(other, record)
    registry = Registry(state / "models")
    entry = registry.add(other)
    registry.promote(entry.digest, at="2026-11-03T09:00:00Z", by="ben", reason="mine", keep=3)
    wanted: list[Rehearsal] = []
    plain = preparing()

    def prepare_also(*values: Any) -> None:
        wanted.append(values[-1])
        plain(*values)
        if wanted[-1].unknown:
            example = Example("prompt", "response", "unknown.kernel", "low", "s", "train")
            (values[0] / "unknown-train.jsonl").write_bytes(example.as_json() + b"\n")

    house = House(state, steps=Taught(), preparing=prepare_also)
    assert house.run().what == "promoted"
    manifest = house.registry.incumbent().manifest
    assert manifest is not None
    return manifest, wanted[0]


def test_what_the_incumbent_knows_beyond_the_classes_is_taught_again_and_asked(tmp_path: Path) -> None:
    record = {"classes": ["suid_sgid.unexpected"], "questions": [QUESTION], HIDDEN_FOLD: 2}
    manifest, rehearsal = retrained(tmp_path, record)
    assert rehearsal == Rehearsal(unknown=True, hide_fold=2)
    assert knows_unknown(manifest)
    assert trained_classes(manifest) == ["mounts.home_exec", "suid_sgid.unexpected"]


def test_what_the_incumbent_was_not_taught_the_candidate_is_not_asked(tmp_path: Path) -> None:
    manifest, rehearsal = retrained(tmp_path, {"classes": ["suid_sgid.unexpected"]})
    assert rehearsal == Rehearsal()
    assert not knows_unknown(manifest)


def test_the_candidate_of_one_that_is_asked_about_all_classes_is_too(tmp_path: Path) -> None:
    manifest, _ = retrained(tmp_path, {})
    assert trained_classes(manifest) is None


@pytest.mark.parametrize("name", ["classes", "questions"])
def test_a_record_that_makes_no_sense_is_refused_before_anything_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match=f"{name} in its manifest is no list of names"):
        retrained(tmp_path, {name: "unknown/2"})
    assert not (tmp_path / "state" / "retraining" / "run").exists()


def test_the_data_of_such_a_retraining_holds_examples_without_the_hidden_classes(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), correct))
    head = head_of(tmp_path)
    settings = RetrainSettings(replay=100, most_repeats=1)
    made = tmp_path / "data"
    counts = prepare(made, read_log(tmp_path, head.seq), head, knowledge(), settings, rehearsal=Rehearsal(True, 2))
    taught = read_training(made, "train")
    assert questions_of(taught) == [QUESTION]
    assert counts["unknown_replayed"] == len(list(read_unknown(made, "train"))) > 0
    assert hidden_fold(made) == 2
    assert json.loads((made / "facts.json").read_bytes())["unknown_replayed"] == counts["unknown_replayed"]
