"""A model to run: built once where the packages to build it are, kept between runs of the suite."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.engine import manifest
from tests.skips import needs_trainer

BUILDER = Path(__file__).with_name("tiny_model.py")
PACKAGES = ("torch", "transformers", "tokenizers", "gptqmodel", "onnx_ir")


@pytest.fixture(scope="session")
def model_directory(pytestconfig: pytest.Config) -> Path:
    """Give a verified model directory with random weights; nobody may write to it."""
    needs_trainer(*PACKAGES)
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
