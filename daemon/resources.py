"""Puts the pipeline's resources together from the settings."""

from pathlib import Path

from daemon.inference import ModelProcess
from daemon.models import Tell, model_process, open_model
from daemon.settings import Settings
from daemon.version import VERSION
from pipeline.analysis.model import ModelAnalyst, knows_unknown, trained_classes
from pipeline.analysis.question import AnalysisStore
from pipeline.engine.errors import EngineError
from pipeline.engine.model import Model
from pipeline.engine.reading import is_meant
from pipeline.errors import ConfigError, RegistryError
from pipeline.features import load_features
from pipeline.graph.resources import Resources
from pipeline.intel.match import Intel, load_intel
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.rules.policy import Policy, load_policy
from pipeline.shortage import is_shortage


def open_resources(
    settings: Settings,
    store: AnalysisStore | None = None,
    tell: Tell = lambda event, **details: None,
    process: ModelProcess | None = None,
) -> Resources:
    """Load knowledge, policy and intelligence, and find the model.

    A model that cannot be used is no error: `Resources.notice` says why, and the rules answer.

    Args:
        process: of the model that is to answer, where it was opened before.

    Raises:
        ConfigError: names the file, the line and the reason; of a shortage, as its cause (`is_shortage`).
    """
    knowledge, policy, intel = _read(settings)
    analyst, notice = None, None
    if settings.model.enabled:
        try:
            analyst = _analyst(process or model_process(open_model(settings), tell), knowledge)
        except (EngineError, RegistryError) as error:
            if is_shortage(error):  # of which the model is not to blame, and for which nobody is to go without it
                raise ConfigError(f"the model cannot be looked at: {error}") from error
            notice = f"no model, the rules answer: {error}"
    return Resources(
        knowledge, policy, intel, version=VERSION, analyst=analyst, store=store, notice=notice,
        texts=settings.model.texts,
    )  # fmt: skip


def reopen_resources(settings: Settings, before: Resources, tell: Tell = lambda event, **details: None) -> Resources:
    """Read knowledge, policy and intelligence anew, and look which model is to answer.

    The process of a model that still is to answer is shared with the resources `before`; where another one is, theirs
    is theirs to close.

    Raises:
        ConfigError: names the file, the line and the reason, or the model; then nothing is to change.
    """
    knowledge, policy, intel = _read(settings)
    analyst, notice = before.analyst, before.notice
    if settings.model.enabled:
        try:
            model = open_model(settings)
        except (EngineError, RegistryError) as error:
            if analyst is not None:
                raise ConfigError(f"{error}; {analyst.model} goes on answering") from error
        else:
            if isinstance(analyst, ModelAnalyst) and analyst.model == model.name and analyst.asks(model.digest):
                analyst = analyst.with_knowledge(knowledge)
            else:
                analyst, notice = _analyst(model_process(model, tell), knowledge), None
    return Resources(
        knowledge, policy, intel, version=VERSION, analyst=analyst, store=before.store, notice=notice,
        texts=before.texts,
    )  # fmt: skip


def _read(settings: Settings) -> tuple[Knowledge, Policy, Intel]:
    knowledge = load_knowledge(load_features, settings.knowledge_dirs)
    policy = load_policy(_expand(settings.policy_files, (".yaml", ".yml")), knowledge)
    return knowledge, policy, load_intel(_expand(settings.intel_files, None))


def _analyst(process: ModelProcess, knowledge: Knowledge) -> ModelAnalyst:
    model = process.model
    # A server on this machine was trained on nothing of ours: it is asked about every class that is known.
    manifest = model.manifest if isinstance(model, Model) else None
    return ModelAnalyst(
        process,
        knowledge,
        model.name,
        None if manifest is None else trained_classes(manifest),
        model.shipped_answer,
        knows_unknown=manifest is not None and knows_unknown(manifest),
    )


def _expand(paths: tuple[Path, ...], suffixes: tuple[str, ...] | None) -> list[Path]:
    """Replace directories by the files in them, in order of their names."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(
                one for one in path.iterdir() if is_meant(one) and (suffixes is None or one.suffix in suffixes)
            )
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError(f"{path}: no such file; check the name")
    return files
