"""What can run a model, one row each: a new one is a row here, and a file with its runner."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Runtime = Literal["onnx", "torch"]
Device = Literal["cpu", "cuda"]
ENDPOINT = "endpoint"  # another program runs the model (`endpoint.py`)


@dataclass(frozen=True)
class RuntimeSpec:
    """One runtime.

    Attributes:
        module: file in this room with `open_runners`, which gives `Runner`s (`decoder.py`), one for each thread that is
            to answer; imported when a model is loaded.
        install: what to install where that fails.
        parts: the forms of the weights that it reads, the first that a model has.
        packages: what its tokens depend on, and what must be installed for it.
        for_quantised: further packages for the part ``gptq``.
    """

    module: str
    install: str
    parts: Mapping[Device, tuple[str, ...]]
    packages: Mapping[Device, tuple[str, ...]]
    for_quantised: tuple[str, ...] = ()


RUNTIMES: Mapping[Runtime, RuntimeSpec] = {
    "onnx": RuntimeSpec(
        "onnx_runtime", "sysscan-agent",
        {"cpu": ("onnx",), "cuda": ("onnx-cuda",)},  # the kernels need different forms
        {"cpu": ("onnxruntime",), "cuda": ("onnxruntime-gpu",)},
    ),
    "torch": RuntimeSpec(
        "torch_runtime", "sysscan-agent[cuda]",
        {"cpu": ("gptq", "float"), "cuda": ("gptq", "float")},
        {"cpu": ("torch", "transformers"), "cuda": ("torch", "transformers")},
        ("gptqmodel",),
    ),
}  # fmt: skip
