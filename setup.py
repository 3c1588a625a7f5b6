"""Compiles the knowledge when the package is built or installed for development; all else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithKnowledge(build_py):
    """Writes `pipeline/knowledge/compiled.json` before the files are collected."""

    def run(self) -> None:
        sys.path.insert(0, str(ROOT))
        from pipeline.features import load_features
        from pipeline.knowledge.load import compile_knowledge

        compile_knowledge(load_features)
        super().run()


setup(cmdclass={"build_py": BuildWithKnowledge})
