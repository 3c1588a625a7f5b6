"""A whole retraining without torch: what is decided, what a kill leaves, and that there is one incumbent throughout."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import AgentError, ConfigError
from pipeline.models.registry import EMBEDDED, Registry
from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Correction, Draft, Situation
from tests.trainer.retrain.fakes import Killed, Steps, measuring, preparing
from tests.trainer.retrain.reviewers import drafts, knowledge, reviewed, write_log
from trainer.retrain.place import Place
from trainer.retrain.retraining import Outcome, Retraining, Surroundings, outlook
from trainer.settings import RetrainSettings
from trainer.steps import OutOfTime, StepFailed

SETTINGS = RetrainSettings(least_verdicts=20, cases=10)


def correct(record: EnrichedFinding, situation: Situation) -> Draft:
    return Draft("correct", "worse than that", correction=Correction(level="high"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    write_log(tmp_path / "state", drafts(reviewed(), correct))
    return tmp_path / "state"


class House:
    """A state directory, and what a retraining of it needs."""

    def __init__(self, state: Path, candidate: float = 0.9, **changes: Any) -> None:
        self.place = Place(state)
        self.registry = Registry(state / "models")
        self.steps = Steps()
        self.said: list[str] = []
        self.world = Surroundings(
            knowledge=knowledge(), registry=self.registry, steps=self.steps, say=self._hear,
            deadline=time.monotonic() + 3600,
            measuring=measuring(lambda digest: candidate if digest == "candidate" else 0.5), preparing=preparing(),
        )  # fmt: skip
        self.world = replace(self.world, **changes)

    def _hear(self, event: str, **values: object) -> None:
        self.said.append(f"{event} {values.get('stage', '')}".strip())

    def run(self, settings: RetrainSettings = SETTINGS) -> Outcome:
        with self.place.locked():
            return Retraining(self.place, settings, self.world).run()


def test_a_candidate_that_agrees_more_often_is_promoted_with_its_report_beside_it(state: Path) -> None:
    house = House(state)
    outcome = house.run()
    assert outcome.what == "promoted"
    incumbent = house.registry.incumbent()
    assert incumbent.digest != EMBEDDED
    manifest = house.registry.verify(incumbent)
    assert set(manifest.parts) == {"float", "gptq", "onnx"}
    assert manifest.name == f"sysscan-small+{len(reviewed())}"
    assert manifest.record["retraining"]["incumbent"] == EMBEDDED
    assert "ambiguous" in manifest.record["classes"]
    for name in ("retraining.json", "retraining.md", "README.md"):
        assert name in manifest.files
    change = house.registry.history()[-1]
    assert change.reason == outcome.reason and "went from 50.0%" in change.reason
    assert outcome.report is not None and "**promoted**" in outcome.report.read_text()
    assert not house.place.run.exists()


def test_a_candidate_that_is_no_better_is_not_promoted_and_it_is_said_why(state: Path) -> None:
    house = House(state, candidate=0.5)
    outcome = house.run()
    assert outcome.what == "kept" and "chance can give" in outcome.reason
    assert "\n" not in outcome.reason
    assert house.registry.incumbent().digest == EMBEDDED
    assert outcome.report is not None and "**not promoted**" in outcome.report.read_text()
    assert outcome.report.with_suffix(".json").exists()


def test_what_was_considered_is_not_considered_again_until_there_is_more(state: Path) -> None:
    House(state, candidate=0.5).run()
    house = House(state)
    outcome = house.run()
    assert outcome == Outcome("nothing_to_do", "0 verdicts since the last run, and 20 are needed (--least-verdicts)")
    assert house.steps.ran == []
    write_log(state, drafts(reviewed()[:20], correct), "ben")
    assert house.run().what == "promoted"


def test_the_next_retraining_starts_from_the_float_weights_of_the_last(state: Path) -> None:
    house = House(state)
    house.run()
    first = house.registry.incumbent()
    write_log(state, drafts(reviewed()[:20], correct), "ben")
    house.run()
    assert house.steps.ran.count("dequantize") == 1
    second = house.registry.incumbent()
    assert second.manifest is not None and second.manifest.record["retraining"]["incumbent"] == first.digest
    assert second.name == f"sysscan-small+{len(reviewed()) + 20}"


def test_too_few_verdicts_make_nothing(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed()[:5], correct))
    house = House(tmp_path)
    assert house.run().reason.startswith("5 verdicts since the last run")
    assert not house.place.run.exists()


def test_approvals_alone_leave_nothing_to_learn(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), lambda record, situation: Draft("approve", "yes")))
    assert "nothing to learn" in House(tmp_path).run().reason


def test_false_positives_throughout_leave_nothing_to_learn(tmp_path: Path) -> None:
    write_log(tmp_path, drafts(reviewed(), lambda record, situation: Draft("false_positive", "no")))
    assert "nothing to learn" in House(tmp_path).run().reason


@pytest.mark.parametrize("where", ["dequantize", "finetune", "quantize", "export"])
def test_killed_in_a_step_it_goes_on_and_comes_to_the_same(state: Path, where: str) -> None:
    house = House(state)
    house.steps.die_in = where
    with pytest.raises(Killed):
        house.run()
    assert house.registry.incumbent().digest == EMBEDDED
    house.steps.die_in = None
    assert house.run().what == "promoted"
    # What was whole is not made again, and training goes on instead of beginning anew.
    assert [house.steps.ran.count(one) for one in house.steps.ran] == [
        2 if one == where else 1 for one in house.steps.ran
    ]
    assert any(house.steps.resumed) == (where == "finetune")
    assert len(house.registry.history()) == 1


@pytest.mark.parametrize("where", ["data", "incumbent", "candidate"])
def test_killed_in_a_stage_of_its_own_it_goes_on(state: Path, where: str) -> None:
    half = 0.5
    dying = House(
        state,
        **({"preparing": preparing(die=True)} if where == "data" else {}),
        **(
            {"measuring": measuring(lambda _: half, EMBEDDED if where == "incumbent" else where)}
            if where != "data"
            else {}
        ),
    )
    with pytest.raises(Killed):
        dying.run()
    assert House(state).run().what == "promoted"


class DyingRegistry(Registry):
    """A registry whose owner is killed just before, or just after, a call did its work."""

    def __init__(self, directory: Path, call: str, after: bool) -> None:
        super().__init__(directory)
        self._call, self._after = call, after

    def add(self, source: Path) -> Any:
        return self._dying("add", lambda: super(DyingRegistry, self).add(source))

    def promote(self, wanted: str, **values: Any) -> Any:
        return self._dying("promote", lambda: super(DyingRegistry, self).promote(wanted, **values))

    def _dying(self, call: str, work: Any) -> Any:
        if call == self._call and not self._after:
            raise Killed
        done = work()
        if call == self._call:
            raise Killed
        return done


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["add", "promote"])
def test_killed_at_the_promotion_it_promotes_once(state: Path, call: str, after: bool) -> None:
    dying = House(state, registry=DyingRegistry(state / "models", call, after))
    with pytest.raises(Killed):
        dying.run()
    house = House(state)
    assert house.registry.incumbent().digest in {EMBEDDED, *(one.digest for one in house.registry.entries())}
    assert house.run(SETTINGS).what == "promoted"
    assert house.steps.ran == []
    history = house.registry.history()
    assert [change.kind for change in history] == ["promote"]
    assert house.registry.incumbent().digest == history[0].digest
    assert house.run().what == "nothing_to_do"


@pytest.mark.parametrize("call", ["keep_report", "finish"])
def test_killed_while_it_notes_what_came_of_it_it_notes_it_again(
    state: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(Place, call)

    def dying(place: Place, *values: Any) -> None:
        real(place, *values) if call == "keep_report" else None
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Place, call, dying)
        with pytest.raises(Killed):
            House(state).run()
    house = House(state)
    assert house.run().what == "promoted"
    assert len(house.registry.history()) == 1
    assert len(list(house.place.reports.glob("*.json"))) == 1


def test_one_run_at_a_time(state: Path) -> None:
    house = House(state)
    with house.place.locked(), pytest.raises(ConfigError, match="another retraining is at work"):
        House(state).run()


def test_when_somebody_promoted_another_model_meanwhile_theirs_stays(state: Path) -> None:
    house = House(state)
    other = state.parent / "other"
    house.steps._export(other, ())
    (other / "README.md").write_text("another")
    from pipeline.engine.manifest import relist

    relist(other, {})
    theirs = house.registry.add(other)

    class Late(Registry):
        def add(self, source: Path) -> Any:
            entry = super().add(source)
            self.promote(theirs.digest, at="2026-11-03T09:00:00Z", by="ben", reason="mine", keep=3)
            return entry

    late = House(state, registry=Late(state / "models"))
    outcome = late.run()
    assert (outcome.what, house.registry.incumbent().digest) == ("kept", theirs.digest)
    assert "another model was promoted meanwhile" in outcome.reason


def test_a_run_that_rests_on_another_incumbent_is_dropped(state: Path) -> None:
    house = House(state)
    house.steps.die_in = "quantize"
    with pytest.raises(Killed):
        house.run()
    other = state.parent / "other"
    house.steps.die_in = None
    house.steps._export(other, ())
    entry = house.registry.add(other)
    house.registry.promote(entry.digest, at="2026-11-03T09:00:00Z", by="ben", reason="mine", keep=3)
    again = House(state)
    assert again.run().what == "promoted"
    assert "retraining.dropped" in again.said
    assert again.steps.ran[0] == "dequantize"


def test_a_damaged_incumbent_is_not_trained_on(state: Path) -> None:
    house = House(state)
    house.run()
    weights = next(house.registry.incumbent().directory.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes() + b"x")
    write_log(state, drafts(reviewed()[:20], correct), "ben")
    with pytest.raises(AgentError):
        house.run()
    assert len(house.registry.history()) == 1


def test_out_of_time_it_stops_and_the_next_run_goes_on(state: Path) -> None:
    class Slow(Steps):
        def run(self, arguments: Any, said: Path) -> None:
            if arguments[0] == "quantize":
                raise OutOfTime("quantize did not end in time")
            super().run(arguments, said)

    house = House(state, steps=Slow())
    assert house.run().what == "out_of_time"
    late = House(state, deadline=time.monotonic() - 1)
    assert "before gptq" in late.run().reason or "before data" in late.run().reason
    house = House(state)
    assert house.run().what == "promoted"
    assert house.steps.ran == ["quantize", "export"]


def test_a_run_that_never_comes_to_its_end_is_given_up(state: Path) -> None:
    class Failing(Steps):
        def run(self, arguments: Any, said: Path) -> None:
            raise StepFailed("finetune ended with -9")

    for _ in range(6):  # the first one made the data, and that was some way
        with pytest.raises(StepFailed):
            House(state, steps=Failing()).run()
    assert House(state).run().what == "given_up"
    assert House(state).run().what == "nothing_to_do"


def test_more_disk_than_is_allowed_ends_it_with_a_line(state: Path) -> None:
    house = House(state)

    class Large(Steps):
        def _dequantize(self, output: Path, arguments: Any) -> None:
            super()._dequantize(output, arguments)
            (output / "large").write_bytes(bytes(70_000_000))

    house = House(state, steps=Large())
    with pytest.raises(ConfigError, match="more than --max-disk-mb allows"):
        house.run(SETTINGS.model_copy(update={"max_disk_mb": 64}))


def test_the_outlook_changes_nothing(state: Path) -> None:
    def names() -> list[str]:
        return sorted(path.name for path in state.iterdir() if not path.name.startswith("review.db"))

    before = names()
    said = outlook(Place(state), SETTINGS, knowledge(), Registry(state / "models"))
    assert said["would_train"] and said["incumbent"]["weights"] == "gptq"
    assert said["verdicts"]["since_the_last_run"] == len(reviewed())
    assert names() == before


def test_what_was_taught_can_be_exported(state: Path, tmp_path: Path) -> None:
    house = House(state)
    with pytest.raises(ConfigError, match="nothing was taught yet"):
        house.place.export_lessons(tmp_path / "out.jsonl")
    house.run()
    assert house.place.export_lessons(tmp_path / "out.jsonl") == 1


def test_where_verdicts_contradict_too_much_of_a_holdout_nothing_is_trained(state: Path) -> None:
    house = House(state, preparing=preparing(decided=33))
    outcome = house.run()
    assert outcome.what == "given_up" and "33 of the 400 cases of the instance holdout" in outcome.reason
    assert house.steps.ran == [] and house.registry.incumbent().digest == EMBEDDED


def test_the_report_says_how_many_frozen_cases_were_left_out(state: Path) -> None:
    report = House(state).run().report
    assert report is not None
    assert "- 1 of 400 cases of the instance holdout have a right answer that" in report.read_text()
    assert "- 7 more are of classes that hardly any of these are of" in report.read_text()
