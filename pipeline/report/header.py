"""Builds a `ScanHeader` from the header objects of a report; nothing in a header makes a report unusable."""

import re
from datetime import UTC, datetime
from typing import Any

from pipeline.finding import Note, ScanHeader, SourceFormat
from pipeline.report.finding_fields import whole_number

MAX_NAME_CHARS = 1024  # a host, user or kernel name; Linux allows 255 at most
MAX_CMDLINE_CHARS = 1 << 17
MAX_COUNT = 1 << 53  # the largest integer that every JSON reader keeps exactly

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
# A time as --pretty leaves it once it takes strings for structure (see `pipeline.report.pretty`).
_PRETTY_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d: \d\d: \d\dZ")
_MIN_SEVERITY = re.compile(r"(?:^|\s)--min-severity(?:=|\s+)(\S+)")
_RULES_ENABLE = re.compile(r"(?:^|\s)--rules-enable(?:\s|$)")


def build_header(
    source_format: SourceFormat,
    meta: dict[str, Any],
    summary: dict[str, Any],
    raw: dict[str, Any],
    scanners: tuple[str, ...],
    notes: list[Note],
) -> ScanHeader:
    """Build a header from `meta` and `summary`; irregularities are added to `notes`."""
    fields = _Fields(notes)
    config = meta.get("effective_config")
    if config is not None and type(config) is not dict:
        notes.append("bad_header_field")
    config = config if type(config) is dict else {}
    cmdline = fields.text(meta, "cmdline", MAX_CMDLINE_CHARS)
    filtered = _MIN_SEVERITY.search(cmdline) if cmdline else None
    min_severity = fields.text(config, "min_severity") or (filtered.group(1) if filtered else None)
    rules = config.get("rules_enable")
    started, finished = fields.time(summary, "started_at"), fields.time(summary, "finished_at")
    return ScanHeader(
        source_format=source_format,
        host=fields.text(meta, "hostname"),
        started_at=started,
        finished_at=finished,
        tool_version=fields.text(meta, "tool_version"),
        cmdline=cmdline,
        effective_config=config,
        euid=fields.identity(meta, "euid"),
        user=fields.text(meta, "user"),
        os_id=fields.text(meta, "os_id"),
        os_version=fields.text(meta, "os_version"),
        os_pretty=fields.text(meta, "os_pretty"),
        kernel=fields.text(meta, "kernel"),
        arch=fields.text(meta, "arch"),
        emitted=fields.count(summary, "finding_count_emitted"),
        min_severity=min_severity,
        rules_enabled=rules in ("true", True) or bool(cmdline and _RULES_ENABLE.search(cmdline)),
        scanners=scanners,
        raw=raw,
        notes=tuple(dict.fromkeys(notes)),
    )


class _Fields:
    """Reads header fields, and notes each whose type or value is not allowed."""

    def __init__(self, notes: list[Note]) -> None:
        self._notes = notes

    def text(self, source: dict[str, Any], name: str, max_chars: int = MAX_NAME_CHARS) -> str | None:
        value = source.get(name)
        if value is None or value == "":
            return None
        if type(value) is str and len(value) <= max_chars:
            return value
        self._notes.append("bad_header_field")
        return None

    def identity(self, source: dict[str, Any], name: str) -> str | None:
        value = source.get(name)
        if value is None or value == "":
            return None
        number = whole_number(value)
        if number is not None:
            return str(number)
        self._notes.append("bad_header_field")
        return None

    def count(self, source: dict[str, Any], name: str) -> int | None:
        value = source.get(name)
        if value is None:
            return None
        number = whole_number(value)
        if number is not None and 0 <= number <= MAX_COUNT:
            return number
        self._notes.append("bad_header_field")
        return None

    def time(self, source: dict[str, Any], name: str) -> str | None:
        value = source.get(name)
        if value is None or value == "":
            return None
        if type(value) is str:
            if _PRETTY_TIME.fullmatch(value):
                self._notes.append("pretty_damage")
                value = value.replace(": ", ":")
            if _RFC3339.fullmatch(value):
                try:
                    moment = datetime.fromisoformat(value)
                    utc = moment.astimezone(UTC)
                except (ValueError, OverflowError):
                    pass
                else:
                    if utc == _EPOCH or utc.year < 1970:
                        return None
                    return value if value.endswith("Z") else utc.isoformat().replace("+00:00", "Z")
        self._notes.append("bad_timestamp")
        return None
