"""Finding classes made ready to match findings and to read them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.classes.template import fill
from pipeline.classes.words import Words, words_of
from pipeline.features import load_features
from pipeline.features.registry import Feature, FeatureContext
from pipeline.finding import RawFinding, ScanHeader, Status, StatusBasis
from pipeline.keys import canonical
from pipeline.knowledge.predicates import Test, View, compile_all
from pipeline.knowledge.schema import ClassSpec, Knowledge, Predicate, RestoreCase

ANY_SCANNER = "*"


@dataclass(slots=True)
class Reading:
    """What one class makes of a finding."""

    slots: dict[str, str]
    features: dict[str, str]
    status: Status
    basis: StatusBasis
    title: str
    description: str
    metadata: dict[str, Any]
    restored: tuple[str, ...]


class CompiledClass:
    """A finding class made ready to match; patterns and tests are compiled when first needed."""

    def __init__(self, class_id: str, spec: ClassSpec, knowledge: Knowledge, profile: str) -> None:
        self.class_id = class_id
        self.spec = spec
        self.identity = sorted(name for name, slot in spec.slots.items() if slot.identity)
        self._knowledge = knowledge
        self._profile = profile

    @cached_property
    def _id(self) -> re.Pattern[str]:
        return re.compile(self.spec.match.id)

    @cached_property
    def _title(self) -> re.Pattern[str] | None:
        return re.compile(self.spec.match.title) if self.spec.match.title is not None else None

    @cached_property
    def _description(self) -> re.Pattern[str] | None:
        return re.compile(self.spec.match.description) if self.spec.match.description is not None else None

    @cached_property
    def _severities(self) -> frozenset[str]:
        return frozenset(self.spec.match.severities)

    @cached_property
    def _metadata(self) -> Test:
        return compile_all(self.spec.match.metadata, self._knowledge.expected, self._profile)

    @cached_property
    def _shape(self) -> Test | None:
        shape = self.spec.match.shape
        return compile_all(shape, self._knowledge.expected, self._profile) if shape else None

    @cached_property
    def _told(self) -> tuple[Words | None, Words | None]:
        """Give what title and description are recognised by; None where the class takes any text."""
        return words_of(self._title), words_of(self._description)

    @cached_property
    def _prefer(self) -> list[tuple[Predicate, Test]]:
        expected, profile = self._knowledge.expected, self._profile
        return [(predicate, compile_all([predicate], expected, profile)) for predicate in self.spec.match.prefer]

    @cached_property
    def _parts(self) -> dict[str, re.Pattern[str]]:
        return {name: re.compile(slot.pattern) for name, slot in self.spec.slots.items() if slot.pattern is not None}

    @cached_property
    def _status(self) -> list[tuple[Test, Status, StatusBasis]]:
        return [
            (compile_all(rule.when, self._knowledge.expected, self._profile), rule.status, rule.basis)
            for rule in self.spec.status
        ]

    @cached_property
    def _features(self) -> list[tuple[str, Feature, list[str], dict[str, str]]]:
        table = load_features()
        return [(name, table[use.fn], use.args, use.options) for name, use in sorted(self.spec.features.items())]

    def matches(self, raw: RawFinding, header: ScanHeader) -> bool:
        """Say whether the finding can be of this class, by all that the report carries."""
        if self._id.search(raw.id) is None:
            return False
        if raw.title is not None and self._title is not None and self._title.search(raw.title) is None:
            return False
        if (
            raw.description is not None
            and self._description is not None
            and self._description.search(raw.description) is None
        ):
            return False
        if header.source_format == "ndjson":
            # Severity is all that is left to tell classes apart, where no rule of the scanner's rewrote it.
            return header.rules_enabled or raw.severity in self._severities
        if self.spec.match.metadata and header.source_format == "json":
            return self._metadata(View(header, metadata=raw.metadata, severity=raw.severity))
        return True

    def fits_id(self, raw: RawFinding) -> bool:
        """Say whether the id has the class's form."""
        return self._id.search(raw.id) is not None

    def fits_metadata(self, raw: RawFinding, header: ScanHeader) -> bool:
        """Say whether the metadata are not those of another class; always so where the report carries none."""
        if not self.spec.match.metadata or header.source_format != "json":
            return True
        return self._metadata(View(header, metadata=raw.metadata, severity=raw.severity))

    def fits_shape(self, raw: RawFinding, header: ScanHeader) -> bool:
        """Say whether severity and metadata are such as findings of this class have, as far as the report tells."""
        if raw.severity not in self._severities and not header.rules_enabled:
            return False
        if self._shape is None or header.source_format != "json":
            return True
        return self._shape(View(header, metadata=raw.metadata, severity=raw.severity))

    def is_listed(self, raw: RawFinding, header: ScanHeader) -> bool:
        """Say whether a bare id is one that the knowledge lists for such findings, and nothing speaks against it."""
        listed = self.spec.match.listed
        if listed is None or raw.id not in getattr(self._knowledge, listed):
            return False
        # Where severities were rewritten and there are no metadata, nothing could.
        return (not header.rules_enabled or header.source_format == "json") and self.fits_shape(raw, header)

    def tells_shape(self, header: ScanHeader) -> bool:
        """Say whether the metadata of a report of this form tell the class from its sisters."""
        return self._shape is not None and header.source_format == "json"

    def words(self, raw: RawFinding) -> tuple[int, bool]:
        """Weigh title and description.

        Returns:
            How well they fit, and whether nothing in them speaks against the class and something for it.
        """
        weight, against = 0, False
        for known, text in zip(self._told, (raw.title, raw.description), strict=True):
            if known is not None and text is not None:
                fit = known.fit(text)
                weight += fit
                against = against or not fit
        return weight, weight > 0 and not against

    def read_inexact(self, raw: RawFinding, context: FeatureContext) -> Reading:
        """Take slots, features and status out of a finding whose words may not be those of the class.

        Words that are not are no evidence of a status either: it then comes from metadata or severity. They stay what
        the finding says.
        """
        title, description = (
            text if known is None or text is None else known.heard(text)
            for known, text in zip(self._told, (raw.title, raw.description), strict=True)
        )
        reading = self.read(replace(raw, title=title, description=description), context)
        said = {name for name in ("title", "description") if getattr(raw, name) is not None}
        return replace(
            reading,
            title=raw.title if raw.title is not None else reading.title,
            description=raw.description if raw.description is not None else reading.description,
            restored=tuple(name for name in reading.restored if name not in said),
        )

    def preferred(self, header: ScanHeader) -> bool:
        """Say whether the header, as far as the report has one, speaks for this class among several."""
        view = View(header)
        for predicate, test in self._prefer:
            scope, _, name = predicate.what.partition(".")
            if not (scope == "header" and getattr(header, name, None) is None) and not test(view):
                return False
        return True

    def read(self, raw: RawFinding, context: FeatureContext) -> Reading:
        """Take slots, features and status out of a finding that matches."""
        header = context.header
        restore = self.spec.restore
        restored: list[str] = []
        title, description, metadata = raw.title, raw.description, raw.metadata
        case = self._by_severity(raw, header)
        if case is not None:
            metadata = {**case.metadata, **metadata}
            restored += (f"metadata.{key}" for key in case.metadata if key not in raw.metadata)
            if description is None and case.description is not None:
                description = case.description
                restored.append("description")
        slots = self._slots(raw, metadata)
        if title is None and restore.title is not None and (title := fill(restore.title, slots)) is not None:
            restored.append("title")
        if (
            description is None
            and restore.description is not None
            and (description := fill(restore.description, slots)) is not None
        ):
            restored.append("description")
        if header.source_format != "json" and restore.metadata:
            metadata = dict(metadata)
            for key, template in restore.metadata.items():
                if key not in metadata and (text := fill(template, slots)) is not None:
                    metadata[key] = text
                    restored.append(f"metadata.{key}")
        view = View(
            header, slots=slots, metadata=metadata, severity=raw.severity, class_id=self.class_id,
            title=title, description=description,
        )  # fmt: skip
        features: dict[str, str] = {}
        for name, function, args, options in self._features:
            values = (_text(metadata.get(arg[9:])) if arg.startswith("metadata.") else slots.get(arg) for arg in args)
            value = function(context, *values, **options)
            if value is not None:
                features[name] = value
        view.features = features
        status: Status = "unknown"
        basis: StatusBasis = "none"
        for test, then, why in self._status:
            if test(view):
                status, basis = then, why
                break
        if description is None:
            template_by_status = restore.description_by_status.get(status)
            if template_by_status is not None and (description := fill(template_by_status, slots)) is not None:
                restored.append("description")
        return Reading(
            slots, features, status, basis, title or "", description or "", metadata, tuple(sorted(restored))
        )

    def _by_severity(self, raw: RawFinding, header: ScanHeader) -> RestoreCase | None:
        """Return what the severity tells, where it was not rewritten and nothing in the report speaks against it."""
        if header.source_format == "json" or header.rules_enabled or raw.techniques:
            return None
        case = self.spec.restore.by_severity.get(raw.severity)
        if case is None or (raw.description is not None and case.description not in (None, raw.description)):
            return None
        return case

    def _slots(self, raw: RawFinding, metadata: Mapping[str, Any]) -> dict[str, str]:
        groups: dict[str, Mapping[str, str | None]] = {}
        slots: dict[str, str] = {}
        for name, slot in self.spec.slots.items():
            value = self._slot(slot.source, name, raw, metadata, groups)
            if value is None and slot.otherwise is not None:
                value = self._slot(slot.otherwise, name, raw, metadata, groups)
            if value is not None:
                slots[name] = value
        return slots

    def _slot(
        self,
        source: str,
        name: str,
        raw: RawFinding,
        metadata: Mapping[str, Any],
        groups: dict[str, Mapping[str, str | None]],
    ) -> str | None:
        if source.startswith("metadata."):
            value = _text(metadata.get(source[9:]))
            if value is None or name not in self._parts:
                return value
            part = self._parts[name].search(value)
            return part[name] if part is not None else None
        if source not in groups:
            text: str | None = getattr(raw, source)
            pattern = {"id": self._id, "title": self._title, "description": self._description}[source]
            found = pattern.search(text) if pattern is not None and text is not None else None
            groups[source] = found.groupdict() if found else {}
        return groups[source].get(name)


class CompiledClasses:
    """All classes of a knowledge by scanner, for one profile of the policy."""

    def __init__(self, knowledge: Knowledge, profile: str) -> None:
        self.knowledge = knowledge
        self.profile = profile
        self.all = [CompiledClass(key, spec, knowledge, profile) for key, spec in sorted(knowledge.classes.items())]
        self.any_scanner = [rule for rule in self.all if rule.spec.scanner == ANY_SCANNER]
        self.by_scanner: dict[str, list[CompiledClass]] = {}
        for rule in self.all:
            if rule.spec.scanner != ANY_SCANNER:
                self.by_scanner.setdefault(rule.spec.scanner, list(self.any_scanner)).append(rule)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return canonical(value).decode()
