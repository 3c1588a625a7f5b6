"""Loads the knowledge: compiled, or from YAML where that was changed, with an operator's entries on top."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from pipeline.engine.reading import is_meant
from pipeline.errors import KnowledgeError
from pipeline.knowledge.schema import Knowledge

DATA = Path(__file__).parent / "data"
COMPILED = Path(__file__).parent / "compiled.json"

Sections = dict[str, dict[str, Any]]
# Returns the names of the feature functions that a class may use; called only when YAML is read.
FeatureTable = Callable[[], Collection[str]]


def load_knowledge(features: FeatureTable, extra_dirs: Sequence[Path] = ()) -> Knowledge:
    """Load what the package ships, with the YAML files of `extra_dirs` on top, in order of their names.

    An operator's entry with a new id must be complete; one with an existing id replaces the fields that it names.

    Raises:
        KnowledgeError: names file, line and reason.
    """
    extra = [path for directory in extra_dirs for path in _yaml_files(directory)]
    compiled = _read_compiled()
    if compiled is not None and not extra:
        return Knowledge.model_validate_json(compiled)
    # Parsing YAML and checking references is slow, and needed only for what was changed by hand.
    from pipeline.knowledge.source import read_sources

    shipped: Sections = orjson.loads(compiled) if compiled is not None else {}
    files = extra if compiled is not None else [*_yaml_files(DATA), *extra]
    return read_sources(shipped, files, own=DATA, features=features())


def compile_knowledge(features: FeatureTable, target: Path = COMPILED) -> Knowledge:
    """Check the shipped YAML and write it as one JSON file with the digest of its sources.

    Raises:
        KnowledgeError: names file, line and reason.
    """
    from pipeline.knowledge.source import read_sources

    knowledge = read_sources({}, _yaml_files(DATA), own=DATA, features=features())
    body = knowledge.model_dump_json(by_alias=True, exclude_defaults=True).encode()
    target.write_bytes(_seal(body) + b"\n" + body)
    return knowledge


def _seal(body: bytes) -> bytes:
    return f"{_sources_digest()} {hashlib.sha256(body).hexdigest()}".encode()


def _read_compiled() -> bytes | None:
    """Return the compiled form if it is complete and was made from the YAML in `DATA`."""
    try:
        seal, _, body = COMPILED.read_bytes().partition(b"\n")
    except OSError:
        return None
    return body if seal == _seal(body) else None


def _sources_digest() -> str:
    total = hashlib.sha256()
    for path in _yaml_files(DATA):
        total.update(f"{path.relative_to(DATA).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _yaml_files(directory: Path) -> list[Path]:
    try:
        found: Iterable[Path] = directory.rglob("*.y*ml")
        return sorted(path for path in found if path.suffix in {".yaml", ".yml"} and is_meant(path))
    except OSError as error:
        raise KnowledgeError(f"{directory}: cannot be read: {error.strerror}") from error
