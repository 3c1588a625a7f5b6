"""SELinux and AppArmor: one of the two is enough, and what the scanner misreads is said."""

import pytest

from pipeline.finding import ScanHeader
from tests.pipeline.knowledge.real_scans import names
from tests.pipeline.knowledge.reports import classify_one, everywhere, of_classes, report, same_finding
from tests.pipeline.knowledge.verdicts import analysis_of, artefacts_of, remediations_of, topics_of

SCANNERS = ("mac",)
CLASS_OF_ID = {"selinux": "mac.selinux", "apparmor": "mac.apparmor", "mac_none": "mac.none", "mac_dual": "mac.dual"}
TWINS = [
    ("web01-base-default.json", "web01-base-default.ndjson"),
    ("web01-base-full.json.gz", "web01-base-full.ndjson.gz"),
    ("web01-fs-hygiene.json", "web01-fs-hygiene.ndjson"),
    ("web01-ioc.json", "web01-ioc.ndjson"),
    ("web01-audit-error.json", "web01-audit-error.ndjson"),
    ("micro-default.json", "micro-default.ndjson"),
    ("web01-wk2-rules.json", "web01-wk2-rules.ndjson"),
    ("web01-base-default.json", "web01-base-default.sarif"),
    ("web01-wk2-rules.json", "web01-wk2-rules.sarif"),
]
DEBIAN = ScanHeader(source_format="json", os_id="debian", euid="0")


@pytest.mark.parametrize("format_", ["json", "ndjson", "sarif"])
def test_every_real_finding_has_the_class_of_its_id_and_a_text(format_: str) -> None:
    seen = list(everywhere(names(format_), *SCANNERS))
    assert len(seen) >= 6
    for name, raw, found in seen:
        assert found.class_id == CLASS_OF_ID[raw.id], (name, raw)
        header = report(name).header
        analysis_of(found, raw.severity, header)
        topics_of(found, raw.severity, header)


def test_missing_selinux_on_a_host_with_apparmor_is_no_problem_of_the_host() -> None:
    seen = 0
    for name, raw, found in everywhere(names("json"), *SCANNERS):
        if raw.id == "selinux" and raw.severity == "low":
            header = report(name).header
            assert (found.status, found.status_basis) == ("info", "metadata"), name
            assert "no problem of the host" in analysis_of(found, raw.severity, header)[1]
            assert remediations_of(found, raw.severity, header) == []
            if not header.rules_enabled:
                assert artefacts_of(found, raw.severity, header) == {"mac.selinux_absence_is_normal": "certain"}
            seen += 1
    assert seen == 26


def test_a_host_without_either_is_open_in_all_three_findings() -> None:
    found = {raw.id: one for _, raw, one in of_classes("micro-nolsm.json", SCANNERS)}
    assert {key: one.status for key, one in found.items()} == {
        "selinux": "open",
        "apparmor": "open",
        "mac_none": "open",
    }
    header = report("micro-nolsm.json").header
    assert remediations_of(found["mac_none"], "high", header) == ["apparmor.enable"]
    assert "AppArmor is the one to have" in analysis_of(found["selinux"], "high", header)[1]


def test_in_a_container_the_two_say_nothing_and_the_third_says_that_it_may_be_one() -> None:
    found = {raw.id: one for _, raw, one in of_classes("micro-default.json", SCANNERS)}
    assert {key: one.status for key, one in found.items()} == {
        "selinux": "info",
        "apparmor": "info",
        "mac_none": "open",
    }
    header = report("micro-default.json").header
    assert "container" in analysis_of(found["apparmor"], "info", header)[1]
    assert "container" in analysis_of(found["mac_none"], "low", header)[1]


def test_permissive_selinux_is_open_and_asks_to_enforce() -> None:
    ((_, raw, found),) = [
        one for one in of_classes("micro-selinux-permissive.json", SCANNERS) if one[1].id == "selinux"
    ]
    header = report("micro-selinux-permissive.json").header
    assert (found.status, found.features["mode"], found.features["after_boot"]) == ("open", "permissive", "same")
    assert remediations_of(found, raw.severity, header) == ["selinux.enforce"]
    assert topics_of(found, raw.severity, header) == {"mac.selinux.enforcing"}


def test_unconfined_services_are_open_and_told_by_a_bucket() -> None:
    seen = [one for one in everywhere(names("json"), *SCANNERS) if "unconfined_critical" in one[1].metadata]
    assert len(seen) == 25
    for name, raw, found in seen:
        assert (found.status, found.features["unconfined"]) == ("open", "few"), name
        assert "2 processes" in analysis_of(found, raw.severity, report(name).header)[1]
        assert topics_of(found, raw.severity, report(name).header) == {"mac.apparmor.unconfined_critical"}
    assert len({found.situation for _, _, found in seen}) == 2  # with and without the user in the header


def test_an_ordinary_user_cannot_see_unconfined_services_so_their_absence_says_nothing() -> None:
    ((_, raw, found),) = [one for one in of_classes("web01-unpriv.json", SCANNERS) if one[1].id == "apparmor"]
    assert (found.status, found.status_basis) == ("unknown", "metadata")
    assert remediations_of(found, raw.severity, report("web01-unpriv.json").header) == ["scanner.rerun_as_root"]


