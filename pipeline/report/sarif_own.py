"""Reads back the SARIF that we write: each result carries the finding as the scanner reported it, its run the scan."""

from typing import Any

from pipeline.errors import ReportError
from pipeline.finding import RawFinding
from pipeline.report.finding_fields import build_finding
from pipeline.report.marks import Flaw

OUR_TOOL = "sysscan-agent"  # the name of the driver
OURS = "sysscan"  # the property that holds what SARIF has no place for


def read_own_result(result: dict[str, Any]) -> RawFinding:
    """Give the finding that a result was made from; of the result itself only suppressions are kept.

    Raises:
        Flaw: if it carries none, or none that can be used.
    """
    reported = _object(_object(_object(result.get("properties")).get(OURS)).get("finding"))
    if not reported:
        raise Flaw("missing_field", "properties.sysscan.finding", "a result of sysscan-agent must have its finding")
    fields: dict[str, Any] = {
        **_object(reported.get("extra")),
        "scanner": reported.get("scanner"),
        "id": reported.get("id"),
        "severity": reported.get("severity"),
        "base_severity_score": reported.get("score"),
        "title": reported.get("title"),
        "description": reported.get("description"),
        "metadata": reported.get("metadata"),
    }
    if _list(result.get("suppressions")):
        fields["suppressions"] = result["suppressions"]
    escaped = [name.removeprefix("extra.") for name in _list(reported.get("escaped")) if type(name) is str]
    return build_finding(fields, None, escaped)


def own_scan(runs: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what our runs say of their scan, as `meta` and `summary` of a report.

    Raises:
        ReportError: when they are of several scans, which one report cannot be.
    """
    said = [_object(_object(run.get("properties")).get(OURS)) for run in runs]
    if len({(str(one.get("host")), str(one.get("scan_id"))) for one in said}) > 1:
        detail = "a SARIF log of sysscan-agent with several scans; export each by itself (`export --scan`)"
        raise ReportError("not_a_report", detail)
    scan = said[0]
    meta = {
        "hostname": None if scan.get("host") == "unknown" else scan.get("host"),
        "arch": scan.get("arch"),
        "kernel": scan.get("kernel"),
        "os_pretty": scan.get("os"),
    }
    if scan.get("min_severity") is not None:
        meta["effective_config"] = {"min_severity": scan["min_severity"]}
    summary = {
        "started_at": scan.get("started_at"),
        "finished_at": scan.get("finished_at"),
        "finding_count_emitted": scan.get("lines"),
    }
    return meta, summary


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []
