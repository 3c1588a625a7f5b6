"""What is new, back and gone; and that nothing counts as mended by a scan that did not look."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.baseline_rows import baseline_rows
from daemon.ports.work import BaselineRow
from pipeline.classes.scan import index_scan
from pipeline.finding import ParsedReport, RawFinding
from pipeline.rules import baseline as baseline_module
from pipeline.rules.baseline import Comparison, compare
from tests.depth import examples
from tests.pipeline.compiled import compiled
from tests.pipeline.sessions import (
    FILES,
    Baseline,
    context_of,
    documents,
    knowledge,
    lines_of,
    made_up,
    record_of,
    report,
    reports,
    resources,
    session_of,
)  # fmt: skip


def sysctl(current: str, desired: str = "2") -> RawFinding:
    path = "/proc/sys/kernel/randomize_va_space"
    (real,) = (finding for finding in report("db02-drift-1.json").findings if finding.id == path)
    good = current == desired
    said = {"current": current, "desired": desired, "status": "ok" if good else "mismatch"}
    return replace(real, severity="info" if good else real.severity, metadata={**real.metadata, **said})


def writable(path: str = "/usr/local/bin/job") -> RawFinding:
    return RawFinding("world_writable", path, "high", "World-writable file", "File is world writable", 70, {})


def setuid(path: str) -> RawFinding:
    (found,) = (f for f in report("db02-drift-1.json").findings if f.id == "/usr/local/sbin/maint")
    return replace(found, id=path)


def failed(scanner: str) -> RawFinding:
    (found,) = (f for f in report("web01-audit-error.json").findings if f.severity == "error")
    return replace(found, scanner=scanner, id=f"{scanner}:error")


class History:
    """Scans of one host, one after the other, and what the ledger keeps of them."""

    def __init__(self) -> None:
        self.rows: dict[str, BaselineRow] = {}
        self.scan_no = 0

    def scan(self, *findings: RawFinding, step: int = 1, **header: Any) -> Comparison:
        changes = {key: header.pop(key) for key in ("complete", "rejected", "host_source") if key in header}
        return self.of(made_up(findings, **header), step, **changes)

    def of(self, parsed: ParsedReport, step: int = 1, **changes: Any) -> Comparison:
        self.scan_no += step
        index = index_scan(
            context_of(parsed, self.scan_no, **changes), parsed.findings, compiled(knowledge(), "default")
        )
        compared = compare(index, self.rows, knowledge())
        self.rows.update({row.fingerprint: row for row in baseline_rows(compared, self.scan_no)})
        for fingerprint in compared.forget:
            del self.rows[fingerprint]
        return compared


def states(compared: Comparison) -> list[str]:
    return [seen.state for seen in compared.seen.values()]


def test_a_finding_is_new_then_recurring_and_keeps_its_first_time() -> None:
    history = History()
    first = history.scan(writable(), finished_at="2026-11-01T00:00:00Z")
    second = history.scan(writable(), finished_at="2026-11-02T00:00:00Z")
    assert (states(first), states(second)) == (["new"], ["recurring"])
    (seen,) = second.seen.values()
    assert (seen.first_seen_at, seen.count) == ("2026-11-01T00:00:00Z", 2)


def test_a_check_goes_from_open_to_resolved_to_recurring_to_regressed() -> None:
    history = History()
    found = [states(history.scan(sysctl(value)))[0] for value in ("0", "1", "2", "2", "0", "0")]
    assert found == ["new", "changed", "resolved", "recurring", "regressed", "recurring"]


def test_what_is_gone_is_resolved_once_and_regresses_when_it_comes_back() -> None:
    history = History()
    history.scan(writable())
    gone = history.scan()
    assert [(one.class_id, one.label) for one in gone.resolved] == [("world_writable.file", "/usr/local/bin/job")]
    assert (history.scan().resolved, history.scan().not_observed) == ((), ())
    back = history.scan(writable())
    assert states(back) == ["regressed"]
    (seen,) = back.seen.values()
    assert seen.count == 2


def test_passed_checks_that_are_gone_are_neither() -> None:
    history = History()
    history.scan(sysctl("2"))
    later = history.scan()
    assert (later.resolved, later.not_observed) == ((), ())


def test_a_new_setuid_file_may_hide_an_old_one_so_absence_tells_nothing() -> None:
    history = History()
    history.scan(setuid("/usr/local/sbin/maint"))
    later = history.scan(setuid("/usr/local/sbin/other"))
    assert later.resolved == ()
    assert [one.label for one in later.not_observed] == ["/usr/local/sbin/maint"]
    assert [one.label for one in history.scan().not_observed] == ["/usr/local/sbin/other", "/usr/local/sbin/maint"]
    assert states(history.scan(setuid("/usr/local/sbin/maint"))) == ["recurring"]


@pytest.mark.parametrize(
    "blind",
    [
        {"complete": False},
        {"rejected": 1},
        {"cmdline": None},
        {"min_severity": "high"},
        {"source_format": "sarif"},
        {"host_source": "unknown"},
    ],
    ids=lambda blind: next(iter(blind)),
)
def test_a_scan_that_did_not_look_resolves_nothing(blind: dict[str, Any]) -> None:
    history = History()
    history.scan(writable())
    later = history.scan(**blind)
    assert (later.resolved, later.not_observed, later.forget, later.compared) == ((), (), (), False)
    assert len(history.scan().resolved) == 1


@pytest.mark.parametrize("blind", [{"cmdline": None}, {"host": None}], ids=["no command line", "unknown host"])
def test_without_profile_or_host_there_is_no_baseline_at_all(blind: dict[str, Any]) -> None:
    session = session_of(made_up([writable()], **blind), resources(), {})
    assert session.comparison is None
    assert documents(lines_of(session))[0]["baseline"] is None
    assert record_of(session)["baseline"] is None


def test_a_scanner_that_failed_saw_nothing_but_the_others_did() -> None:
    history = History()
    history.scan(writable(), sysctl("0"), _mount())
    later = history.scan(failed("world_writable"), sysctl("0"))
    assert [one.class_id for one in later.not_observed] == ["world_writable.file"]
    assert [one.class_id for one in later.resolved] == ["mounts.tmp_noexec_missing"]


@pytest.mark.parametrize(("code", "gone"), [("walk_error", False), ("proc_unreadable_cmdline", True)])
def test_a_scanner_that_warned_of_a_blind_spot_resolves_nothing(code: str, gone: bool) -> None:
    history = History()
    history.scan(writable())
    later = history.scan(raw={"collection_warnings": [{"scanner": "world_writable", "code": code}, "odd", {}]})
    assert (bool(later.resolved), bool(later.not_observed)) == (gone, not gone)


def _mount() -> RawFinding:
    name = "mount:tmp-noexec-missing:/tmp"
    return next(
        finding for file in ("db02-hardening-nosystemd.json", "web01-wk2-mounts-weak.json", "micro-hardening.json")
        for finding in report(file).findings if finding.id == name
    )  # fmt: skip


def _mismatch(path: str) -> RawFinding:
    return RawFinding(
        "integrity", "pkg_mismatch:1", "medium", "Package file mismatch", "dpkg verification mismatch", 50,
        {"raw": f"missing     {path}", "path": path},
    )  # fmt: skip


def _summary(**metadata: str) -> RawFinding:
    return RawFinding(
        "integrity", "integrity_summary", "medium", "Integrity summary", "Package / integrity verification", 10,
        {"pkg_tool": "dpkg", "pkg_mismatch_count": "0", "scan_mode": "full", **metadata},
    )  # fmt: skip


INTEGRITY = "sys-scan --integrity --integrity-pkg-verify "


@pytest.mark.parametrize(
    ("summary", "cmdline", "gone"),
    [
        ({}, INTEGRITY, True),
        ({"scan_mode": "critical_only"}, INTEGRITY, True),
        ({"scan_mode": "sample_10"}, INTEGRITY, False),
        ({"pkg_mismatch_count": "199"}, INTEGRITY, True),
        ({"pkg_mismatch_count": "200"}, INTEGRITY, False),
        ({"early_exit_threshold": "5"}, INTEGRITY, False),
        ({"pkg_tool": "none"}, INTEGRITY, False),
        ({}, INTEGRITY + "--integrity-pkg-limit 5", False),
        (None, INTEGRITY, False),
    ],
)
def test_a_package_check_that_sampled_or_was_cut_resolves_nothing(
    summary: dict[str, str] | None, cmdline: str, gone: bool
) -> None:
    history = History()
    history.scan(_mismatch("/usr/bin/ls"), _summary(pkg_mismatch_count="1"), cmdline=cmdline)
    later = history.scan(*([] if summary is None else [_summary(**summary)]), cmdline=cmdline)
    labels = [one.label for one in (later.resolved if gone else later.not_observed) if "pkg_m" in one.class_id]
    assert labels == ["/usr/bin/ls"]


def test_audit_rules_that_are_gone_are_no_audit_rules_that_are_mended() -> None:
    history = History()
    history.of(report("web01-audit-partial.json"))
    later = history.of(report("web01-wk2-cwd-root.json"))
    assert later.resolved == ()
    assert sorted(one.class_id for one in later.not_observed) == ["auditd.capset", "auditd.chown", "auditd.setgid"]


def test_twins_are_one_and_their_number_is_no_change() -> None:
    history = History()
    first = history.scan(writable(), writable())
    assert len(first.seen) == 1
    assert states(history.scan(writable(), writable(), writable())) == ["recurring"]


def test_the_order_of_lines_with_one_fingerprint_does_not_matter() -> None:
    """Without --canonical the scanner's order differs from run to run."""
    one, other = sysctl("0"), sysctl("2")
    history = History()
    assert [seen.status for seen in history.scan(one, other).seen.values()] == ["open"]
    assert states(history.scan(other, one)) == ["recurring"]
    assert states(history.scan(other)) == ["resolved"]


