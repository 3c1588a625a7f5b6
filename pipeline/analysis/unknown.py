"""What is said of a finding of a kind that nobody knows: what it seems to be about, and what to look at first."""

from pipeline.retrieval.likely import Likely

CLOSE = 0.8  # of the first topic's score: what comes so near is named, too


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
