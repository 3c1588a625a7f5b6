"""Models of the test's own: right, wrong, silent; a text for a prompt, as any model."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.analysis.prompt import INSTRUCTION, RESPONSE, Case, render_prompt, render_response
from pipeline.engine.generator import Grammar
from pipeline.scorecard.cases import GoldCase


class Speaker:
    """Says what a function makes of the prompt; remembers what it was shown."""

    digest = "speaker"

    def __init__(self, speak: Callable[[dict[str, Any], dict[str, Any]], str]) -> None:
        self._speak = speak
        self.shown: list[dict[str, Any]] = []

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        self.shown.append(json.loads(prompt.removeprefix(INSTRUCTION).removesuffix(RESPONSE)))
        return self._speak(self.shown[-1], json.loads(grammar.schema)["properties"])

    def close(self) -> None:
        pass


class Teacher:
    """Gives the right answer to every case of a holdout."""

    digest = "teacher"

    def __init__(self, cases: Sequence[GoldCase]) -> None:
        self._answers = {render_prompt(one.case): render_response(one.answer) for one in cases}

    def generate(self, prompt: str, grammar: Grammar, max_tokens: int) -> str:
        return self._answers[prompt]

    def close(self) -> None:
        pass


def plainly(shown: dict[str, Any], allowed: dict[str, Any], assessment: str = "The scanner is probably right.") -> str:
    """Answer with the least that the grammar allows."""
    body = {"level": allowed["level"]["enum"][0], "assessment": assessment, "impact": "None that is known."}
    return json.dumps({**body, "action": None, "controls": "", "techniques": ""})


def a_case(class_id: str = "suid_sgid.usr_local", **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "class_id": class_id, "category": "suid", "title": "Set-id program", "status": "open", "floor": "low",
        "features": {"owner": "none"}, "placeholders": ("path",),
        "controls": ("nist_800_53_r5:AC-6", "nist_800_53_r5:CM-7"), "techniques": ("T1548.001",),
        "actions": ("file.mode",), **changes,
    }  # fmt: skip
    return Case(**fields)


def line_of(path: Path, number: int, text: bytes) -> None:
    """Put another line into a file of lines."""
    lines = path.read_bytes().splitlines()
    lines[number - 1] = text
    path.write_bytes(b"\n".join(lines) + b"\n")
