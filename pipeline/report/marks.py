"""Resolves the marks that `pipeline.report.lexer` leaves in place of what the strict parser refuses."""

from typing import Any, Final

from pipeline.errors import QuarantineReason
from pipeline.finding import Note
from pipeline.report.lexer import (
    KIND_BIG,
    KIND_CONTROL,
    KIND_DEEP,
    KIND_ESCAPED,
    KIND_NUMBER,
    KIND_REPEATED,
)

MAX_PATH_CHARS = 200
_FAULTS: Final[dict[str, tuple[QuarantineReason, str]]] = {
    KIND_CONTROL: ("control_character", "raw control characters inside a string"),
    KIND_NUMBER: ("invalid_number", "not a finite number"),
    KIND_DEEP: ("too_deep", "nested deeper than limits.max_depth"),
}


class Flaw(Exception):
    """Raised when a finding contains something that cannot be used; the caller turns it into a `Reject`.

    Attributes:
        path: within the finding; empty for the finding itself.
    """

    def __init__(self, reason: QuarantineReason, path: str, detail: str) -> None:
        super().__init__(detail)
        self.reason: QuarantineReason = reason
        self.path = path
        self.detail = detail


def resolve(value: Any, marker: str, path: str, escaped: list[str]) -> Any:
    """Return `value` with its marks replaced by what they stand for; paths of escaped strings are added to `escaped`.

    Raises:
        Flaw: at the first mark that stands for no usable value.
    """
    if type(value) is str:
        return _resolve_text(value, marker, path, escaped)
    if type(value) is list:
        return [resolve(item, marker, f"{path}[{index}]"[:MAX_PATH_CHARS], escaped) for index, item in enumerate(value)]
    if type(value) is dict:
        repeated = value.get(marker + KIND_REPEATED)
        if repeated is not None:
            names = ", ".join(sorted(strip(name, marker) for name in repeated))
            raise Flaw("duplicate_key", join(path, names), "a key occurs twice with different values")
        resolved: dict[str, Any] = {}
        for key, item in value.items():
            name = _resolve_text(key, marker, path, [])
            place = join(path, name)
            if name in resolved:
                raise Flaw("duplicate_key", place, "two keys are the same once escaped")
            if key is not name and key != name:
                escaped.append(place)
            resolved[name] = resolve(item, marker, place, escaped)
        return resolved
    return value


def resolve_header(value: Any, marker: str, flaws: list[Note]) -> Any:
    """Return a header value with its marks resolved; unusable parts are left out and noted in `flaws`.

    A key that is repeated with different values is left out too: neither value can be preferred.
    """
    if type(value) is str and value.startswith(marker):
        kind = value[1:2]
        if kind in _FAULTS:
            flaws.append("bad_header_field")
            return None
        return value[2:]
    if type(value) is list:
        return [resolve_header(item, marker, flaws) for item in value]
    if type(value) is dict:
        repeated = value.get(marker + KIND_REPEATED, {})
        if repeated:
            flaws.append("duplicate_header_key")
        return {
            strip(key, marker): resolve_header(item, marker, flaws)
            for key, item in value.items()
            if key not in repeated and key != marker + KIND_REPEATED
        }
    return value


def strip(value: Any, marker: str) -> Any:
    """Return `value` with every mark reduced to the text it carries, for people to read."""
    if type(value) is str:
        return value[2:] if value.startswith(marker) else value
    if type(value) is list:
        return [strip(item, marker) for item in value]
    if type(value) is dict:
        return {
            "(repeated keys)" if key == marker + KIND_REPEATED else strip(key, marker): strip(item, marker)
            for key, item in value.items()
        }
    return value


def occurrences(value: dict[str, Any], key: str, marker: str) -> list[Any]:
    """Return the values of `key` in an object, in order: several where it is repeated with different values."""
    if marker:
        repeated = value.get(marker + KIND_REPEATED)
        if repeated is not None and key in repeated:
            several: list[Any] = repeated[key]
            return several
    return [value[key]] if key in value else []


def join(path: str, name: str) -> str:
    """Return the path of `name` in `path`, cut: a key has no limit, and all that lies below would repeat it."""
    return (f"{path}.{name[:MAX_PATH_CHARS]}" if path and name else path or name)[:MAX_PATH_CHARS]


def _resolve_text(text: str, marker: str, path: str, escaped: list[str]) -> str:
    if not text.startswith(marker):
        return text
    kind = text[1:2]
    if kind in _FAULTS:
        reason, detail = _FAULTS[kind]
        if kind == KIND_DEEP:  # the full path would be as long as the limit is deep; its first field is enough
            path = ".".join(path.split(".")[:2]).split("[")[0]
        raise Flaw(reason, path, detail)
    if kind == KIND_ESCAPED:
        escaped.append(path)
    elif kind != KIND_BIG:
        raise AssertionError(f"no such mark: {kind!r}")  # the marker does not occur in the input
    return text[2:]
