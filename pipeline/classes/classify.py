"""What a finding is: class, slots, features, status; a pure function of report, policy profile and knowledge."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipeline.classes.compiled import ANY_SCANNER, CompiledClass, CompiledClasses, Reading
from pipeline.classes.inexact import resolve, rivals_of
from pipeline.features.registry import FeatureContext
from pipeline.finding import ClassBasis, Classified, RawFinding, ScanHeader, Status, StatusBasis
from pipeline.keys import canonical, digest, digest_bytes
from pipeline.report.sarif_state import status_of

_UNNAMED = re.compile(r"[^a-z0-9_]")


class Classifier:
    """Classifies the findings of one scan.

    Findings that say the same (exact twins) are worked out once. Not for several scans: what it
    remembers is bound to the header and the host.
    """

    def __init__(self, classes: CompiledClasses, header: ScanHeader, host: str) -> None:
        self._rules = classes
        self._context = FeatureContext(header=header, knowledge=classes.knowledge, profile=classes.profile)
        self._header = header
        self._host = host
        self._known: dict[str, Classified] = {}  # by content: the text itself would be kept for every finding

    def classify(self, raw: RawFinding) -> Classified:
        """Say what a finding is; never fails: what nobody knows is ``unknown.<scanner>``."""
        said = canonical(
            [
                raw.scanner, raw.id, raw.severity, raw.title, raw.description, raw.score, raw.metadata,
                raw.techniques, raw.extra, raw.escaped,
            ]
        )  # fmt: skip
        content = digest_bytes(said)
        known = self._known.get(content)
        if known is None:
            known = self._known[content] = self._as_reported(raw, self._classify(raw, content))
        return known

    def _as_reported(self, raw: RawFinding, found: Classified) -> Classified:
        """Give a finding the status that it has by the report's own word (SARIF only)."""
        status = status_of(raw, self._header)
        if status is None or status == found.status:
            return found
        situation = digest("situation", found.class_id, status, found.features, {"candidates": list(found.candidates)})
        return replace(found, status=status, status_basis="metadata", situation=situation)

    def _classify(self, raw: RawFinding, content: str) -> Classified:
        matching = [rule for rule in self._candidates(raw) if rule.matches(raw, self._header)]
        if len(matching) > 1:
            # A class of the scanner's own beats one that any scanner can emit.
            matching = [rule for rule in matching if rule.spec.scanner != ANY_SCANNER] or matching
        if len(matching) > 1:
            matching = [rule for rule in matching if rule.preferred(self._header)] or matching
        if not matching:
            return self._inexact(raw, content)
        basis: ClassBasis = "exact"
        if len(matching) == 1 and (raw.scanner is None or not matching[0].fits_shape(raw, self._header)):
            # Fields that speak for different classes: which of them was changed, nobody knows.
            rivals = rivals_of(matching[0], raw, self._header, self._candidates(raw))
            if rivals:
                matching, basis = [matching[0], *rivals], "shape"
        readings = [rule.read(raw, self._context) for rule in matching]
        if len(readings) == 1:
            return self._known_as(raw, content, matching[0], readings[0], basis)
        return self._ambiguous(raw, content, [rule.class_id for rule in matching], readings, basis)

    def _inexact(self, raw: RawFinding, content: str) -> Classified:
        """Say what a finding is that no class matches in everything."""
        rules, basis, doubted = resolve(raw, self._header, self._candidates(raw))
        readings = [rule.read_inexact(raw, self._context) for rule in rules]
        if not readings:
            return self._unknown(raw, content)
        if len(readings) == 1 and not doubted:
            return self._known_as(raw, content, rules[0], readings[0], basis)
        return self._ambiguous(raw, content, [rule.class_id for rule in rules], readings, basis)

    def _known_as(
        self, raw: RawFinding, content: str, rule: CompiledClass, reading: Reading, basis: ClassBasis
    ) -> Classified:
        # Escaped and plain text can look alike, so a fingerprint says which it holds.
        identity = [
            [name, reading.slots[name], rule.spec.slots[name].source in raw.escaped]
            for name in rule.identity
            if name in reading.slots
        ]
        return Classified(
            class_id=rule.class_id,
            candidates=(),
            scanner=raw.scanner or reading.slots.get("scanner") or rule.spec.scanner,
            slots=reading.slots,
            features=reading.features,
            status=reading.status,
            status_basis=reading.basis,
            title=reading.title,
            description=reading.description,
            metadata=reading.metadata,
            restored=reading.restored,
            fingerprint=digest("fingerprint", self._host, rule.class_id, identity),
            content=content,
            situation=digest("situation", rule.class_id, reading.status, reading.features),
            class_basis=basis,
        )

    def _candidates(self, raw: RawFinding) -> list[CompiledClass]:
        if raw.scanner is None:
            return self._rules.all
        return self._rules.by_scanner.get(raw.scanner, self._rules.any_scanner)

    def _ambiguous(
        self, raw: RawFinding, content: str, candidates: list[str], readings: list[Reading], basis: ClassBasis
    ) -> Classified:
        first = readings[0]
        slots = _shared(first.slots, [reading.slots for reading in readings])
        features = _shared(first.features, [reading.features for reading in readings])
        same_status = all(reading.status == first.status for reading in readings)
        status: Status = first.status if same_status else "unknown"
        scanner = raw.scanner or "unnamed"
        names = sorted(candidates)
        return Classified(
            class_id="ambiguous",
            candidates=tuple(names),
            scanner=scanner,
            slots=slots,
            features=features,
            status=status,
            status_basis=first.basis if same_status else "none",
            title=raw.title or _same(reading.title for reading in readings),
            description=raw.description or _same(reading.description for reading in readings),
            metadata=raw.metadata,
            restored=tuple(
                name
                for name in ("description", "title")
                if getattr(raw, name) is None and _same(getattr(reading, name) for reading in readings)
            ),
            fingerprint=digest("fingerprint", self._host, "ambiguous", scanner, raw.id, "id" in raw.escaped, names),
            content=content,
            situation=digest("situation", names, status, features),
            class_basis=basis,
        )

    def _unknown(self, raw: RawFinding, content: str) -> Classified:
        scanner = raw.scanner or "unnamed"
        class_id = f"unknown.{_UNNAMED.sub('_', scanner.lower())[:40] or 'unnamed'}"
        status: Status
        basis: StatusBasis = "severity"
        if self._header.rules_enabled:
            status, basis = "unknown", "none"
        else:
            status = {"info": "info", "error": "error"}.get(raw.severity, "open")  # type: ignore[assignment]
        return Classified(
            class_id=class_id,
            candidates=(),
            scanner=scanner,
            slots={},
            features={},
            status=status,
            status_basis=basis,
            title=raw.title or "",
            description=raw.description or "",
            metadata=raw.metadata,
            restored=(),
            fingerprint=digest(
                "fingerprint", self._host, class_id, raw.id, raw.title, "id" in raw.escaped, "title" in raw.escaped
            ),
            content=content,
            situation=digest("situation", class_id, status, {"severity": raw.severity}),
        )


def _shared(first: Mapping[str, str], every: Iterable[Mapping[str, str]]) -> dict[str, str]:
    every = list(every)
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in every)}


def _same(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ""
