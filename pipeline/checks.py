"""What comes of looking at a thing that may not be well; `doctor` of the agent and of the trainer list such."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "problem"]


@dataclass(slots=True, frozen=True)
class Check:
    """What was looked at, how it is, and what to do when it is not well."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""
