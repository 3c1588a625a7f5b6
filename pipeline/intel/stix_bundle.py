"""Parses STIX 2.1 bundles: their indicators, and the techniques and threats that these indicate."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.intel.expression import Expression, Unsupported
from pipeline.intel.skipped import SkipLog
from pipeline.intel.stix_pattern import PatternError, parse_pattern

_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?")


@dataclass(slots=True, frozen=True)
class Indicator:
    """One parsed indicator.

    Attributes:
        source: name of the file and id of the object.
        valid_from, valid_until: as `utc` returns them; compared as strings.
        confidence: 0 to 100, or None where the feed has none.
        kinds: `indicator_types` (or `labels`) of the feed.
        techniques: ATT&CK ids that it indicates, directly or through relationships.
        phases: of the kill chain, as in the feed.
        threats: names of the malware, tools or groups that it indicates.
    """

    id: str
    name: str
    source: str
    expression: Expression
    valid_from: str = ""
    valid_until: str = ""
    confidence: int | None = None
    kinds: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    threats: tuple[str, ...] = ()


def utc(text: str) -> str:
    """Convert an RFC 3339 time to one form in UTC, so that times can be compared as strings.

    Raises:
        ValueError: if it is not such a time, or has no time zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone: {text!r}")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class _Unusable(ValueError):
    """Raised for an object that cannot be used; says why, in words that the object does not decide."""


def read_bundles(files: Sequence[tuple[Path, bytes]], skipped: SkipLog) -> list[Indicator]:
    """Parse several bundles together: relationships may refer to objects in other files.

    Of several versions of an object, the one modified last is used. What cannot be used is added to `skipped`.
    """
    objects: dict[str, tuple[str, Path, int, dict[str, Any]]] = {}
    for path, data in files:
        for number, item in _objects(path, data, skipped):
            identifier = item.get("id")
            if not isinstance(identifier, str) or not identifier:
                skipped.add(path.name, f"objects[{number}]", "an object without an id")
                continue
            try:
                modified = _time(item, "modified") or ""
            except _Unusable as error:
                skipped.add(path.name, f"objects[{number}] ({identifier[:100]})", str(error))
                continue
            known = objects.get(identifier)
            if known is None or known[0] < modified:
                objects[identifier] = (modified, path, number, item)
    indicators: list[Indicator] = []
    for identifier in sorted(objects):
        _, path, number, item = objects[identifier]
        if item.get("type") != "indicator":
            continue
        try:
            indicators.append(_indicator(path, number, item, skipped))
        except _Unusable as error:
            skipped.add(path.name, _place(number, item), str(error))
    return _with_targets(indicators, {key: entry[3] for key, entry in objects.items()})


def _objects(path: Path, data: bytes, skipped: SkipLog) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        bundle = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        skipped.add(path.name, "", f"nothing of it is used: not JSON at line {error.lineno}: {error.msg}")
        return
    if not isinstance(bundle, dict) or bundle.get("type") != "bundle":
        skipped.add(path.name, "", 'nothing of it is used: not a STIX bundle: it has no "type": "bundle"')
        return
    objects = bundle.get("objects", [])
    if not isinstance(objects, list):
        skipped.add(path.name, "", "nothing of it is used: objects: not a list")
        return
    for number, item in enumerate(objects):
        if isinstance(item, dict):
            yield number, item
        else:
            skipped.add(path.name, f"objects[{number}]", "not an object")


def _place(number: int, item: dict[str, Any]) -> str:
    return f"objects[{number}] ({str(item['id'])[:100]})"


def _indicator(path: Path, number: int, item: dict[str, Any], skipped: SkipLog) -> Indicator:
    pattern = item.get("pattern")
    if not isinstance(pattern, str) or not pattern.strip():
        raise _Unusable("pattern: missing or not a text")
    valid_from = _time(item, "valid_from") or ""
    valid_until = _time(item, "valid_until") or ""
    if item.get("revoked") is True:
        raise _Unusable("revoked")
    if valid_until and valid_until <= valid_from:
        raise _Unusable("valid_until is not after valid_from")
    kind = item.get("pattern_type", "stix")  # STIX 2.0 has no other
    if kind != "stix":
        raise _Unusable(f"pattern_type {str(kind)[:40]!r} is not stix")
    try:
        expression = parse_pattern(pattern)
    except (PatternError, Unsupported) as error:
        raise _Unusable(f"pattern: {error}") from error
    confidence = item.get("confidence")
    if confidence is not None and (
        not isinstance(confidence, int) or isinstance(confidence, bool) or not 0 <= confidence <= 100
    ):
        skipped.add(
            path.name, _place(number, item), "confidence: not a whole number from 0 to 100, so it has none", used=True
        )
        confidence = None
    name = item.get("name")
    return Indicator(
        id=item["id"],
        name=name if isinstance(name, str) and name else item["id"],
        source=f"{path.name}: {item['id']}",
        expression=expression,
        valid_from=valid_from,
        valid_until=valid_until,
        confidence=confidence,
        kinds=tuple(sorted(set(_texts(item.get("indicator_types")) or _texts(item.get("labels"))))),
        techniques=_techniques(item),
        phases=tuple(
            sorted(
                {
                    f"{phase['kill_chain_name']}/{phase['phase_name']}"
                    for phase in _dicts(item.get("kill_chain_phases"))
                    if isinstance(phase.get("kill_chain_name"), str) and isinstance(phase.get("phase_name"), str)
                }
            )
        ),
    )


def _with_targets(indicators: list[Indicator], objects: Mapping[str, dict[str, Any]]) -> list[Indicator]:
    techniques: dict[str, set[str]] = {}
    threats: dict[str, set[str]] = {}
    for item in objects.values():
        if item.get("type") != "relationship" or item.get("relationship_type") != "indicates" or item.get("revoked"):
            continue
        source, target = item.get("source_ref"), objects.get(str(item.get("target_ref")))
        if not isinstance(source, str) or target is None or target.get("revoked"):
            continue
        if target.get("type") == "attack-pattern":
            techniques.setdefault(source, set()).update(_techniques(target))
        elif isinstance(target.get("name"), str):
            threats.setdefault(source, set()).add(target["name"])
    return [
        replace(
            indicator,
            techniques=tuple(sorted({*indicator.techniques, *techniques.get(indicator.id, ())})),
            threats=tuple(sorted(threats.get(indicator.id, ()))),
        )
        for indicator in indicators
    ]


def _techniques(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                reference["external_id"]
                for reference in _dicts(item.get("external_references"))
                if reference.get("source_name") == "mitre-attack"
                and isinstance(reference.get("external_id"), str)
                and _TECHNIQUE.fullmatch(reference["external_id"])
            }
        )
    )


def _time(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    if value is None:
        return None
    try:
        return utc(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Unusable(f"{key}: not a time in RFC 3339 form") from error


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
