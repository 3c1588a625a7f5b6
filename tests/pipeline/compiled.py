"""Compiled classes, once for a knowledge."""

from pipeline.classes.compiled import CompiledClasses
from pipeline.knowledge.schema import Knowledge

_KNOWN: dict[tuple[str, str], CompiledClasses] = {}


def compiled(knowledge: Knowledge, profile: str = "default") -> CompiledClasses:
    key = (knowledge.digest, profile)
    if key not in _KNOWN:
        _KNOWN[key] = CompiledClasses(knowledge, profile)
    return _KNOWN[key]
