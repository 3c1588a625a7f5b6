"""What a scan covered: the same whatever shapes the report, another when something else was looked at."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classes.scan import scan_scope
from pipeline.finding import ScanHeader
from tests.pipeline.sessions import report


def profile(cmdline: str, **header: Any) -> str | None:
    return scan_scope(ScanHeader("json", cmdline=cmdline, euid="0", tool_version="6.0.0", **header))


BASE = "sys-scan --hardening --enable auditd,mac"


@pytest.mark.parametrize(
    "same",
    [
        BASE + " ",
        "sys-scan --enable auditd,mac --hardening",
        "sys-scan --enable mac,auditd --hardening",
        "/usr/local/bin/sys-scan --hardening --enable=auditd,mac",
        BASE + " --pretty",
        BASE + " --output /var/lib/sys-scan/report.json",
        BASE + " --output=/tmp/x.json --canonical",
        "sys-scan --output /tmp/my report of today.json --hardening --enable auditd,mac",
        BASE + " --parallel --parallel-threads 4 --timings",
        BASE + " --fail-on high --fail-on-count 3",
        BASE + " --sign-gpg ABCDEF --write-env /tmp/env",
    ],
)
def test_what_shapes_the_report_does_not_matter(same: str) -> None:
    assert profile(same) == profile(BASE)


@pytest.mark.parametrize(
    "other",
    [
        "sys-scan --hardening",
        "sys-scan --hardening --enable auditd",
        "sys-scan --hardening --disable auditd,mac",
        BASE + " --fs-hygiene",
        BASE + " --ioc-exec-trace 5",
        BASE + " --rules-enable --rules-dir /etc/rules",
    ],
)
def test_what_is_looked_at_does(other: str) -> None:
    assert profile(other) != profile(BASE)


def test_who_looked_with_which_version_and_settings_does() -> None:
    header = ScanHeader("json", cmdline=BASE, euid="0", tool_version="6.0.0", effective_config={"hardening": "true"})
    changed = [
        replace(header, euid="1000"),
        replace(header, tool_version="6.1.0"),
        replace(header, effective_config={"hardening": "true", "modules_hash": "true"}),
    ]
    assert len({scan_scope(one) for one in (header, *changed)}) == 4
    same = {"hardening": "true", "pretty": "true", "parallel": "true", "fail_on_severity": "high"}
    assert scan_scope(replace(header, effective_config=same)) == scan_scope(header)


def test_a_report_without_command_line_has_none() -> None:
    assert scan_scope(ScanHeader("sarif")) is None


def test_the_order_of_a_repeated_option_matters() -> None:
    assert profile("sys-scan --rules-dir /a --rules-dir /b") != profile("sys-scan --rules-dir /b --rules-dir /a")


@pytest.mark.parametrize(
    "other", ["web01-base-pretty.json", "web01-base-compact.json", "web01-base-canonical-zero.json"]
)
def test_real_reports_of_one_run_in_other_layouts_share_it(other: str) -> None:
    assert scan_scope(report(other).header) == scan_scope(report("web01-base-default.json").header) is not None


def test_json_and_ndjson_of_one_run_are_kept_apart() -> None:
    """In NDJSON some findings have no certain class, so one would seem to be mended by the other."""
    one, other = report("web01-base-default.json").header, report("web01-base-default.ndjson").header
    assert None not in (scan_scope(one), scan_scope(other))
    assert scan_scope(one) != scan_scope(other)


def test_an_output_file_does_not_matter_on_a_real_report() -> None:
    header = report("web01-base-outputflag.json").header
    assert header.cmdline is not None and "--output" in header.cmdline
    without = replace(header, cmdline="sys-scan --hardening --disable systemd_units")
    assert scan_scope(header) == scan_scope(without)


@given(st.text(max_size=60))
def test_any_command_line_has_a_profile(cmdline: str) -> None:
    if cmdline.isascii() or not any(0xD800 <= ord(character) < 0xE000 for character in cmdline):
        assert profile(cmdline) is not None
