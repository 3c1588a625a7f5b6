"""What can run a model, one row each: a new one is a row here, and a file with its runner."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.engine.extras import how_to_install

Runtime = Literal["onnx", "torch"]
Device = Literal["cpu", "cuda"]
ENDPOINT = "endpoint"  # another program runs the model (`endpoint.py`)


@dataclass(frozen=True)
class RuntimeSpec:
    """One runtime.

    Attributes:
        module: file in this room with `open_runners`, which gives `Runner`s (`decoder.py`), one for each thread that is
            to answer; imported when a model is loaded.
        extra: what its libraries are an extra of; None where they come with the program.
        parts: the forms of the weights that it reads, the first that a model has.
        packages: what its tokens depend on, and what must be installed for it.
        for_quantised: further packages for the part ``gptq``.
    """

    module: str
    extra: str | None
    parts: Mapping[Device, tuple[str, ...]]
    packages: Mapping[Device, tuple[str, ...]]
    for_quantised: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """What to do where it cannot be imported."""
        return "install sysscan-agent again" if self.extra is None else how_to_install(self.extra)


RUNTIMES: Mapping[Runtime, RuntimeSpec] = {
    "onnx": RuntimeSpec(
        "onnx_runtime", None,
        {"cpu": ("onnx",), "cuda": ("onnx-cuda",)},  # the kernels need different forms
        {"cpu": ("onnxruntime",), "cuda": ("onnxruntime-gpu",)},
    ),
    "torch": RuntimeSpec(
        "torch_runtime", "cuda",
        {"cpu": ("gptq", "float"), "cuda": ("gptq", "float")},
        {"cpu": ("torch", "transformers"), "cuda": ("torch", "transformers")},
        ("gptqmodel",),
    ),
}  # fmt: skip
