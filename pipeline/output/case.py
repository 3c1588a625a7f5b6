"""What a verdict keeps of the finding that it was given on: what was asked and said, in words of closed lists only.

Nothing in it was chosen by whoever owns the host: no path, no name, not even that of an unknown scanner. So a model can
learn from it, and it may leave the host.
"""

from typing import Any

from pipeline.analysis.question import THREAT_INTEL, UNKNOWN
from pipeline.output.records import EnrichedFinding
from pipeline.review.verdict import Situation


def case_of(line: EnrichedFinding, situation: Situation) -> dict[str, Any]:
    """Give what a model would have been asked about a finding, and what was said.

    ``said`` is what the reviewer saw; the rest makes the question (`pipeline.analysis.question.Question`).
    """
    analysis = line.analysis
    context = {group.rule for group in line.correlations} | ({THREAT_INTEL} if line.threat_intel else set())
    fitting = [action.id for action in line.remediation if action.contraindicated is None]
    barred = [action.id for action in line.remediation if action.contraindicated is not None]
    known = not situation.class_id.startswith(UNKNOWN)
    return {
        "class": situation.class_id if known else UNKNOWN.rstrip("."),
        "candidates": list(situation.candidates),
        "status": line.status if line.review is None else line.review.status_without,
        "floor": line.risk.floor,
        "features": dict(situation.features),
        "context": sorted(context),
        "slots": sorted(line.slots) if known else [],
        "artefact": None if line.artefact is None else [line.artefact.id, line.artefact.degree],
        "controls": [f"{one.framework}:{one.control}" for one in line.compliance if one.caution is None],
        "techniques": [one.technique for one in line.attack],
        "evidence": situation.status in ("open", "passed"),
        "actions": list(dict.fromkeys(fitting)),
        "barred": list(dict.fromkeys(barred)),
        "said": {
            "origin": analysis.origin,
            "status": line.status,
            "level": line.risk.level,
            "action": analysis.action,
            "controls": [f"{one.framework}:{one.control}" for one in analysis.controls],
            "techniques": list(analysis.techniques),
            "key": analysis.key,
            "situation": analysis.situation,
            "knowledge": line.provenance.knowledge,
            "runtime": line.provenance.runtime,
        },
    }
