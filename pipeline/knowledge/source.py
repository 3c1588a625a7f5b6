"""Reads knowledge from YAML; an error names file, line and reason."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ConfigError, KnowledgeError
from pipeline.keys import canonical, digest_bytes
from pipeline.knowledge.check import broken_references
from pipeline.knowledge.schema import Knowledge
from pipeline.yaml_file import Places, read_mapping, refusal

Sections = dict[str, dict[str, Any]]


def read_sources(
    shipped: Mapping[str, dict[str, Any]], files: Sequence[Path], own: Path, features: Collection[str]
) -> Knowledge:
    """Merge YAML files over `shipped` sections and check the result.

    Args:
        own: directory of our own files, in which each id may be defined once; other files (an operator's) may override.
        features: names of the feature functions that a class may use.

    Raises:
        KnowledgeError: names file, line and reason.
    """
    sections: Sections = {name: dict(entries) for name, entries in shipped.items() if name != "digest"}
    places: Places = {}
    for path in files:
        override = own not in path.parents
        for section, entries in _read(path, places).items():
            target = sections.setdefault(section, {})
            for key, entry in entries.items():
                if key in target and not override:
                    raise _error(places, (section, key), f"{section}.{key} is defined twice", path)
                known = target.get(key)
                target[key] = {**known, **entry} if isinstance(known, dict) and isinstance(entry, dict) else entry
    otherwise = files[0] if files else own
    try:
        knowledge = Knowledge.model_validate(sections)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        loc = tuple(str(part) for part in first["loc"])
        raise _error(places, loc, f"{'.'.join(loc)}: {first['msg']}", otherwise) from error
    problem = next(iter(broken_references(knowledge, features)), None)
    if problem is not None:
        loc, reason = problem
        raise _error(places, loc, f"{'.'.join(loc)}: {reason}", otherwise)
    body = canonical(knowledge.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    return knowledge.model_copy(update={"digest": digest_bytes(body)})


def _read(path: Path, places: Places) -> Sections:
    content = read_mapping(path, places, KnowledgeError)
    for section, entries in content.items():
        if section not in Knowledge.model_fields or section == "digest":
            raise _error(places, (section,), f"no such section: {section}", path)
        if not isinstance(entries, dict):
            raise _error(places, (section,), f"section {section} is a mapping from ids to entries", path)
    return {section: {str(key): entry for key, entry in entries.items()} for section, entries in content.items()}


def _error(places: Places, loc: tuple[str, ...], reason: str, otherwise: Path) -> ConfigError:
    return refusal(KnowledgeError, places, loc, reason, otherwise)