@pytest.mark.parametrize(
    "name", ["web01-ioc.json", "db02-users.json", "web01-containers.json", "web01-exec-watch.json"]
)
def test_other_process_ids_are_no_change(name: str) -> None:
    parsed = report(name)

    def renumber(finding: RawFinding) -> RawFinding:
        pids = {value for key, value in finding.metadata.items() if key in ("pid", "ppid")}
        match = re.search(r":(\d+)$", finding.id)
        if match and finding.scanner in ("ioc", "processes"):
            pids.add(match[1])
        if not pids:
            return finding

        def other(text: str | None) -> str | None:
            return text and re.sub(r"\b\d+\b", lambda m: str(int(m[0]) + 30_000) if m[0] in pids else m[0], text)

        metadata = {key: other(value) if key in ("pid", "ppid") else value for key, value in finding.metadata.items()}
        return replace(finding, id=other(finding.id) or "", title=other(finding.title), metadata=metadata)

    later = replace(parsed, findings=tuple(map(renumber, parsed.findings)))
    assert later.findings != parsed.findings
    history = History()
    history.of(parsed)
    compared = history.of(later)
    assert set(states(compared)) == {"recurring"}
    assert (compared.resolved, compared.not_observed) == ((), ())


def test_what_stays_remembered_is_bounded_and_open_findings_are_the_last_to_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baseline_module, "MAX_UNSEEN", 3)
    history = History()
    history.scan(setuid("/usr/local/sbin/old"))
    history.scan(writable("/a"))
    history.scan()  # /a is resolved
    for number in range(4):
        history.scan(replace(writable(), id=f"/passed{number}", severity="info"))
    history.scan(writable("/b"))
    history.scan(writable("/c"))
    kept = {row.label for row in history.rows.values()}
    assert "/usr/local/sbin/old" in kept
    assert "/a" not in kept
    assert len(kept) <= 4 + 1


