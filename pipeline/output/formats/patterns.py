"""What belongs together in a scan: the patterns of its record, with names of the findings that are part of them."""

from dataclasses import dataclass
from typing import Final

from pipeline.finding import LEVELS
from pipeline.output.formats.overview import Overview
from pipeline.output.records import ScanCorrelation, ScanRecord

MOST: Final = 50  # patterns that are told


@dataclass(slots=True, frozen=True)
class Pattern:
    """One pattern.

    Attributes:
        names: of those of its findings that are at hand, at most ten, each once; settled ones say so.
        more: findings that are part of it beside these.
    """

    group: ScanCorrelation
    names: tuple[str, ...]
    more: int

    @property
    def about(self) -> str:
        """Say how many findings are part of it, and name some."""
        many = self.group.findings
        count = "1 finding is part of it" if many == 1 else f"{many:,} findings are part of it"
        if not self.names:
            return f"{count}, but they are not at hand here."
        return f"{count}: {', '.join(self.names)}{f', and {self.more:,} more' if self.more > 0 else ''}."


def patterns(seen: Overview, record: ScanRecord | None) -> tuple[list[Pattern], int]:
    """Give the patterns of a scan, the worst first, and how many more there are, none of a higher level."""
    groups = sorted(record.correlations if record is not None else (), key=lambda one: -LEVELS.index(one.level))
    return [_pattern(group, seen) for group in groups[:MOST]], max(0, len(groups) - MOST)


def _pattern(group: ScanCorrelation, seen: Overview) -> Pattern:
    held = [seen.members[key] for key in group.members if key in seen.members]
    return Pattern(group, tuple(dict.fromkeys(held)), group.findings - len(held))
