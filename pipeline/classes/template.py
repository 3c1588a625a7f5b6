"""Texts with ``{slot}`` placeholders."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

_FIELD = re.compile(r"\{([a-z0-9_]+)\}")


def placeholders(template: str) -> list[str]:
    """Name the slots that a template asks for."""
    return _FIELD.findall(template)


def fill(template: str, slots: Mapping[str, str], show: Callable[[str], str] = str) -> str | None:
    """Put slots into a template, each as `show` gives it, or return None when one of them is missing."""
    first, rest = _parts(template)
    if not rest:
        return first
    filled = [first]
    for name, literal in rest:
        value = slots.get(name)
        if value is None:
            return None
        filled += show(value), literal
    return "".join(filled)


@lru_cache(maxsize=4096)
def _parts(template: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Split a template into what stands before the first slot, and each slot with what follows it."""
    first, *rest = _FIELD.split(template)
    return first, tuple(zip(rest[::2], rest[1::2], strict=True))
