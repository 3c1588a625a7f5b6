"""What happens to a partition, counted for metrics."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Since the process began, whoever had the partition in between.

    Attributes:
        acquisitions: by kind.
        fenced: transactions that somebody else's claim ended.
        transactions, transaction_s: committed, and how long they took from their first record to their end.
        letters: records sent on because they could not be used.
        gaps: times that records were gone before they were read.
        paused_s: for how long nothing was read, because too much waits or too much was refused.
    """

    acquisitions: Counter[str] = field(default_factory=Counter)
    fenced: int = 0
    transactions: int = 0
    transaction_s: float = 0.0
    letters: int = 0
    gaps: int = 0
    paused_s: float = 0.0
