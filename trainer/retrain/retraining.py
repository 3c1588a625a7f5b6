"""One retraining from verdicts to a decision, stage by stage; a killed one goes on where it stood."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.analysis.model import knows_unknown, trained_classes
from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.engine.errors import EngineError
from pipeline.engine.manifest import relist
from pipeline.errors import ConfigError, RegistryError
from pipeline.knowledge.schema import Knowledge
from pipeline.models.registry import Registry
from pipeline.review.chain import Head
from trainer.data.dataset import HIDDEN_FOLD
from trainer.record.model_card import write_card
from trainer.record.run_directory import code_version
from trainer.retrain import report
from trainer.retrain.candidate import Incumbent, Workshop, base_form
from trainer.retrain.data import LESSONS, Rehearsal, prepare, preview, read_decided, read_held_out
from trainer.retrain.decided import too_many
from trainer.retrain.decision import decide
from trainer.retrain.gather import head_of, read_log
from trainer.retrain.measure import Measure, as_json, from_json, measuring
from trainer.retrain.place import Place, write_json
from trainer.settings import RetrainSettings
from trainer.steps import OutOfTime, Steps

_PLAN = "sysscan.retraining-plan/1"
_MOST_ATTEMPTS = 5  # that bring a run no further
_COUNTS = ("attempts", "whole")
_BY = "sysscan-train retrain"

Say = Callable[..., None]  # event, and what varies
Measuring = Callable[[Knowledge, int, Callable[[str, int, int], None]], Measure]


@dataclass(slots=True, frozen=True)
class Surroundings:
    """What a retraining needs of the world.

    Attributes:
        steps: what needs torch.
        say: is told what happens.
        deadline: by `time.monotonic`.
    """

    knowledge: Knowledge
    registry: Registry
    steps: Steps
    say: Say
    deadline: float
    measuring: Measuring = measuring
    preparing: Callable[..., object] = prepare


@dataclass(slots=True, frozen=True)
class Outcome:
    """What came of it: ``nothing_to_do``, ``out_of_time``, ``promoted``, ``kept`` or ``given_up``; and why."""

    what: str
    reason: str
    report: Path | None = None


def outlook(place: Place, settings: RetrainSettings, knowledge: Knowledge, registry: Registry) -> dict[str, Any]:
    """Say what a retraining would do now, and change nothing."""
    incumbent = _incumbent(registry)
    done, head = place.done(), head_of(place.state)
    plan = place.plan() if place.run.exists() else None
    new = _new(done, head)
    known = read_log(place.state, head.seq) if head.seq else []
    counts = preview(known, head, knowledge, settings)
    reason = None if plan is not None else _too_little(new, counts, settings)
    return {
        "incumbent": {"digest": incumbent.digest, "name": incumbent.manifest.name, "weights": incumbent.form},
        "verdicts": {"in_the_log": head.seq, "since_the_last_run": new, **counts},
        "goes_on": plan is not None,
        "would_train": reason is None,
        "reason": reason or "there is enough to learn from",
    }


class Retraining:
    """A run in a place; `run` does all of it under the place's lock, which the caller holds."""

    def __init__(self, place: Place, settings: RetrainSettings, world: Surroundings) -> None:
        self._place = place
        self._settings = settings
        self._world = world

    def run(self) -> Outcome:
        """Begin or go on, and say what came of it.

        Raises:
            AgentError: if a stage fails; what is whole stays.
        """
        incumbent = _incumbent(self._world.registry)
        plan = self._going_on(incumbent) or self._planned(incumbent)
        if isinstance(plan, Outcome):
            return plan
        whole = self._place.whole()
        plan["attempts"] = plan["attempts"] + 1 if plan["whole"] == whole else 1
        plan["whole"] = whole
        if plan["attempts"] > _MOST_ATTEMPTS:
            return self._give_up(plan, f"the run was begun {_MOST_ATTEMPTS} times and came no further")
        write_json(self._place.run / "plan.json", plan)
        try:
            return self._stages(plan)
        except OutOfTime as error:
            return Outcome("out_of_time", f"{error}; the next run goes on from there")

    def _going_on(self, incumbent: Incumbent) -> dict[str, Any] | None:
        """Give the plan of the run in hand, if it still holds; another one is dropped."""
        plan = self._place.plan()
        if plan is None:
            return None
        same = self._plan(Head(plan["upto"], plan["head"]), plan["incumbent"])
        other = sorted(name for name, value in same.items() if plan.get(name) != value and name not in _COUNTS)
        decided = self._place.run / "decision.json"
        if plan["incumbent"] != incumbent.digest and not decided.exists():
            other.append("incumbent")
        if other:
            self._world.say("retraining.dropped", reason=f"begun with another {', '.join(other)}")
            self._place.abandon()
            return None
        self._world.say("retraining.resumed", verdicts=plan["upto"], attempt=plan["attempts"] + 1)
        return plan

    def _planned(self, incumbent: Incumbent) -> dict[str, Any] | Outcome:
        """Plan a new run, or say why there is none."""
        head = head_of(self._place.state)
        new = _new(self._place.done(), head)
        verdicts = read_log(self._place.state, head.seq) if head.seq else []
        counts = preview(verdicts, head, self._world.knowledge, self._settings)
        reason = _too_little(new, counts, self._settings)
        if reason is not None:
            return Outcome("nothing_to_do", reason)
        plan = self._plan(head, incumbent.digest)
        self._place.begin(plan)
        self._world.say("retraining.started", verdicts=head.seq, new=new, incumbent=incumbent.manifest.name)
        return plan

    def _plan(self, head: Head, incumbent: str) -> dict[str, Any]:
        return {
            "schema": _PLAN,
            "upto": head.seq,
            "head": head.hash,
            "incumbent": incumbent,
            "knowledge": self._world.knowledge.digest,
            "prompt": PROMPT_VERSION,
            "code": code_version(),
            "settings": {name: value for name, value in self._settings.plain().items() if name not in _MAY_CHANGE},
            "attempts": 0,
            "whole": [],
        }

    def _stages(self, plan: Mapping[str, Any]) -> Outcome:
        place, world, settings = self._place, self._world, self._settings
        if (place.run / "decision.json").exists():
            return self._conclude(plan)
        before = _model(world.registry, plan["incumbent"])
        workshop = Workshop(place.run, before, settings, world.steps)
        head = Head(plan["upto"], plan["head"])

        def data(target: Path) -> None:
            verdicts = read_log(place.state, head.seq)
            world.preparing(target, verdicts, head, world.knowledge, settings, self._progress, before.rehearsal)

        name = f"{before.manifest.name.partition('+')[0]}+{head.seq}"
        made = {"retraining": {"verdicts": head.seq, "head": head.hash, "incumbent": before.digest}}
        self._stage("data", data)
        counts = orjson.loads((place.run / "data" / "facts.json").read_bytes())
        if not counts["trained_corrections"]:
            return self._give_up(plan, "none of the verdicts to train on corrects what was shown: nothing to learn")
        emptied = too_many(counts["decided_otherwise"], counts["frozen"])
        if emptied is not None:
            return self._give_up(plan, emptied)
        self._stage("base", workshop.base)
        self._stage("train", workshop.train, resumable=True)
        self._stage("gptq", workshop.gptq)
        self._stage("model", lambda target: workshop.model(target, name, made))
        self._stage("incumbent.json", lambda target: self._measure(target, before.directory, before.digest))
        self._stage("candidate.json", lambda target: self._measure(target, place.run / "model", "candidate"))
        self._stage("decision.json", lambda target: self._decide(target, plan, counts))
        return self._conclude(plan)

    def _stage(self, name: str, make: Callable[[Path], None], *, resumable: bool = False) -> None:
        begin = time.monotonic()
        if begin > self._world.deadline:
            raise OutOfTime(f"the time was over before {name.partition('.')[0]}")
        taken = self._place.disk_bytes()
        if taken > self._settings.max_disk_mb * 1_000_000:
            raise ConfigError(
                f"{self._place.run}: takes {taken // 1_000_000} MB, more than --max-disk-mb allows; raise it, or lower "
                "--replay"
            )
        self._world.say("retraining.stage", stage=name.partition(".")[0])
        if self._place.stage(name, make, resumable=resumable):
            seconds = round(time.monotonic() - begin, 1)
            self._world.say("retraining.stage_done", stage=name.partition(".")[0], seconds=seconds)

    def _progress(self, step: str, done: int, total: int) -> None:
        if time.monotonic() > self._world.deadline:
            raise OutOfTime(f"the time was over in {step}")

    def _measure(self, target: Path, directory: Path, digest: str) -> None:
        data = self._place.run / "data"
        measure = self._world.measuring(self._world.knowledge, self._settings.cases, self._progress)
        write_json(target, as_json(measure(directory, digest, read_held_out(data), read_decided(data))))

    def _decide(self, target: Path, plan: Mapping[str, Any], counts: Mapping[str, Any]) -> None:
        before, after = (from_json(_json(self._place.run / f"{one}.json")) for one in ("incumbent", "candidate"))
        decision = decide(before, after, least=self._settings.least_held_out, seed=self._settings.seed)
        facts = {name: plan[name] for name in ("upto", "head", "knowledge", "prompt", "code", "settings")}
        write_json(target, report.as_json(counts, before, after, decision, facts))

    # What comes of it

    def _conclude(self, plan: Mapping[str, Any]) -> Outcome:
        """Promote or keep, note it, and keep the report; may be begun again at any point."""
        place, registry = self._place, self._world.registry
        said = _json(place.run / "decision.json")
        promote, reason = said["promoted"], said["reason"]
        if promote:
            self._stage("promoted", lambda target: self._finished(target, said))
            entry = registry.add(place.run / "promoted")
            now = registry.incumbent().digest
            if now not in (plan["incumbent"], entry.digest):
                promote, reason = False, f"another model was promoted meanwhile; the candidate is {entry.digest[:12]}"
            elif now != entry.digest:
                registry.promote(entry.digest, at=_now(), by=_BY, reason=reason, keep=self._settings.keep)
            self._world.say("retraining.registered", model=entry.digest)
        kept = self._keep_report({**said, "promoted": promote, "reason": reason})
        place.finish(_done(plan, "promoted" if promote else "kept", reason, kept.name))
        return Outcome("promoted" if promote else "kept", reason, kept)

    def _finished(self, target: Path, said: Mapping[str, Any]) -> None:
        """Put report, scorecard and card into a copy of the candidate: its name is a digest of all its files."""
        shutil.copytree(self._place.run / "model", target)
        (target / "retraining.json").write_bytes(orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        (target / "retraining.md").write_text(report.markdown(said), encoding="utf-8")
        relist(target, {"scorecards": {"onnx": said["candidate"]["scorecard"]}})
        write_card(target)

    def _keep_report(self, said: Mapping[str, Any]) -> Path:
        files = {
            ".json": orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n",
            ".md": report.markdown(said).encode(),
            ".lessons.jsonl": (self._place.run / "data" / LESSONS).read_bytes(),
        }
        return self._place.keep_report(f"verdicts-{said['upto']:08}-{said['head'][:8]}", files)

    def _give_up(self, plan: Mapping[str, Any], reason: str) -> Outcome:
        self._place.finish(_done(plan, "given_up", reason, None))
        return Outcome("given_up", reason)


# How a run is carried out, not what comes of it.
_MAY_CHANGE = frozenset({"threads", "max_minutes", "max_disk_mb", "keep", "idle", "least_verdicts"})


def _incumbent(registry: Registry) -> Incumbent:
    return _model(registry, registry.incumbent().digest)


def _model(registry: Registry, digest: str) -> Incumbent:
    """Look at a model that is to be trained further.

    Raises:
        ConfigError, RegistryError: if it is damaged, or cannot be.
    """
    entry = registry.find(digest)
    manifest = registry.verify(entry)
    if manifest.prompt_version != PROMPT_VERSION:
        raise RegistryError(
            f"model {entry.name}: was trained on {manifest.prompt_version}, and this version asks in {PROMPT_VERSION}"
        )
    try:
        classes, unknown = trained_classes(manifest), knows_unknown(manifest)
    except EngineError as error:
        raise RegistryError(str(error)) from error
    fold = manifest.record.get(HIDDEN_FOLD)
    rehearsal = Rehearsal(unknown, fold if isinstance(fold, int) else None)
    return Incumbent(entry.digest, entry.directory, manifest, base_form(manifest), classes, rehearsal)


def _new(done: Mapping[str, Any], head: Head) -> int:
    """Count the verdicts since the last run; of a log that begins anew, all."""
    upto = int(done.get("upto", 0))
    return head.seq - upto if head.seq >= upto else head.seq


def _too_little(new: int, counts: Mapping[str, Any], settings: RetrainSettings) -> str | None:
    if new < settings.least_verdicts:
        return f"{new} verdicts since the last run, and {settings.least_verdicts} are needed (--least-verdicts)"
    if counts["trained_corrections"] or counts["unasked"]:
        return too_many(counts["decided_otherwise"], counts["frozen"])
    return "no verdict to train on corrects what was shown: there is nothing to learn"


def _done(plan: Mapping[str, Any], what: str, reason: str, kept: str | None) -> dict[str, Any]:
    return {
        "schema": "sysscan.retraining-done/1", "upto": plan["upto"], "head": plan["head"], "at": _now(),
        "outcome": what, "reason": reason, "report": kept,
    }  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(path.read_bytes())
    return body


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
