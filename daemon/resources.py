"""Puts the pipeline's resources together from the settings."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.inference import ModelProcess
from daemon.settings import ModelSettings, Settings
from daemon.supervisor import Patience
from daemon.version import VERSION
from pipeline.analysis.model import ModelAnalyst, knows_unknown, trained_classes
from pipeline.analysis.question import AnalysisStore
from pipeline.engine.address import parse_address
from pipeline.engine.errors import EngineError
from pipeline.engine.identity import choose_device
from pipeline.engine.model import Model
from pipeline.engine.reading import is_meant
from pipeline.errors import ConfigError, RegistryError
from pipeline.features import load_features
from pipeline.graph.resources import Resources
from pipeline.intel.match import Intel, load_intel
from pipeline.knowledge.load import load_knowledge
from pipeline.knowledge.schema import Knowledge
from pipeline.models.registry import Registry
from pipeline.rules.policy import Policy, load_policy
from pipeline.shortage import is_shortage

if TYPE_CHECKING:
    from pipeline.engine.endpoint import Endpoint

Tell = Callable[..., object]

_MORE_S = 15.0  # than a server has for an answer: it is asked first which model it has
_ENDPOINT_REST_S = 60.0  # before a server that could not be asked is tried again


def open_resources(
    settings: Settings, store: AnalysisStore | None = None, tell: Tell = lambda event, **details: None
) -> Resources:
    """Load knowledge, policy and intelligence, and find the model.

    A model that cannot be used is no error: `Resources.notice` says why, and the rules answer.

    Raises:
        ConfigError: names the file, the line and the reason; of a shortage, as its cause (`is_shortage`).
    """
    knowledge, policy, intel = _read(settings)
    analyst, notice = None, None
    if settings.model.enabled:
        try:
            analyst = _analyst(open_model(settings), knowledge, tell)
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
                analyst, notice = _analyst(model, knowledge, tell), None
    return Resources(
        knowledge, policy, intel, version=VERSION, analyst=analyst, store=before.store, notice=notice,
        texts=before.texts,
    )  # fmt: skip


def _read(settings: Settings) -> tuple[Knowledge, Policy, Intel]:
    knowledge = load_knowledge(load_features, settings.knowledge_dirs)
    policy = load_policy(_expand(settings.policy_files, (".yaml", ".yml")), knowledge)
    return knowledge, policy, load_intel(_expand(settings.intel_files, None))


def _analyst(model: "Model | Endpoint", knowledge: Knowledge, tell: Tell) -> ModelAnalyst:
    # A server on this machine was trained on nothing of ours: it is asked about every class that is known.
    manifest = model.manifest if isinstance(model, Model) else None
    return ModelAnalyst(
        model_process(model, tell),
        knowledge,
        model.name,
        None if manifest is None else trained_classes(manifest),
        model.shipped_answer,
        knows_unknown=manifest is not None and knows_unknown(manifest),
    )


def model_process(model: "Model | Endpoint", tell: Tell = lambda event, **details: None) -> ModelProcess:
    """Give what asks a model. How long an answer of a server may take is set; its process is given a little more."""
    if isinstance(model, Model):
        return ModelProcess(model, tell=tell)
    patience = Patience(
        load_s=2 * model.timeout_s + _MORE_S, answer_s=model.timeout_s + _MORE_S, rest_s=_ENDPOINT_REST_S
    )
    return ModelProcess(model, patience, tell=tell)


def open_model(settings: Settings) -> "Model | Endpoint":
    """Find and verify the model that is to answer; its weights are loaded when they are needed.

    Raises:
        EngineError: if it cannot be used.
        RegistryError: if the registry does not say which one it is.
    """
    if settings.model.endpoint is not None:
        from pipeline.engine.endpoint import Endpoint  # brings an HTTP client along

        address = parse_address(settings.model.endpoint)
        return Endpoint(address, settings.model.endpoint_model or "", settings.model.endpoint_timeout_s)
    if settings.model.path is not None:
        return open_directory(settings.model.path, settings.model)
    entry = Registry(settings.models_dir).incumbent()
    if entry.fault is not None:
        raise RegistryError(f"model {entry.digest[:12]}: {entry.fault}")
    return open_directory(entry.directory, settings.model)


def open_directory(directory: Path, settings: ModelSettings) -> Model:
    """Verify a model directory, to be run as the settings say.

    Raises:
        EngineError: if it cannot be used.
    """
    device = choose_device(directory, settings.runtime) if settings.device == "auto" else settings.device
    return Model(directory, settings.runtime, threads=settings.threads, device=device, shipped=settings.shipped)


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
