"""Reads knowledge from YAML and says file, line and reason when it is bad."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.errors import KnowledgeError
from pipeline.keys import canonical, digest_bytes
from pipeline.knowledge.check import broken_references
from pipeline.knowledge.schema import Knowledge

Sections = dict[str, dict[str, Any]]
Place = tuple[Path, int]  # file and line, from 1

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_sources(shipped: Mapping[str, dict[str, Any]], files: Sequence[Path], own: Path) -> Knowledge:
    """Merge YAML files over `shipped` sections and check the whole.

    Within the files below `own` an id stands once; other files (an operator's) may override.

    Raises:
        KnowledgeError: names file, line and reason.
    """
    sections: Sections = {name: dict(entries) for name, entries in shipped.items() if name != "digest"}
    places: dict[tuple[str, ...], Place] = {}
    for path in files:
        override = own not in path.parents
        for section, entries in _read(path, places).items():
            target = sections.setdefault(section, {})
            for key, entry in entries.items():
                if key in target and not override:
                    raise _error(places, (section, key), f"{section}.{key} is defined twice", path)
                known = target.get(key)
                target[key] = {**known, **entry} if isinstance(known, dict) and isinstance(entry, dict) else entry
    try:
        knowledge = Knowledge.model_validate(sections)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        loc = tuple(str(part) for part in first["loc"])
        raise _error(places, loc, f"{'.'.join(loc)}: {first['msg']}", files[0] if files else own) from error
    problem = next(iter(broken_references(knowledge)), None)
    if problem is not None:
        loc, reason = problem
        raise _error(places, loc, f"{'.'.join(loc)}: {reason}", files[0] if files else own)
    body = canonical(knowledge.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    return knowledge.model_copy(update={"digest": digest_bytes(body)})


def _read(path: Path, places: dict[tuple[str, ...], Place]) -> Sections:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_LOADER)
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader either way
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise KnowledgeError(f"{path}:{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise KnowledgeError(f"{path}: not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise KnowledgeError(f"{path}:1: a knowledge file is a mapping from section names to entries")
    if node is not None:
        _mark(node, (), path, places)
    for section, entries in content.items():
        if section not in Knowledge.model_fields or section == "digest":
            raise _error(places, (str(section),), f"no such section: {section}", path)
        if not isinstance(entries, dict):
            raise _error(places, (section,), f"section {section} is a mapping from ids to entries", path)
    return {section: {str(key): entry for key, entry in entries.items()} for section, entries in content.items()}


def _mark(node: yaml.Node, loc: tuple[str, ...], path: Path, places: dict[tuple[str, ...], Place]) -> None:
    """Note the line of every entry, and refuse a key that stands twice in one mapping (YAML keeps the last)."""
    places[loc] = (path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise KnowledgeError(f"{path}:{key.start_mark.line + 1}: {name!r} stands twice")
            seen.add(name)
            places[(*loc, name)] = (path, key.start_mark.line + 1)
            _mark(value, (*loc, name), path, places)
            places[(*loc, name)] = (path, key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _mark(value, (*loc, str(number)), path, places)


def _error(
    places: Mapping[tuple[str, ...], Place], loc: tuple[str, ...], reason: str, otherwise: Path
) -> KnowledgeError:
    while loc and loc not in places:
        loc = loc[:-1]
    path, line = places.get(loc, (otherwise, 1))
    return KnowledgeError(f"{path}:{line}: {reason}")
