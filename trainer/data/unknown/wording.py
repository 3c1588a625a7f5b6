"""The same finding in other words: words left out, exchanged for others that mean nearly the same, and added."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.finding import RawFinding, Severity
from pipeline.knowledge.schema import Knowledge
from pipeline.scorecard.payloads import HOSTILE
from trainer.data.unknown.material import Material

_PLAIN = re.compile(r"[A-Za-z]{3,}")
_HOSTILE = 0.05  # of the findings carry a text that speaks to whoever reads it
_SEVERITIES: Sequence[Severity] = ("low", "medium", "medium", "high", "high", "critical")
_SCANNERS = ("local_audit", "host_check", "baseline", "inspector")


class Wording:
    """Tells findings in other words; the same generator of numbers gives the same words."""

    def __init__(self, knowledge: Knowledge, material: Material) -> None:
        self._material = material
        self._groups: Mapping[str, Sequence[str]] = {
            word: group for group in knowledge.synonyms.values() for word in group
        }

    def vary(self, raw: RawFinding, rng: random.Random) -> RawFinding:
        """Tell a finding of a class in other words; severity and kind of thing stay."""
        drop, swap = rng.choice((0.0, 0.0, 0.1, 0.25)), rng.choice((0.0, 0.15, 0.35))
        title, description = (self._reworded(text or "", drop, swap, rng) for text in (raw.title, raw.description))
        name = raw.id if rng.random() < 0.5 else f"chk:{rng.randrange(10_000)}"
        return self._with_asides(replace(raw, id=name, title=title, description=description), rng)

    def about(self, raw: RawFinding, rng: random.Random) -> RawFinding:
        """Tell of a topic as some scanner would, which knows nothing of ours."""
        title = raw.title or ""
        words = " ".join(_PLAIN.findall(title)) or title
        frame = rng.choice(self._material.frames)
        made = replace(
            raw,
            scanner=rng.choice(_SCANNERS),
            severity=rng.choice(_SEVERITIES),
            title=frame.format(topic=title, words=words),
            description=rng.choice((raw.description or "", self._reworded(title, 0.2, 0.5, rng), "")),
        )
        return self.vary(made, rng)

    def _with_asides(self, raw: RawFinding, rng: random.Random) -> RawFinding:
        parts = [raw.description or ""]
        if rng.random() < 0.4:
            parts.append(rng.choice(self._material.asides))
        if rng.random() < _HOSTILE:
            parts.append(HOSTILE[rng.choice(sorted(HOSTILE))])
        return replace(raw, description=". ".join(part for part in parts if part))

    def _reworded(self, text: str, drop: float, swap: float, rng: random.Random) -> str:
        kept = []
        for word in text.split():
            bare = word.strip(".,;:()\"'")
            if _PLAIN.fullmatch(bare):
                if rng.random() < drop:
                    continue
                group = self._groups.get(bare.lower())
                if group is not None and rng.random() < swap:
                    word = rng.choice(group)
            kept.append(word)
        return " ".join(kept) or text
