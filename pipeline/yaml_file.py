"""Reads a YAML file that people write, and remembers lines so that a refusal can name them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.engine.reading import read_regular
from pipeline.errors import ConfigError

Place = tuple[Path, int]  # file and line, from 1
Places = dict[tuple[str, ...], Place]

_MAX_NODES = 200_000  # scalars, lists and mappings of one file; the largest of ours has 9,000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_mapping(path: Path, places: Places, error: type[ConfigError] = ConfigError) -> dict[str, Any]:
    """Read one YAML mapping and note the line of every entry in `places`, by the keys that lead to it.

    Raises:
        ConfigError: as the class `error`; names file, line and reason.
    """
    node: yaml.Node | None = None
    try:
        text = read_regular(path).decode()
        node = yaml.compose(text, Loader=_LOADER)
        if node is not None:
            _refuse_endless(node, path, error)
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader either way
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not UTF-8 at byte {cause.start}") from cause
    except OSError as cause:
        raise error(f"{path}: cannot be read: {cause.strerror}") from cause
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        raise error(f"{path}:{line}: not YAML: {cause.problem}") from cause
    except yaml.YAMLError as cause:
        position = getattr(cause, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        raise error(f"{path}:{line}: not YAML: {str(cause).splitlines()[0]}") from cause
    except ValueError as cause:  # such as a date that no calendar has
        raise error(f"{path}:{_bad_scalar(node)}: {cause}") from cause
    except RecursionError as cause:
        raise error(f"{path}: nested too deeply") from cause
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise error(f"{path}:1: this file must be a mapping")
    if node is not None:
        _mark(node, (), path, places, error)
    return {str(key): value for key, value in content.items()}


def refusal(
    error: type[ConfigError],
    places: Mapping[tuple[str, ...], Place],
    loc: tuple[str, ...],
    reason: str,
    otherwise: Path,
) -> ConfigError:
    """Make an error that names the line of the nearest known place."""
    while loc and loc not in places:
        loc = loc[:-1]
    path, line = places.get(loc, (otherwise, 1))
    return error(f"{path}:{line}: {reason}")


def _refuse_endless(root: yaml.Node, path: Path, error: type[ConfigError]) -> None:
    """Refuse a file whose aliases hold themselves, or multiply it beyond what anybody would write."""
    waiting = [root]
    count = 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > _MAX_NODES:
            line = node.start_mark.line + 1
            raise error(f"{path}:{line}: too many entries once its aliases are put in; write less, or use more files")
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _bad_scalar(root: yaml.Node | None) -> int:
    """Find the line of the first scalar that has no value."""
    loader = yaml.SafeLoader("")
    waiting = [root] if root is not None else []
    lines = []
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
        else:
            try:
                loader.construct_object(node)
            except ValueError:
                lines.append(node.start_mark.line + 1)
    return min(lines, default=1)


def _mark(node: yaml.Node, loc: tuple[str, ...], path: Path, places: Places, error: type[ConfigError]) -> None:
    places[loc] = (path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:  # YAML would keep the last in silence
                raise error(f"{path}:{key.start_mark.line + 1}: {name!r} stands twice")
            seen.add(name)
            _mark(value, (*loc, name), path, places, error)
            places[(*loc, name)] = (path, key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _mark(value, (*loc, str(number)), path, places, error)
