"""A model to run: built once where the packages to build it are, kept between runs of the suite."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine import manifest

BUILDER = Path(__file__).with_name("tiny_model.py")
# What a file of tests imports, beside the project; without it the file is left out, and the header says so.
NEEDED = {
    "test_tokens.py": ("llguidance",),
    "test_grammar.py": ("llguidance", "numpy"),
    "test_decoder.py": ("llguidance", "numpy"),
    "test_probe.py": ("llguidance", "numpy"),
    "test_load.py": ("llguidance", "numpy"),
    "test_onnx_runtime.py": ("llguidance", "numpy", "onnxruntime_genai"),
    "test_torch_runtime.py": ("llguidance", "numpy", "torch", "transformers"),
}
collect_ignore = [
    name for name, packages in NEEDED.items() if any(importlib.util.find_spec(package) is None for package in packages)
]
PACKAGES = ("torch", "transformers", "tokenizers", "gptqmodel", "onnx_ir", "onnxruntime_genai", "llguidance")


def pytest_report_header() -> list[str]:
    """Say which files are left out."""
    return [f"engine: {name} left out, needs {', '.join(NEEDED[name])}" for name in collect_ignore]


@pytest.fixture(scope="session")
def model_directory(pytestconfig: pytest.Config) -> Path:
    """Give a verified model directory with random weights; nobody may write to it."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    key = hashlib.sha256(BUILDER.read_bytes() + Path(manifest.__file__).read_bytes()).hexdigest()[:16]
    assert pytestconfig.cache is not None
    directory = pytestconfig.cache.mkdir("engine-model") / key
    if not (directory / manifest.MANIFEST).exists():
        partial = directory.with_name(f"{key}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        # In a process of its own: it loads all that the engine must do without.
        arguments = [str(partial), "--hidden", "128", "--layers", "2", "--heads", "4", "--vocabulary", "1024"]
        done = subprocess.run(
            [sys.executable, "-m", "tests.pipeline.engine.tiny_model", *arguments],
            cwd=BUILDER.parents[3],
            env={**os.environ, "OMP_NUM_THREADS": "2", "GPTQMODEL_CPU_WORKERS": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        partial.rename(directory)
    manifest.verify(directory)
    return directory
