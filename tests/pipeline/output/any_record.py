"""Records made up from their types alone: one that holds everything, and any that the types allow."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st

from pipeline.contract import Day, Digest, Hash, Items, Pattern, Range, TechniqueId, Time, record_fields
from pipeline.output.records import Analysis, FirstAction
from pipeline.rules.remediate import Action

Way = tuple[str | int, ...]

_TEXTS = {
    get_args(hint)[1].expression: text
    for hint, text in (
        (Digest, "0123456789abcdef" * 2), (Time, "2026-11-02T03:00:00Z"), (Day, "2026-11-02"),
        (TechniqueId, "T1055.001"), (Hash, "0123456789abcdef" * 4),
    )
}  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def full(hint: Any) -> Any:
    """A value of a type with nothing left out: no null, no empty list, all words of an enumeration as keys."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        patterns = [one.expression for one in arguments[1:] if isinstance(one, Pattern)]
        return _TEXTS[patterns[0]] if patterns else full(arguments[0])
    if origin in (Union, types.UnionType):
        return full(next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return (full(arguments[0]),)
    if origin is Mapping:
        keys = get_args(arguments[0]) if get_origin(arguments[0]) is Literal else ("key",)
        return {key: full(arguments[1]) for key in keys}
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return _sound(hint(**{field.name: full(field.hint) for field in record_fields(hint)}))
    return {str: "text", int: 1, bool: True, Any: {"any": ["thing", 1, None]}}[hint]


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Every value that a type and what describes it allow."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _described(arguments[0], arguments[1:])
    if origin in (Union, types.UnionType):
        return st.one_of([st.none() if one is type(None) else any_of(one) for one in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(any_of(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(any_of(arguments[0]), any_of(arguments[1]), max_size=2)
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return st.builds(hint, **{field.name: any_of(field.hint) for field in record_fields(hint)}).map(_sound)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=8), int: st.integers(-(2**63), 2**63 - 1), bool: st.booleans(), Any: JSON,
    }  # fmt: skip
    return plain[hint]


def keys_of(document: Any, way: Way = ()) -> Iterator[tuple[Way, dict[str, Any]]]:
    """Each key of a document that is ours, and the object that holds it; not what the report itself says."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield (*way, key), document
            if key not in ("metadata", "extra", "slots", "features", "split"):
                yield from keys_of(value, (*way, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from keys_of(value, (*way, number))


def _described(inner: Any, by: tuple[object, ...]) -> st.SearchStrategy[Any]:
    for one in by:
        if isinstance(one, Pattern):
            return st.from_regex(one.expression, fullmatch=True)
        if isinstance(one, Range):
            return st.integers(one.least, 2**63 - 1 if one.greatest is None else one.greatest)
        if isinstance(one, Items):
            most = one.least + 2 if one.most is None else min(one.most, one.least + 2)
            item = any_of(get_args(inner)[0])
            return st.lists(item, min_size=one.least, max_size=most, unique=one.unique).map(tuple)
    return any_of(inner)


def _sound(record: Any) -> Any:
    """Make hold what holds between the fields of one record."""
    if isinstance(record, Analysis) and record.origin == "rules":
        return replace(record, model=None, fallback_reason=record.fallback_reason or "no_model")
    if isinstance(record, Analysis):
        return replace(record, fallback_reason=None)
    if isinstance(record, Action | FirstAction) and record.contraindicated is not None:
        return replace(record, command=None)
    return record
