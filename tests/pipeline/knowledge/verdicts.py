"""What the knowledge says about a classified finding beyond its class, for tests."""

import re

from pipeline.classes.template import fill
from pipeline.finding import Classified, ScanHeader
from pipeline.knowledge.predicates import View, compile_all
from pipeline.knowledge.schema import Predicate
from tests.pipeline.knowledge.real_scans import knowledge

_ANY_PLACEHOLDER = re.compile(r"[{}]")


def _holds(when: list[Predicate], found: Classified, severity: str, header: ScanHeader, profile: str) -> bool:
    view = View(
        header, slots=found.slots, features=found.features, metadata=found.metadata, status=found.status,
        severity=severity, class_id=found.class_id, title=found.title, description=found.description,
    )  # fmt: skip
    return compile_all(when, knowledge().expected, profile)(view)


def analysis_of(found: Classified, severity: str, header: ScanHeader, profile: str = "default") -> tuple[int, str, str]:
    """Give the number of the text that is used, and its assessment and impact with the slots put in."""
    for number, text in enumerate(knowledge().classes[found.class_id].analysis):
        if _holds(text.when, found, severity, header, profile):
            assessment, impact = fill(text.assessment, found.slots), fill(text.impact, found.slots)
            assert assessment is not None and impact is not None, (found.class_id, number, found.slots)
            assert not _ANY_PLACEHOLDER.search(assessment + impact), (found.class_id, number)
            return number, assessment, impact
    raise AssertionError(f"no analysis: {found.class_id} {found.status} {found.features}")


def artefacts_of(found: Classified, severity: str, header: ScanHeader, profile: str = "default") -> dict[str, str]:
    """Give the degree of each artefact that applies."""
    return {
        key: artefact.degree
        for key, artefact in knowledge().artefacts.items()
        if found.class_id in artefact.classes and _holds(artefact.when, found, severity, header, profile)
    }


def topics_of(found: Classified, severity: str, header: ScanHeader, profile: str = "default") -> set[str]:
    return {
        ref.topic
        for ref in knowledge().classes[found.class_id].topics
        if _holds(ref.when, found, severity, header, profile)
    }


def remediations_of(found: Classified, severity: str, header: ScanHeader, profile: str = "default") -> list[str]:
    return [
        ref.use
        for ref in knowledge().classes[found.class_id].remediation
        if _holds(ref.when, found, severity, header, profile)
    ]
