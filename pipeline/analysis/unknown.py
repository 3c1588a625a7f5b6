"""What is said of a finding of a kind that nobody knows: what it seems to be about, and what to look at first."""

from collections.abc import Sequence

from pipeline.analysis.question import Unknown
from pipeline.finding import Level
from pipeline.retrieval.likely import Likely
from pipeline.retrieval.retriever import Candidate

CLOSE = 0.5  # what is at least half as likely as the first topic is named, too
_STEPS = 20  # that scores are told in: of five per cent each


def unknown_of(tokens: tuple[str, ...], candidates: Sequence[Candidate], ceiling: Level) -> Unknown:
    """Put together what a model is asked about a finding that no class knows."""
    return Unknown(
        tokens=tokens,
        topics=tuple(one.topic for one in candidates),
        ceiling=ceiling,
        scores=tuple(round(_STEPS * one.score) * (100 // _STEPS) for one in candidates),
    )


def tell(likely: Likely) -> tuple[str, str]:
    """Give assessment and impact; only words of closed lists."""
    if not likely.claimed:
        return (
            "No knowledge of this kind of finding, and its words are not enough to say what it is about.",
            "Not assessed: the scanner's own severity stands. Newer knowledge, or an entry of yours in knowledge.d, "
            "can say more.",
        )
    first = likely.topics[0]
    others = [topic.title for topic in likely.topics[1:] if topic.score >= CLOSE * first.score]
    instead = f" It may also be about: {'; '.join(others)}." if others else ""
    look = f" {likely.look.summary}" if likely.look is not None else ""
    return (
        f"No known kind of finding. Seems to be about: {first.title} (it speaks of {', '.join(first.evidence)})."
        f"{instead}",
        f"A guess by words, not a mapping: the scanner's own severity stands.{look}",
    )
