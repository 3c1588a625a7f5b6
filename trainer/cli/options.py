"""Options made of settings models: a field is an option, so that a new field needs no second line."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from trainer.settings import RecipeSettings, as_text, make_settings, option_of

Command = Callable[..., None]

_METAVARS: dict[Any, str] = {int: "<int>", float: "<float>", str: "<str>"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def options_from(kind: type[RecipeSettings]) -> Callable[[Command], Command]:
    """Give a command an option for each field of a model, in place of its parameter `settings`.

    Values stay text until the model judges them, so that a bad one gets the same message from everywhere.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.name != "settings"]
        parameters = [*own, *(_parameter(name, field) for name, field in kind.model_fields.items())]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {name: _value(field, values.pop(name)) for name, field in kind.model_fields.items()}
            command(**values, settings=make_settings(kind, given))

        # What Typer reads: refuses, by itself, a name that stands twice.
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    option = option_of(name)
    annotation: Any
    if field.annotation is bool:
        default: str | bool = field.default
        annotation = Annotated[bool, typer.Option(f"{option}/{option_of(f'no_{name}')}", help=_help(field))]
    else:
        default = as_text(field.default)
        annotation = Annotated[str, typer.Option(option, metavar=_metavar(field), help=_help(field))]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _metavar(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return f"[{'|'.join(str(value) for value in get_args(field.annotation))}]"
    if get_origin(field.annotation) is tuple:
        return "<str,...>"
    return _METAVARS[field.annotation]


def _help(field: FieldInfo) -> str:
    """Add to a description what is out of range."""
    bounds = ", ".join(_bounds(field))
    return f"{field.description}  ({bounds})" if bounds else str(field.description)


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for attribute, sign in _BOUNDS.items():
            if hasattr(constraint, attribute):
                yield f"{sign} {getattr(constraint, attribute)}"


def _value(field: FieldInfo, given: str | bool) -> Any:
    """Make of a text what the model takes where it takes no text."""
    if isinstance(given, bool):
        return given
    if get_origin(field.annotation) is tuple:
        return tuple(part for part in given.split(",") if part)
    if get_origin(field.annotation) is Literal:
        named: Mapping[str, Any] = {str(value): value for value in get_args(field.annotation)}
        return named.get(given, given)
    return given
