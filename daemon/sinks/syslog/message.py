"""One record as a message of RFC 5424."""

from typing import Any

import orjson

from daemon.sinks.network.items import Item
from daemon.sinks.syslog.settings import FACILITIES, SyslogSettings
from pipeline.display import printable

_SEVERITY = {
    "critical": 2,
    "high": 3,
    "medium": 4,
    "low": 5,
    "info": 6,
}  # critical, error, warning, notice, informational
_NIL = "-"
_HOST_CHARS = 255
_VALUE_CHARS = 255  # of a parameter: keys and classes are shorter
_BOM = b"\xef\xbb\xbf"  # says that the message is UTF-8


def message(item: Item, settings: SyslogSettings) -> bytes:
    """Write a record as a message of at most ``settings.most`` bytes.

    ``<PRI>1 TIME HOST sysscan-agent - KIND [SD-ID key="…" kind="…" level="…" host="…" class="…"] MSG``. The time is
    that of the observation, so the same record gives the same message. Where the record does not fit, MSG is a sentence
    instead of it, and the structured data says how large it is (``cut="BYTES"``): JSON is never cut in the middle.
    """
    record = _record(item)
    host = _text(record.get("host"))
    priority = FACILITIES.index(settings.facility) * 8 + _SEVERITY.get(item.level, 6)
    at = _text(record.get("observed_at") or record.get("finished_at") or record.get("at"))
    head = f"<{priority}>1 {_time(at)} {_host(host)} sysscan-agent - {item.kind} "
    values = {
        "key": item.key,
        "kind": item.kind,
        "level": item.level,
        "host": host,
        "class": _text(record.get("class")),
    }
    if settings.message == "record":
        whole = (head + _data(settings.sd_id, values) + " ").encode() + _BOM + item.line
        if len(whole) <= settings.most:
            return whole
        values["cut"] = str(len(item.line))
    begun = (head + _data(settings.sd_id, values) + " ").encode() + _BOM
    return begun + _cut(_sentence(item, record), settings.most - len(begun))


def escaped(value: str) -> str:
    """Write the value of a parameter: quotation marks, backslashes and closing brackets behind a backslash."""
    shown = printable(value, _VALUE_CHARS)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _data(sd_id: str, values: dict[str, str]) -> str:
    inner = " ".join(f'{name}="{escaped(value)}"' for name, value in values.items() if value)
    return f"[{sd_id} {inner}]"


def _record(item: Item) -> dict[str, Any]:
    record = orjson.loads(item.line)
    return record if isinstance(record, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: str) -> str:
    """Take over a time of ours, which is one of RFC 5424, too."""
    plain = value.isascii() and value[:4].isdigit() and value[10:11] == "T" and " " not in value
    return value if plain and 20 <= len(value) <= 32 else _NIL


def _host(host: str) -> str:
    """Name the host in visible ASCII, as the header wants it; the structured data has the name as it is."""
    return "".join(sign if "!" <= sign <= "~" else "?" for sign in host)[:_HOST_CHARS] or _NIL


def _sentence(item: Item, record: dict[str, Any]) -> str:
    finding, counts = record.get("finding"), record.get("counts")
    if item.kind == "finding" and isinstance(finding, dict):
        return f"{item.level}: {printable(_text(finding.get('title')) or _text(record.get('class')), 500)}"
    if item.kind == "issue":
        return f"{item.level}: {printable(_text(record.get('title')), 500)}"
    if item.kind == "scan":
        findings = counts.get("findings") if isinstance(counts, dict) else None
        return f"scan {item.key} done" + (f": {findings} findings" if isinstance(findings, int) else "")
    return f"{item.kind} {item.key}"


def _cut(text: str, most: int) -> bytes:
    """Cut between two characters."""
    return text.encode(errors="backslashreplace")[: max(most, 0)].decode(errors="ignore").encode()
