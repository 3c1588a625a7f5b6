"""Finds the model that is to answer, and gives the process that asks it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.inference import ModelProcess
from daemon.patience import Patience
from daemon.settings import ModelSettings, Settings
from pipeline.engine.address import parse_address
from pipeline.engine.identity import choose_device
from pipeline.engine.model import Model
from pipeline.errors import RegistryError
from pipeline.models.registry import Registry

if TYPE_CHECKING:
    from pipeline.engine.endpoint import Endpoint

Tell = Callable[..., object]

_MORE_S = 15.0  # than a server has for an answer: it is asked first which model it has
_ENDPOINT_REST_S = 60.0  # before a server that could not be asked is tried again


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
