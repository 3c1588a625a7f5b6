"""The table of feature functions, which classes of the knowledge refer to by name.

A feature function is pure: ``fn(context, *args, **options) -> str | None``. `args` are the slot (or metadata)
values that the class lists, None where the finding lacks one; `options` are the strings that the class passes. The
result is a word of a small closed vocabulary, taken from our code or lists and never from a value that the host
controls, or None where nothing is known.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge

Feature = Callable[..., str | None]
FEATURES: dict[str, Feature] = {}


@dataclass(slots=True, frozen=True)
class FeatureContext:
    """What a feature function may use besides its arguments.

    Attributes:
        knowledge: for the curated lists (`paths`, `units`, `roles`, `modules`, `tools`).
        profile: of the policy; it selects among expected values.
    """

    header: ScanHeader
    knowledge: Knowledge
    profile: str


def feature(fn: Feature) -> Feature:
    """Register a function under its own name.

    Raises:
        ValueError: if the name is taken.
    """
    name = fn.__name__
    if name in FEATURES:
        raise ValueError(f"feature {name!r} is defined twice")
    FEATURES[name] = fn
    return fn
