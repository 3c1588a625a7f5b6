"""Writes a made-up scan as the scanner would: JSON, NDJSON or SARIF, gzipped or not."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from trainer.data.world import files, modules, processes, settings, units
from trainer.data.world.host import Host, Raw

Source = Callable[[Host], Iterable[Raw]]

SOURCES: tuple[Source, ...] = (
    processes.inventory, processes.sockets, settings.kernel, modules.anomalies, modules.loaded, modules.summary,
    files.world_writable, files.setid, processes.indicators, settings.access_control, settings.mounts, units.settings,
    settings.audit, processes.containers, files.packages, files.signatures, processes.traces, settings.compliance,
    settings.errors,
)  # fmt: skip
_STARTED, _FINISHED = "2026-11-02T02:10:59Z", "2026-11-02T02:11:02Z"


def write_report(host: Host) -> tuple[str, bytes]:
    """Give name and bytes of the report of a host's scan."""
    # A host where every scanner finds something would put every finding into every pattern.
    taken = [source for source in SOURCES if host.chance(0.65)] or list(SOURCES)
    findings = [raw for source in taken for raw in source(host)]
    name = f"synth-{host.number:05d}.{host.format}"
    data = {"json": _json, "ndjson": _ndjson, "sarif": _sarif}[host.format](host, findings)
    if host.number % 2:
        return f"{name}.gz", gzip.compress(data, mtime=0)
    return name, data


def _meta(host: Host) -> dict[str, Any]:
    flags = "--hardening --containers --compliance --fs-hygiene --process-inventory --integrity"
    rules = " --rules-enable" if host.rules else ""
    return {
        "hostname": f"synth{host.number:05d}",
        "tool_version": "6.0.0",
        "cmdline": f"sys-scan {flags}{rules} ",
    }


def _json(host: Host, findings: list[Raw]) -> bytes:
    euid = "0" if host.root else "1000"
    sections: dict[str, list[Raw]] = {}
    for raw in findings:
        sections.setdefault(raw.scanner, []).append(raw)
    meta = {
        "$schema": "https://github.com/J-mazz/sys-scan/schema/v2.json", **_meta(host), "arch": "x86_64", "egid": euid,
        "effective_config": {"hardening": "true", "rules_enable": "true" if host.rules else "false"}, "euid": euid,
        "gid": euid, "json_schema_version": "2",
        "kernel": host.kernel, "os_id": host.os_id, "os_pretty": host.os_pretty,
        "os_version": host.os_version, "uid": euid, "user": "root" if host.root else "scan",
    }  # fmt: skip
    results = [
        {
            "elapsed_ms": 7, "end_time": _FINISHED, "finding_count": len(members),
            "findings": [_entry(raw) for raw in members],
            "scanner": scanner, "start_time": _STARTED,
        }
        for scanner, members in sections.items()
    ]  # fmt: skip
    return orjson.dumps(
        {
            "collection_warnings": [], "meta": meta, "results": results, "scanner_errors": [],
            "summary": {
                "duration_ms": 3000, "finding_count_emitted": len(findings), "finding_count_total": len(findings),
                "finished_at": _FINISHED, "scanner_count": str(len(sections)), "started_at": _STARTED,
            },
        }
    )  # fmt: skip


def _entry(raw: Raw) -> dict[str, Any]:
    return {
        "base_severity_score": str(raw.points), "description": raw.description, "id": raw.id, "metadata": raw.metadata,
        "severity": raw.severity, "title": raw.title,
    }  # fmt: skip


def _ndjson(host: Host, findings: list[Raw]) -> bytes:
    number = 0 if host.root else 1000
    meta = {"type": "meta", "schema": "2", **_meta(host), "uid": number, "euid": number, "gid": number, "egid": number,
            "user": "root" if host.root else "scan"}  # fmt: skip
    summary = {"type": "summary", "duration_ms": 3000, "finding_count_total": len(findings),
               "finding_count_emitted": len(findings)}  # fmt: skip
    lines: Iterator[dict[str, Any]] = (
        {"type": "finding", "scanner": raw.scanner, "id": raw.id, "severity": raw.severity,
         "base_severity_score": raw.points}
        for raw in findings
    )  # fmt: skip
    return b"".join(orjson.dumps(line) + b"\n" for line in (meta, summary, *lines))


def _sarif(host: Host, findings: list[Raw]) -> bytes:
    results = [
        {
            "ruleId": raw.id, "level": raw.severity, "message": {"text": f"{raw.title} - {raw.description}"},
            "properties": {"baseSeverityScore": raw.points},
        }
        for raw in findings
    ]  # fmt: skip
    driver = {"name": "sys-scan", "informationUri": "https://github.com/J-mazz/sys-scan"}
    return orjson.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]})
