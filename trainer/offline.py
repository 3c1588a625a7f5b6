"""Nothing leaves the host while a model is trained, and no code or weights come in."""

import os
from collections.abc import MutableMapping

_SET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    # ONNX Runtime decides at its first import, for the whole process; its own switch comes after the first event.
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "BITSANDBYTES_NOWELCOME": "1",
}
_WORKERS = "GPTQMODEL_CPU_WORKERS"
_TRACKERS = ("WANDB_", "MLFLOW_", "COMET_", "NEPTUNE_", "CLEARML_", "DVCLIVE_", "TRACKIO_", "SWANLAB_", "OTEL_")


def seal(environment: MutableMapping[str, str] = os.environ) -> None:
    """Switch off every hub, tracker and telemetry of the libraries that a recipe uses.

    Must run before they are imported: they read the environment then. The recipes also pass ``report_to="none"``
    and ``local_files_only``; this holds for what they cannot reach.
    """
    for name in [name for name in environment if name.startswith(_TRACKERS)]:
        del environment[name]
    environment.update(_SET)
    # GPTQModel starts as many workers as there are cores, each with torch's threads; with one it does not start.
    given = environment.get(_WORKERS, "")
    wanted = int(given) if given.isdecimal() else min(4, len(os.sched_getaffinity(0)))
    environment[_WORKERS] = str(max(2, wanted))
