"""What is asked before anything is made: whether the output is free, and whether memory and disk will do."""

import shutil
from pathlib import Path

from pipeline.errors import ConfigError

_MIB = 1024 * 1024
_SPARE_DISK = 64 * _MIB  # records, curve, tokenizer


def check_empty(path: Path, *, resumable: bool = False) -> None:
    """Refuse an output directory that holds something.

    Args:
        resumable: whether what is there may be a run that can go on.

    Raises:
        ConfigError: if it is not empty, or not a directory.
    """
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path}: not a directory; name another output")
    if path.is_dir() and any(path.iterdir()):
        hint = ", or go on with --resume" if resumable else ""
        raise ConfigError(f"{path}: not empty; name another output{hint}")


def check_memory(needed: int, available: int, what: str, remedy: str) -> None:
    """Refuse a run that would not fit.

    Args:
        needed: bytes, a low estimate: a run that passes may still not fit, one that is refused never would.
        available: bytes, of the device that does the work.

    Raises:
        ConfigError: if there is too little.
    """
    if needed > available:
        raise ConfigError(f"{what} needs {_mib(needed)} of memory, {_mib(available)} are available; {remedy}")


def check_disk(needed: int, path: Path) -> None:
    """Refuse a run whose output would not fit.

    Raises:
        ConfigError: if the file system of `path` has too little room, or cannot be written.
    """
    existing = path
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed + _SPARE_DISK > free:
        raise ConfigError(
            f"{path}: needs {_mib(needed + _SPARE_DISK)} of disk, {_mib(free)} are free; name another output"
        )


def _mib(count: int) -> str:
    return f"{count // _MIB} MiB"
