"""What the knowledge says about a classified finding (text, remediations, artefacts, topics), from its entries."""

from collections.abc import Sequence

from pipeline.classes.classify import Classifier
from pipeline.classes.template import fill
from pipeline.finding import Classified, RawFinding, ScanHeader
from pipeline.knowledge.predicates import View, compile_all
from pipeline.knowledge.schema import Predicate
from tests.pipeline.compiled import compiled
from tests.pipeline.knowledge.real_scans import knowledge

JSON = ScanHeader("json", host="h")


def classify(raw: RawFinding, header: ScanHeader = JSON) -> Classified:
    return Classifier(compiled(knowledge(), "default"), header, "h").classify(raw)


def text(found: Classified, header: ScanHeader = JSON) -> tuple[str, str]:
    """Assessment and impact, filled in."""
    for entry in knowledge().classes[found.class_id].analysis:
        if _holds(entry.when, found, header):
            filled = fill(entry.assessment, found.slots), fill(entry.impact, found.slots)
            assert filled[0] is not None and filled[1] is not None, (found.class_id, entry)
            return filled[0], filled[1]
    raise AssertionError(f"nothing is said about {found}")


def remediations(found: Classified, header: ScanHeader = JSON) -> list[tuple[str, dict[str, str]]]:
    """Id and parameters (filled in where they are templates over slots)."""
    return [
        (ref.use, {name: fill(value, found.slots) or value for name, value in ref.with_.items()})
        for ref in knowledge().classes[found.class_id].remediation
        if _holds(ref.when, found, header)
    ]


def artefacts(found: Classified, header: ScanHeader = JSON) -> dict[str, str]:
    """Id → degree of every artefact that applies."""
    return {
        key: entry.degree
        for key, entry in sorted(knowledge().artefacts.items())
        if found.class_id in entry.classes and _holds(entry.when, found, header)
    }


def topics(found: Classified, header: ScanHeader = JSON) -> list[str]:
    return [ref.topic for ref in knowledge().classes[found.class_id].topics if _holds(ref.when, found, header)]


def _holds(when: Sequence[Predicate], found: Classified, header: ScanHeader) -> bool:
    subject = View(
        header,
        slots=found.slots,
        features=found.features,
        metadata=found.metadata,
        status=found.status,
        class_id=found.class_id,
        title=found.title,
        description=found.description,
    )
    return compile_all(when, knowledge().expected, "default")(subject)