def test_what_stays_remembered_is_bounded_for_scans_that_mend_nothing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_module, "MAX_UNSEEN", 3)
    history = History()
    for number in range(9):
        compared = history.scan(writable(f"/{number}"), complete=False)
        assert (compared.compared, compared.resolved) == (False, ())
    assert sorted(row.label for row in history.rows.values()) == ["/5", "/6", "/7", "/8"]


def test_labels_act_on_no_terminal() -> None:
    history = History()
    history.scan(writable("/tmp/\x1b[2J\u202egnp.exe"))
    (missing,) = history.scan().resolved
    assert missing.label == "/tmp/\\x1b[2J\\u202egnp.exe"


def test_the_drift_of_db02_is_told_exactly() -> None:
    memory, where = Baseline(), resources()
    first = memory.session(report("db02-drift-1.json"), where, 1)
    second = memory.session(report("db02-drift-2.json"), where, 2)
    assert first.comparison is not None and second.comparison is not None
    assert Counter(states(first.comparison)) == {"new": 79}
    assert Counter(states(second.comparison)) == {"recurring": 75, "resolved": 1, "new": 1}
    told = record_of(second)["baseline"]
    assert {(one["class"], one["label"], one["how"]) for one in told["resolved"]} == {
        ("world_writable.file", "/usr/local/bin/pg-backup", "gone"),
        ("ioc.suspicious_patterns", "/usr/bin/su", "gone"),
        ("kernel_params.randomize_va_space", "/proc/sys/kernel/randomize_va_space", "passed"),
    }
    assert [(one["class"], one["label"]) for one in told["not_observed"]] == [
        ("suid_sgid.usr_local", "/usr/local/sbin/maint")
    ]
    assert told["not_observed_count"] == 1
    lines = {(line["class"], line["finding"]["id"]): line for line in documents(lines_of(second))}
    assert lines["suid_sgid.expected", "/usr/bin/chfn"]["baseline"]["state"] == "new"
    assert lines["kernel_params.randomize_va_space", "/proc/sys/kernel/randomize_va_space"]["baseline"]["state"] == (
        "resolved"
    )


