"""Validates one finding and normalises its fields, whatever format it came in."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from pipeline.finding import EXCERPT_BYTES, SEVERITIES, RawFinding, Reject, Severity
from pipeline.report.marks import Flaw, join, resolve, strip

MAX_SCORE = 1_000_000  # a base score is 0 to 90; more digits than this are no score

_SEVERITY: Final[dict[str, Severity]] = {word: word for word in SEVERITIES}
_KNOWN = frozenset(
    ("id", "severity", "title", "description", "base_severity_score", "metadata", "mitre_techniques", "scanner", "type")
)
_TYPE_NAMES: Final[dict[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def read_finding(value: Any, scanner: str | None, path: str, marker: str = "") -> RawFinding | Reject:
    """Check one finding of a JSON report or an NDJSON line.

    Args:
        scanner: name of the section; None when the finding itself must name its scanner (NDJSON).
        path: of the finding in its document, empty for a line.
        marker: with which placeholders in `value` begin (see `pipeline.report.marks`), or empty.
    """
    try:
        escaped: list[str] = []
        fields = value
        if type(fields) is not dict:
            raise Flaw("wrong_type", "", f"a finding must be an object, not {describe(value)}")
        if marker:
            fields = resolve(fields, marker, "", escaped)
        return build_finding(fields, scanner, escaped)
    except Flaw as flaw:
        return reject_of(flaw, value, path, marker)


def build_finding(fields: Mapping[str, Any], scanner: str | None, escaped: list[str]) -> RawFinding:
    """Build a finding from `fields`, in which no placeholders are left.

    A number is accepted for a string and the other way round where the scanner's formats differ in it. A severity in
    upper case or with blanks around it is accepted, and its original spelling kept in ``extra``: it is unambiguous.

    Raises:
        Flaw: at the first field that cannot be used.
    """
    extra: dict[str, Any] = {}
    if len(fields) > 6 or not fields.keys() <= _KNOWN:
        extra = {key: fields[key] for key in fields if key not in _KNOWN}
    if scanner is None:
        scanner = _identifier(fields, "scanner")
    elif "scanner" in fields:
        extra["scanner"] = fields["scanner"]
    if fields.get("type", "finding") != "finding":
        extra["type"] = fields["type"]
    word = fields.get("severity")
    severity = _SEVERITY.get(word) if type(word) is str else None
    if severity is None:
        severity = _unusual_severity(fields)
        extra["severity"] = word
    metadata = fields.get("metadata")
    if metadata is None:
        metadata = {}
    elif type(metadata) is not dict:
        raise Flaw("wrong_type", "metadata", f"metadata must be an object, not {describe(metadata)}")
    techniques = fields.get("mitre_techniques")
    if techniques is None:
        techniques = metadata.get("mitre_techniques")
        named = read_techniques(techniques) if techniques else ()
    else:
        named = read_techniques(techniques)
        if named is None:
            raise Flaw("wrong_type", "mitre_techniques", f"must be a string or a list, not {describe(techniques)}")
    return RawFinding(
        scanner=scanner,
        id=_identifier(fields, "id"),
        severity=severity,
        title=_text(fields, "title"),
        description=_text(fields, "description"),
        score=_score(fields.get("base_severity_score")),
        metadata=metadata,
        techniques=named or (),
        extra=extra,
        escaped=tuple(name if name.split(".")[0].split("[")[0] in _KNOWN else "extra." + name for name in escaped),
    )


def read_techniques(value: Any) -> tuple[str, ...] | None:
    """Return the ATT&CK ids in a comma-separated string or a list of strings, without repeats; None for other types."""
    if type(value) is str:
        value = value.split(",")
    if type(value) is not list or not all(type(item) is str for item in value):
        return None
    return tuple(dict.fromkeys(item.strip() for item in value if item.strip()))


def reject_of(flaw: Flaw, value: Any, path: str, marker: str) -> Reject:
    """Build the `Reject` for a flaw in the finding `value` at `path`."""
    return Reject(
        flaw.reason,
        flaw.detail,
        path=join(path, flaw.path) or None,
        excerpt=excerpt_of(value, marker),
    )


def excerpt_of(value: Any, marker: str = "") -> bytes:
    """Return the beginning of a parsed value as JSON, for a person to look at."""
    shown = strip(value, marker) if marker else value
    return orjson.dumps(shown)[:EXCERPT_BYTES]


def describe(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "something else")


def _identifier(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if type(value) is str and value:
        return value
    if type(value) is int:
        return str(value)
    if name not in fields or value == "":
        raise Flaw("missing_field", name, f"a finding must have {_article(name)} {name}")
    raise Flaw("wrong_type", name, f"{name} must be a string or a whole number, not {describe(value)}")


def _article(name: str) -> str:
    return "an" if name[0] in "aeio" else "a"


def _unusual_severity(fields: Mapping[str, Any]) -> Severity:
    if "severity" not in fields:
        raise Flaw("missing_field", "severity", "a finding must have a severity")
    word = fields["severity"]
    if type(word) is not str:
        raise Flaw("wrong_type", "severity", f"severity must be a word, not {describe(word)}")
    severity = _SEVERITY.get(word.strip().lower())
    if severity is None:
        raise Flaw("unknown_severity", "severity", f"severity must be one of {', '.join(SEVERITIES)}")
    return severity


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or type(value) is str:
        return value
    raise Flaw("wrong_type", name, f"{name} must be a string, not {describe(value)}")


def _score(value: Any) -> int | None:
    if value is None:
        return None
    number = whole_number(value)
    if number is not None and abs(number) <= MAX_SCORE:
        return number
    if type(value) in (str, int, float):
        raise Flaw("invalid_number", "base_severity_score", "base_severity_score must be a small whole number")
    raise Flaw("wrong_type", "base_severity_score", f"base_severity_score must be a number, not {describe(value)}")


def whole_number(value: Any) -> int | None:
    """Return the integer that a number or a string of digits stands for; None for anything else."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    return None
