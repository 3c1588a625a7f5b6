"""What a finding is that fits no class in every field: id and shape come first, words last.

A newer scanner, a translation or a tool on the way may word a finding otherwise. The id is what the scanner's own code
makes; severity and metadata tell sisters apart; words are believed only where these leave a choice, or to cast doubt. A
finding that the id does not lead to is never given a class by its words alone: they are easily shared by what is new.
The reasons stand in docs/decisions/0020-order-of-matching.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.classes.compiled import CompiledClass
from pipeline.finding import ClassBasis, RawFinding, ScanHeader


class Resolved(NamedTuple):
    """The classes that remain: none, one, or several; `doubted` is one that may still be something unknown."""

    rules: Sequence[CompiledClass]
    basis: ClassBasis
    doubted: bool = False


def resolve(raw: RawFinding, header: ScanHeader, candidates: Sequence[CompiledClass]) -> Resolved:
    """Find the classes that a finding can be of, when none matches in everything."""
    fitting = [rule for rule in candidates if rule.fits_id(raw) and rule.fits_metadata(raw, header)]
    left = [rule for rule in fitting if not rule.spec.match.open_id]
    basis: ClassBasis = "id"
    listed = False
    if not left:
        # A bare value for an id, which counts only where the rest fits; one that is listed counts for more.
        basis = "shape"
        left = [rule for rule in fitting if rule.is_listed(raw, header)]
        listed = bool(left)
        left = left or [rule for rule in fitting if rule.fits_shape(raw, header)]
    elif len(left) > 1:
        basis = "shape"
        left = [rule for rule in left if rule.fits_shape(raw, header)] or left
    if len(left) > 1:
        weights = [rule.words(raw)[0] for rule in left]
        best = max(weights)
        if best:
            left = [rule for rule, weight in zip(left, weights, strict=True) if weight == best]
            basis = "words"
    if len(left) > 1:
        left = [rule for rule in left if rule.preferred(header)] or left
    if not left:
        # The words know it, and the id does not: perhaps that kind of finding, perhaps a new one.
        return Resolved(_told(raw, header, candidates), "words", doubted=True)
    if len(left) > 1:
        return Resolved(left, basis)
    (only,) = left
    weight, told = only.words(raw)
    if told:
        return Resolved(left, basis)
    rivals = [rule for rule in _told(raw, header, candidates) if rule is not only]
    # SARIF names no scanner, and anybody's finding may have a path or a number as its id.
    unnamed = raw.scanner is None and only.spec.match.open_id and not listed and not weight
    # With a severity of its own and no words an id is little: a shorter one may be another's.
    wordless = raw.title is None and raw.description is None and not only.fits_shape(raw, header)
    return Resolved([only, *rivals], basis, doubted=unnamed or wordless)


def rivals_of(
    rule: CompiledClass, raw: RawFinding, header: ScanHeader, candidates: Sequence[CompiledClass]
) -> list[CompiledClass]:
    """List the classes that a finding may be of as well, although all that it carries matches one.

    Severity or metadata that are not this class's are those of another with the same words, or with the same form of
    id; or the id is more than a bare value, and another's.
    """
    rivals = []
    if not rule.fits_shape(raw, header):
        rivals = _told(raw, header, candidates)
        rivals += [other for other in candidates if other.tells_shape(header) and _fits(other, raw, header)]
    if raw.scanner is None and rule.spec.match.open_id:
        rivals += [other for other in candidates if not other.spec.match.open_id and _fits(other, raw, header)]
    return [other for other in dict.fromkeys(rivals) if other is not rule]


def _fits(rule: CompiledClass, raw: RawFinding, header: ScanHeader) -> bool:
    return rule.fits_id(raw) and rule.fits_metadata(raw, header) and rule.fits_shape(raw, header)


def _told(raw: RawFinding, header: ScanHeader, candidates: Sequence[CompiledClass]) -> list[CompiledClass]:
    """List the classes whose words these are, with a shape that fits."""
    return [
        rule
        for rule in candidates
        if rule.words(raw)[1] and rule.fits_metadata(raw, header) and rule.fits_shape(raw, header)
    ]
