"""What is said of a scan is so: evidence, levels, issues of what nobody knows, and who analysed what."""

from dataclasses import replace

import pytest

from pipeline.classes.version import is_newer
from pipeline.features.integrity import mismatch_sample
from pipeline.features.registry import FeatureContext
from pipeline.finding import RawFinding, ScanHeader
from pipeline.output.read import read_finding
from pipeline.rules.score import level_of
from tests.pipeline.analysts import PlainAnalyst
from tests.pipeline.sessions import (
    FILES,
    knowledge,
    lines_of,
    report,
    reports,
    resources,
    session_of,
    shared,
)


def test_what_the_scanner_got_wrong_is_no_failing_evidence() -> None:
    session = session_of(report("web01-wk2-integrity-critical.json"), shared(), {})
    lines = [read_finding(line.line) for line in lines_of(session)]
    mistaken = [one for one in lines if one.artefact is not None and one.artefact.degree != "cannot_tell"]
    assert mistaken
    for one in mistaken:
        assert {control.evidence for control in one.compliance} <= {"disputed", "none"}


@pytest.mark.parametrize("name", FILES[::4])
def test_disputed_evidence_is_counted_apart_and_never_as_failing(name: str) -> None:
    for parsed in reports(name):
        session = session_of(parsed, shared(), {})
        lines = [read_finding(line.line) for line in lines_of(session)]
        for gap in session.record().compliance:
            told = {
                (control.control, control.evidence)
                for one in lines
                for control in one.compliance
                if control.framework == gap.framework and control.caution is None
            }
            failing = {one.control for one in (*gap.failing.sourced, *gap.failing.derived, *gap.failing.inferred)}
            only = gap.disputed_only
            disputed = {one.control for one in (*only.sourced, *only.derived, *only.inferred)}
            assert failing == {control for control, evidence in told if evidence == "failing"}
            spoken_of = {control for control, evidence in told if evidence in ("failing", "supporting")}
            assert disputed == {control for control, evidence in told if evidence == "disputed"} - spoken_of
            assert not disputed & set(gap.no_evidence)


def test_tcp_syncookies_that_are_always_on_fail_no_control() -> None:
    raw = RawFinding(
        "kernel_hardening", "kernel:sysctl:tcp_syncookies", "low", "tcp_syncookies", "tcp_syncookies off",
        metadata={"value": "2", "expected": "1"},
    )  # fmt: skip
    parsed = replace(report("web01-base-full.json.gz"), findings=(raw,))
    (line,) = lines_of(session_of(parsed, shared(), {}))
    made = read_finding(line.line)
    assert not [control for control in made.compliance if control.evidence == "failing"]


def test_a_level_is_always_the_band_of_its_score_and_says_who_raised_it() -> None:
    session = session_of(report("web01-base-default.json"), resources(analyst=PlainAnalyst(level="critical")), {})
    raised = 0
    for line in lines_of(session):
        risk = read_finding(line.line).risk
        assert risk.level == level_of(risk.score)
        assert risk.score == max(0, min(100, sum(factor.points for factor in risk.factors)))
        if risk.level != risk.floor:
            raised += 1
            assert risk.factors[-1].name == "analysis"
    assert raised > 10
    for issue in session.record().issues:
        assert issue.level == level_of(issue.score)


UNKNOWN = (
    RawFinding("new", "a:1", "high", "Socket /run/a.sock is open", "x"),
    RawFinding("new", "a:2", "low", "Socket /run/b.sock is open", "x"),
    RawFinding("new", "b:7", "low", "Another thing", "y"),
)


def test_different_findings_that_nobody_knows_are_different_issues() -> None:
    parsed = replace(report("web01-base-default.json"), findings=UNKNOWN)
    issues = session_of(parsed, shared(), {}).record().issues
    assert [(issue.title, issue.lines) for issue in issues] == [
        ("Socket /run/a.sock is open", 2),
        ("Another thing", 1),
    ]
    assert len({issue.id for issue in issues}) == 2


def test_a_newer_scanner_is_noted() -> None:
    parsed = report("web01-base-default.json")
    assert "newer_scanner" not in session_of(parsed, shared(), {}).record().notes
    newer = replace(parsed, header=replace(parsed.header, tool_version="6.0.1"))
    assert "newer_scanner" in session_of(newer, shared(), {}).record().notes
    words = ["7", "6.1", "v6.0.1-rc1", "6.0.0", "5.9.9", "nightly", None]
    assert [is_newer(word) for word in words] == [True, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("stop_at", "sample", "word"),
    [
        (None, "dpkg: a,dpkg: b", "messages"),
        ("2", "dpkg: a,dpkg: b", "messages_stopped"),
        ("3", "dpkg: a,dpkg: b", "messages"),
        ("0", "dpkg: a,dpkg: b", "messages"),
        ("2", "missing /a,dpkg: b", "files_stopped"),
        ("many", "dpkg: a,dpkg: b", "messages_stopped"),
    ],
)
def test_a_verification_that_stopped_early_is_not_taken_for_a_whole_one(
    stop_at: str | None, sample: str, word: str
) -> None:
    context = FeatureContext(header=ScanHeader("json"), knowledge=knowledge(), profile="default")
    assert mismatch_sample(context, "2", sample, stop_at) == word


@pytest.mark.parametrize(
    ("scanner", "id_", "severity", "words", "metadata", "control"),
    [
        ("modules", "sctp", "info", ("Module sctp", "Loaded kernel module"), {}, "CM-7"),
        ("modules", "firewire_core", "info", ("Module firewire_core", "Loaded kernel module"), {}, "CM-7"),
        ("modules", "cfg80211", "info", ("Module cfg80211", "Loaded kernel module"), {}, "AC-18(3)"),
        ("world_writable", "/usr/bin/tool", "high", ("World-writable file", "File is world writable"), {}, "CM-5(6)"),
        ("mounts", "mount:sensitive-nodev-missing:/boot", "low",
         ("Sensitive mount missing nodev", "Expected nodev on non-device mount"), {}, "CM-7(2)"),
        ("integrity", "pkg_mismatch:0", "medium", ("Package file mismatch", "rpm verification mismatch"),
         {"raw": ".M.......    /usr/bin/x", "path": "/usr/bin/x"}, "SI-7(1)"),
        ("modules", "x1", "high", ("Module anomaly: x1", "Module in /proc but not /sys"),
         {"hidden_sysfs": "true"}, "SI-7"),
        ("ioc", "/opt/x:7", "low", ("Process IOC Detected", "Process with suspicious patterns: /opt/x"),
         {"pattern_match": "true", "command": "[kworker/0:1]"}, "SI-4"),
    ],
)  # fmt: skip
def test_what_published_sources_speak_of_fails_their_control(
    scanner: str, id_: str, severity: str, words: tuple[str, str], metadata: dict[str, str], control: str
) -> None:
    raw = RawFinding(scanner, id_, severity, *words, metadata=metadata)  # type: ignore[arg-type]
    parsed = replace(report("web01-base-default.json"), findings=(raw,))
    (line,) = lines_of(session_of(parsed, shared(), {}))
    evidence = {one.control: one.evidence for one in read_finding(line.line).compliance}
    assert evidence.get(control) == "failing", evidence
