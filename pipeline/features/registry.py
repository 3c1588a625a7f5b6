"""The table of feature functions that classes of the knowledge name.

A feature function is pure: ``fn(context, *args, **options) -> str | None``. `args` are the slot (or metadata)
values that the class lists, None where the finding does not have one; `options` are the strings that the class
gives. The result is a word of a small closed vocabulary that our own code or lists spell (never a piece of a
value that the host's owner chose), or None where nothing can be said.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge

Feature = Callable[..., str | None]
FEATURES: dict[str, Feature] = {}


@dataclass(slots=True, frozen=True)
class FeatureContext:
    """What a feature may look at beside its arguments.

    Attributes:
        knowledge: for the curated lists (`paths`, `units`, `roles`, `modules`, `tools`).
        profile: the policy's profile, which decides between expected values.
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
