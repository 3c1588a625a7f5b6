"""What a scan record says of findings whose kind is not known, or not by the scanner's own words."""

from pipeline.analysis.question import UNKNOWN
from pipeline.display import printable
from pipeline.finding import Classified
from pipeline.output.records import IssueLikely
from pipeline.retrieval.likely import Likely
from pipeline.rules.judge import Judgement


def reported(finding: Classified, judgement: Judgement) -> str | None:
    """Give the scanner's own words where its kind is not known, or not by them."""
    if judgement.class_id != finding.class_id:
        return None
    if finding.class_id.startswith(UNKNOWN):
        return printable(finding.description) or None  # the title is the issue's own
    if finding.candidates or finding.class_basis != "exact":
        return printable(": ".join(text for text in (finding.title, finding.description) if text)) or None
    return None


def issue_likely(likely: Likely | None) -> IssueLikely | None:
    """Cut what a finding looks like to what an issue says of it."""
    if likely is None or not likely.topics:
        return None
    return IssueLikely(likely.topics[0].topic, likely.topics[0].title, likely.look)
