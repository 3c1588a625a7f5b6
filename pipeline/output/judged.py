"""The findings of a scan, as their lines have them: what a scan record is made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.classes.scan import ScanIndex
from pipeline.finding import Level
from pipeline.retrieval.likely import Likely
from pipeline.rules.judge import Judgement


@dataclass(slots=True, frozen=True)
class Judged:
    """The findings of a scan, as their lines have them.

    Attributes:
        judgements, levels: by position in the report; the levels in effect.
        say: gives assessment and impact of the finding at a position.
        likely: says what it looks like, where its kind is not known.
    """

    index: ScanIndex
    judgements: Sequence[Judgement]
    levels: Sequence[Level]
    say: Callable[[int], tuple[str, str]]
    likely: Callable[[int], Likely | None]