def selinux(severity: str = "info", format_: str = "json", os_id: str | None = "debian", **metadata: str) -> str:
    found = classify_one("mac", "selinux", severity, format_=format_, metadata=metadata, os_id=os_id)
    analysis_of(found, severity, ScanHeader(source_format=format_, os_id=os_id))  # type: ignore[arg-type]
    return found.status


def test_selinux_passes_when_it_enforces_now_and_after_the_next_boot() -> None:
    on = {"present": "true", "enforcing": "true", "permissive": "false"}
    assert selinux(**on) == "passed"
    assert selinux(**on, config_mode="enforcing") == "passed"
    assert selinux(**on, config_mode="permissive") == "open"
    assert selinux(**on, config_mode="disabled ") == "open"
    assert selinux(present="true", enforcing="false", permissive="false") == "unknown"


def apparmor(severity: str, os_id: str | None = "debian", **metadata: str) -> tuple[str, dict[str, str], set[str]]:
    header = ScanHeader(source_format="json", os_id=os_id, euid="0")
    found = classify_one("mac", "apparmor", severity, metadata=metadata, os_id=os_id, euid="0")
    analysis_of(found, severity, header)
    return found.status, artefacts_of(found, severity, header), topics_of(found, severity, header)


def test_apparmor_passes_when_it_is_on_and_confines_what_is_exposed() -> None:
    on = {"enabled": "true", "mode_line": "Y", "profiles_seen": "90"}
    assert apparmor("info", **on, complain_count="0") == (
        "passed",
        {},
        {"mac.apparmor.boot_enabled", "mac.apparmor.profiles_enforcing", "mac.apparmor.unconfined_critical"},
    )
    assert apparmor("info", **on, complain_count="3")[::2] == ("open", {"mac.apparmor.profiles_enforcing"})
    both = apparmor("medium", **on, complain_count="12", unconfined_critical="7")
    assert both[2] == {"mac.apparmor.profiles_enforcing", "mac.apparmor.unconfined_critical"}


def test_apparmor_that_answers_n_is_off_although_the_scanner_counts_it_as_enabled() -> None:
    status, artefacts, topics = apparmor("info", enabled="true", mode_line="N", profiles_seen="90", complain_count="0")
    assert (status, artefacts, topics) == ("open", {}, {"mac.apparmor.boot_enabled"})
    labels = apparmor("medium", os_id="fedora", enabled="true", mode_line="N", unconfined_critical="3")
    assert labels[:2] == ("info", {"mac.selinux_labels_counted": "likely"})


def test_missing_apparmor_is_judged_by_what_the_distribution_uses() -> None:
    assert apparmor("high", enabled="false")[:2] == ("open", {})
    assert apparmor("high", os_id="rhel", enabled="false")[:2] == ("info", {"mac.apparmor_on_selinux_system": "likely"})
    assert apparmor("high", os_id=None, enabled="false")[:2] == (
        "open", {"mac.apparmor_selinux_unknown": "cannot_tell"},
    )  # fmt: skip


@pytest.mark.parametrize("format_", ["ndjson", "json"])
def test_two_at_once_is_an_artefact_and_no_problem(format_: str) -> None:
    header = ScanHeader(source_format=format_)  # type: ignore[arg-type]
    found = classify_one("mac", "mac_dual", "info", format_=format_)
    assert (found.class_id, found.status) == ("mac.dual", "info")
    assert artefacts_of(found, "info", header) == {"mac.dual_misread": "likely"}


@pytest.mark.parametrize(("json_name", "other_name"), TWINS)
def test_what_is_restored_is_what_the_json_report_of_the_scan_says(json_name: str, other_name: str) -> None:
    pairs = list(same_finding(json_name, other_name, SCANNERS))
    assert pairs
    for twin, found in pairs:
        assert (found.title, found.description) == (twin.title, twin.description)
        for key, value in found.metadata.items():
            assert twin.metadata[key] == value, found
        assert found.status in {twin.status, "unknown"}
        assert found.fingerprint == twin.fingerprint


def test_severity_tells_the_state_where_no_rule_wrote_it() -> None:
    def state(id_: str, severity: str) -> tuple[str, str]:
        found = classify_one("mac", id_, severity, format_="ndjson")
        return found.status, found.status_basis

    assert state("selinux", "low") == ("info", "severity")
    assert state("selinux", "medium") == ("open", "severity")
    assert state("selinux", "high") == ("open", "severity")
    assert state("selinux", "info") == ("unknown", "none")
    assert state("apparmor", "medium") == ("open", "severity")
    assert state("apparmor", "high") == ("open", "severity")
    assert state("apparmor", "info") == ("unknown", "none")
    ruled = classify_one("mac", "selinux", "high", format_="ndjson", rules_enabled=True)
    assert (ruled.class_id, ruled.status, ruled.metadata) == ("mac.selinux", "unknown", {})
