"""Puts the pipeline's desk together from the settings."""

from pathlib import Path

from daemon.settings import Settings
from daemon.version import VERSION
from pipeline.analysis import AnalysisStore
from pipeline.errors import ConfigError
from pipeline.intel import load_intel
from pipeline.knowledge.load import load_knowledge
from pipeline.policy import load_policy
from pipeline.workbench import Desk


def open_desk(settings: Settings, store: AnalysisStore | None = None) -> Desk:
    """Load knowledge, policy and intelligence.

    Raises:
        ConfigError: names the file, the line and the reason.
    """
    knowledge = load_knowledge(settings.knowledge_dirs)
    policy = load_policy(_expand(settings.policy_files, (".yaml", ".yml")), knowledge)
    return Desk(knowledge, policy, load_intel(_expand(settings.intel_files, None)), version=VERSION, store=store)


def _expand(paths: tuple[Path, ...], suffixes: tuple[str, ...] | None) -> list[Path]:
    """Replace directories by the files in them, in order of their names."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(
                one for one in path.iterdir() if one.is_file() and (suffixes is None or one.suffix in suffixes)
            )
        elif path.exists():
            files.append(path)
        else:
            raise ConfigError(f"{path}: no such file")
    return files
