"""What is checkpointed of a batch: row numbers and words of closed lists, which a restart must not decide again."""

from typing import TypedDict

VERSION = 2  # of the state and of what the nodes make of it


class BatchState(TypedDict, total=False):
    """The state; each key names its writer and its readers.

    Findings stand in it as their positions in the report.

    Attributes:
        scan_no, first, last: which findings of which scan.
        kinds: the findings that say something of their own; `classify` → `correlate`, which takes them away.
        cases: those to be judged, one of each kind and of each set of correlations; `correlate` → `judge`, `ask`.
        evidence: digest of what the rules made of `cases`; `judge` → the resume, which compares it.
        asked: for each distinct question, the first finding that has it; `ask` → `recall`, `remediate`, `finalise`.
        open: those of `asked` that want an answer; `recall`, `critique`, `fallback` → the nodes that answer.
        attempt: how often the model was asked; `analyse` → itself, and the way back from `critique`.
        decided: ``model``, or the reason why the rules answer → which of `asked`; all others were in the cache.
            `critique`, `fallback` → `remediate`, `finalise`.
        actions: for each of `asked`, which of the fitting actions comes first, or -1; `remediate` → `finalise`.
        seal: digest of the lines; `finalise` → the resume, which compares it.
    """

    scan_no: int
    first: int
    last: int
    kinds: list[int]
    cases: list[int]
    evidence: str
    asked: list[int]
    open: list[int]
    attempt: int
    decided: dict[str, list[int]]
    actions: list[int]
    seal: str


def thread_name(resources_digest: str, scan_id: str, first: int, last: int) -> str:
    """Name the thread of a batch; what other knowledge, policy, model or code began is never gone on with."""
    return f"{resources_digest}.{VERSION}:{scan_id}:{first}-{last}"