def test_over_all_corpora_few_things_count_as_mended() -> None:
    """ "Gone from the host's next scan" would give thousands, nearly all of them false."""
    where, memory = resources(), Baseline()
    naive = 0
    before: dict[Any, Any] = {}
    mended: list[tuple[str, str]] = []
    order = sorted((parsed.header.started_at or "", name) for name in FILES for parsed in reports(name))
    for scan_no, (_, name) in enumerate(order, 1):
        parsed = report(name)
        now = {(finding.scanner, finding.id) for finding in parsed.findings}
        naive += len(before.get(parsed.header.host, set()) - now)
        before[parsed.header.host] = now
        session = memory.session(parsed, where, scan_no)
        if session.comparison is not None:
            mended += [(one.class_id, "gone") for one in session.comparison.resolved]
            mended += [(one.class_id, "passed") for one in session.comparison.seen.values() if one.state == "resolved"]
    assert naive > 4_000
    assert Counter(how for _, how in mended) == {"passed": 13, "gone": 2}
    print(f"counted as mended: {len(mended)}, naively {naive}")


VALUES = st.sampled_from(["0", "1", "2", "absent"])


@settings(max_examples=examples(60), deadline=None)
@given(history=st.lists(st.tuples(VALUES, VALUES, st.booleans()), min_size=1, max_size=8))
def test_the_states_follow_a_simple_model(history: Sequence[tuple[str, str, bool]]) -> None:
    """Two findings over several scans, some incomplete, against the rules written down plainly."""
    real = History()
    model: dict[str, str] = {}
    for aslr, file, complete in history:
        findings = [sysctl(aslr)] if aslr != "absent" else []
        findings += [writable()] if file != "absent" else []
        compared = real.scan(*findings, complete=complete)
        got = {seen.class_id: seen.state for seen in compared.seen.values()}
        expected = {}
        if aslr != "absent":
            before, now = model.get("aslr"), "passed" if aslr == "2" else f"open {aslr}"
            if before is None:
                expected["kernel_params.randomize_va_space"] = "new"
            elif before == now:
                expected["kernel_params.randomize_va_space"] = "recurring"
            elif before == "passed":
                expected["kernel_params.randomize_va_space"] = "regressed"
            else:
                expected["kernel_params.randomize_va_space"] = "resolved" if now == "passed" else "changed"
            model["aslr"] = now
        resolved = set()
        if file != "absent":
            expected["world_writable.file"] = {None: "new", "open": "recurring", "gone": "regressed"}[model.get("file")]
            model["file"] = "open"
        elif complete and model.get("file") == "open":
            resolved = {"world_writable.file"}
            model["file"] = "gone"
        assert got == expected
        assert {one.class_id for one in compared.resolved} == resolved
        unseen = aslr == "absent" and model.get("aslr", "passed") != "passed" and complete
        assert {one.class_id for one in compared.not_observed} == (
            {"kernel_params.randomize_va_space"} if unseen else set()
        )
