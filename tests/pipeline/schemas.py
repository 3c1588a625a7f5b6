"""Validation against the published schemas, fast enough for every line of every scan."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from pipeline.keys import canonical

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"


class Contract:
    """One published schema.

    Values of a key repeat from line to line, so each different one is validated once: the top level of a schema holds
    only `properties`, `required` and `additionalProperties`, which makes that the same as validating the whole.
    """

    def __init__(self, name: str) -> None:
        self.schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
        Draft202012Validator.check_schema(self.schema)
        assert set(self.schema) == {
            "$schema", "$id", "title", "description", "type", "additionalProperties", "required", "properties",
        }  # fmt: skip
        self.whole = Draft202012Validator(self.schema)
        self._keys = {key: Draft202012Validator(part) for key, part in self.schema["properties"].items()}
        self._sound: set[tuple[str, bytes]] = set()

    def check(self, document: dict[str, Any]) -> None:
        assert document.keys() <= self._keys.keys(), document.keys() - self._keys.keys()
        assert document.keys() >= set(self.schema["required"]), set(self.schema["required"]) - document.keys()
        for key, value in document.items():
            mark = key, canonical(value)
            if mark not in self._sound:
                self._keys[key].validate(value)
                self._sound.add(mark)


@lru_cache(maxsize=8)
def contract(name: str) -> Contract:
    return Contract(name)
