"""Words of the scanner that are nearly those of a class: another case, other blanks, a full stop more."""

import re
from dataclasses import dataclass
from functools import lru_cache

_BLANKS = re.compile(r"\s+")
_END = " .!;:,\t\n\r\u3002"  # what a sentence may end in

EXACT = 3
ALIKE = 2
WITHIN = 1


@dataclass(slots=True, frozen=True)
class Words:
    """What a title or a description of a class is recognised by."""

    exact: re.Pattern[str]
    alike: re.Pattern[str]
    within: re.Pattern[str]

    def fit(self, text: str) -> int:
        """Say how well a text fits: `EXACT`, `ALIKE` but for case, blanks and the end, `WITHIN` a longer one, or 0."""
        if self.exact.search(text) is not None:
            return EXACT
        bare = _bare(text)
        if self.within.search(bare) is None:
            return 0
        return ALIKE if self.alike.search(bare) is not None else WITHIN

    def heard(self, text: str) -> str | None:
        """Give the text as the class knows it, without what stands after its end, or None where it is another text."""
        if self.exact.search(text) is not None:
            return text
        bare = text.strip(_END)
        return bare if self.exact.search(bare) is not None else None


@lru_cache(maxsize=16)  # one text is compared with many classes in a row
def _bare(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(_END)


def words_of(pattern: re.Pattern[str] | None) -> Words | None:
    """Make a pattern ready; None for one that takes any text, which says nothing."""
    if pattern is None or pattern.search("") is not None:
        return None
    text = pattern.pattern
    inner = text.removeprefix(r"\A").removesuffix(r"\Z")
    return Words(
        exact=pattern,
        alike=re.compile(text, re.IGNORECASE),
        within=re.compile(rf"(?<!\w)(?:{inner})(?!\w)", re.IGNORECASE),
    )
