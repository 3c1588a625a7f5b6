"""What the rules pick out of a question: the action to take first, and the controls and techniques to name."""

from dataclasses import dataclass

from pipeline.analysis.case import MAX_ACTIONS, selection
from pipeline.analysis.question import Question
from pipeline.finding import Status
from pipeline.knowledge.schema import Knowledge

_SETTLED: frozenset[Status] = frozenset({"passed", "accepted", "false_positive"})
_EVIDENCE: frozenset[Status] = frozenset({"open", "passed"})
_LOOKS_ONLY = frozenset({"accept", "manual"})  # kinds of remediation that change nothing by themselves
_OF_SCANNER = "scanner."  # begins the name of a remediation that mends the scan, not the host


@dataclass(slots=True, frozen=True)
class Choice:
    """What was picked; controls as ``framework:id``, the strongest claim first."""

    action: str | None
    controls: tuple[str, ...]
    techniques: tuple[str, ...]


def choose(question: Question, knowledge: Knowledge) -> Choice:
    """Pick the first action that the knowledge lists, and what the finding is evidence for or against.

    Where the scanner is certainly wrong there is only something to look at, and no evidence.
    """
    is_misread = question.artefact is not None and question.artefact[1] == "certain"
    actions = () if question.status in _SETTLED else question.actions[:MAX_ACTIONS]
    if is_misread:
        actions = tuple(name for name in actions if _only_looks(name, knowledge))
    is_evidence = question.evidence and question.status in _EVIDENCE and not is_misread
    controls, techniques = selection(question) if is_evidence else ((), ())
    return Choice(actions[0] if actions else None, controls, techniques if question.status == "open" else ())


def _only_looks(name: str, knowledge: Knowledge) -> bool:
    known = knowledge.remediations.get(name)
    return name.startswith(_OF_SCANNER) or (known is not None and known.kind in _LOOKS_ONLY)
