"""Texts with ``{slot}`` placeholders."""

import re
from collections.abc import Mapping

_FIELD = re.compile(r"\{([a-z0-9_]+)\}")


def placeholders(template: str) -> list[str]:
    """Name the slots that a template asks for."""
    return _FIELD.findall(template)


def fill(template: str, slots: Mapping[str, str]) -> str | None:
    """Put slots into a template, or return None when one of them is missing."""
    if "{" not in template:
        return template
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        text = slots.get(match[1])
        missing = missing or text is None
        return text or ""

    text = _FIELD.sub(value, template)
    return None if missing else text
