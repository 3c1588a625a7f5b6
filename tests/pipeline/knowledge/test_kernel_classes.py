"""Kernel parameters and kernel hardening: which class, which status under which policy, what is restored."""

import pytest

from pipeline.finding import ScanHeader
from tests.pipeline.knowledge.real_scans import names
from tests.pipeline.knowledge.reports import classify_one, everywhere, of_classes, report, same_finding
from tests.pipeline.knowledge.verdicts import analysis_of, artefacts_of, remediations_of, topics_of

SCANNERS = ("kernel_params", "kernel_hardening")
CLASS_OF_ID = {
    "/proc/sys/kernel/randomize_va_space": "kernel_params.randomize_va_space",
    "/proc/sys/kernel/kptr_restrict": "kernel_params.kptr_restrict",
    "/proc/sys/net/ipv4/conf/all/rp_filter": "kernel_params.rp_filter",
    "/proc/sys/net/ipv4/ip_forward": "kernel_params.ip_forward",
    "kernel:lockdown:disabled": "kernel_hardening.lockdown_disabled",
    "kernel:lockdown:integrity": "kernel_hardening.lockdown_integrity",
    "kernel:lockdown:confidentiality": "kernel_hardening.lockdown_confidentiality",
    "kernel:secureboot:efi": "kernel_hardening.secureboot_efi",
    "kernel:secureboot:dbx-missing": "kernel_hardening.secureboot_dbx_missing",
    "kernel:ima:policy": "kernel_hardening.ima_policy",
    "kernel:tpm:present": "kernel_hardening.tpm_present",
    "kernel:tpm:absent": "kernel_hardening.tpm_absent",
    "kernel:sysctl:kptr_restrict": "kernel_hardening.sysctl_kptr_restrict",
    "kernel:sysctl:dmesg_restrict": "kernel_hardening.sysctl_dmesg_restrict",
    "kernel:sysctl:kexec_disabled": "kernel_hardening.sysctl_kexec_disabled",
    "kernel:sysctl:sysrq": "kernel_hardening.sysctl_sysrq",
    "kernel:sysctl:tcp_syncookies": "kernel_hardening.sysctl_tcp_syncookies",
    "kernel:sysctl:rp_filter": "kernel_hardening.sysctl_rp_filter",
    "kernel:sysctl:accept_redirects": "kernel_hardening.sysctl_accept_redirects",
    "kernel:sysctl:accept_source_route": "kernel_hardening.sysctl_accept_source_route",
}
GOOD = {
    "randomize_va_space": {"2"}, "kptr_restrict": {"1", "2"}, "rp_filter": {"1", "2"}, "ip_forward": {"0"},
    "dmesg_restrict": {"1"}, "kexec_disabled": {"1"}, "sysrq": {"0", "4", "16", "20", "176"}, "tcp_syncookies": {"1"},
    "accept_redirects": {"0"}, "accept_source_route": {"0"},
}  # fmt: skip
STATE = {
    "lockdown_disabled": "open", "lockdown_integrity": "passed", "lockdown_confidentiality": "passed",
    "secureboot_efi": "info", "secureboot_dbx_missing": "open", "tpm_present": "passed", "tpm_absent": "open",
}  # fmt: skip
TWINS = [
    ("web01-base-default.json", "web01-base-default.ndjson"),
    ("web01-base-full.json.gz", "web01-base-full.ndjson.gz"),
    ("web01-fs-hygiene.json", "web01-fs-hygiene.ndjson"),
    ("web01-ioc.json", "web01-ioc.ndjson"),
    ("micro-default.json", "micro-default.ndjson"),
    ("web01-wk2-rules.json", "web01-wk2-rules.ndjson"),
    ("web01-base-default.json", "web01-base-default.sarif"),
    ("web01-base-full.json.gz", "web01-base-full.sarif.gz"),
    ("web01-wk2-rules.json", "web01-wk2-rules.sarif"),
]
JSON = ScanHeader(source_format="json")
NDJSON = ScanHeader(source_format="ndjson")


def short(class_id: str) -> str:
    return class_id.partition(".")[2].removeprefix("sysctl_")


@pytest.mark.parametrize("format_", ["json", "ndjson", "sarif"])
def test_every_real_finding_has_the_class_of_its_id(format_: str) -> None:
    seen = list(everywhere(names(format_), *SCANNERS))
    assert len(seen) > 10
    for name, raw, found in seen:
        assert found.class_id == CLASS_OF_ID[raw.id], (name, raw)


def test_in_json_the_value_and_the_policy_decide() -> None:
    seen = 0
    for name, raw, found in everywhere(names("json"), *SCANNERS):
        value = found.slots.get("current", found.slots.get("value"))
        if value is None:
            assert (found.status, found.status_basis) == (STATE[short(found.class_id)], "class"), (name, raw)
        else:
            expected = "passed" if value in GOOD[short(found.class_id)] else "open"
            assert (found.status, found.status_basis) == (expected, "metadata"), (name, raw)
            seen += 1
    assert seen > 150


def test_weak_settings_are_open_and_loose_path_filtering_passes() -> None:
    statuses = {raw.id: found.status for _, raw, found in of_classes("web01-sysctl-weak.json", SCANNERS)}
    passed = {key for key, status in statuses.items() if status == "passed"}
    assert passed == {"/proc/sys/net/ipv4/conf/all/rp_filter", "kernel:sysctl:rp_filter"}
    assert set(statuses.values()) == {"passed", "open"} and len(statuses) == 14


def test_strong_settings_pass_and_what_is_no_sysctl_stays_open() -> None:
    statuses = {raw.id: found.status for _, raw, found in of_classes("web01-sysctl-strong.json", SCANNERS)}
    still_open = {key for key, status in statuses.items() if status != "passed"}
    assert still_open == {"kernel:lockdown:disabled", "kernel:tpm:absent"}
    assert len(statuses) == 14


def test_a_strict_policy_opens_the_values_that_it_does_not_accept() -> None:
    def opened(file: str, profile: str) -> set[str]:
        return {raw.id for _, raw, found in of_classes(file, SCANNERS, profile) if found.status == "open"}

    assert opened("web01-sysctl-strong.json", "strict") - opened("web01-sysctl-strong.json", "default") == {
        "/proc/sys/kernel/kptr_restrict", "kernel:sysctl:kptr_restrict",
    }  # fmt: skip
    assert opened("web01-sysctl-weak.json", "cis") - opened("web01-sysctl-weak.json", "default") == {
        "/proc/sys/net/ipv4/conf/all/rp_filter", "kernel:sysctl:rp_filter",
    }  # fmt: skip


@pytest.mark.parametrize(("json_name", "other_name"), TWINS)
def test_what_is_restored_is_what_the_json_report_of_the_scan_says(json_name: str, other_name: str) -> None:
    pairs = list(same_finding(json_name, other_name, SCANNERS))
    assert pairs
    for twin, found in pairs:
        assert (found.title, found.description) == (twin.title, twin.description)
        for key, value in found.metadata.items():
            assert twin.metadata[key] == value, found
        assert found.fingerprint == twin.fingerprint
        assert set(found.restored) >= {f"metadata.{key}" for key in found.metadata}


@pytest.mark.parametrize(("json_name", "other_name"), TWINS)
def test_the_status_is_that_of_the_json_report_or_unknown(json_name: str, other_name: str) -> None:
    rules = report(other_name).header.rules_enabled
    for twin, found in same_finding(json_name, other_name, SCANNERS):
        if found.class_id == "kernel_params.ip_forward" or (rules and found.class_id.startswith("kernel_params.")):
            assert (found.status, found.status_basis) == ("unknown", "none")
        elif found.class_id == "kernel_params.randomize_va_space" and "rules" in other_name:
            assert found.status == "unknown"  # a severity that the scanner never gives here
        else:
            assert found.status == twin.status
            assert found.status_basis in {"severity", "description", "class"}


@pytest.mark.parametrize(
    ("scanner", "id_", "key", "severity"),
    [
        ("kernel_params", "/proc/sys/kernel/kptr_restrict", "current", "low"),
        ("kernel_hardening", "kernel:sysctl:kptr_restrict", "value", "low"),
    ],
)
def test_the_stricter_kptr_restrict_passes_and_the_scanner_is_said_to_be_wrong(
    scanner: str, id_: str, key: str, severity: str
) -> None:
    for profile in ("default", "strict", "cis", "stig"):
        found = classify_one(scanner, id_, severity, profile=profile, metadata={key: "2", "status": "mismatch"})
        assert (found.status, found.status_basis) == ("passed", "metadata")
        assert set(artefacts_of(found, severity, JSON).values()) == {"certain"}
        assert "stricter" in analysis_of(found, severity, JSON, profile)[1]
        assert remediations_of(found, severity, JSON, profile) == []
    plain = classify_one(scanner, id_, severity, metadata={key: "0", "status": "mismatch"})
    assert plain.status == "open" and artefacts_of(plain, severity, JSON) == {}


def test_a_mismatch_without_its_value_says_that_it_may_be_the_stricter_one() -> None:
    found = classify_one("kernel_params", "/proc/sys/kernel/kptr_restrict", "low", format_="ndjson")
    assert (found.status, found.status_basis) == ("open", "severity")
    assert set(artefacts_of(found, "low", NDJSON).values()) == {"cannot_tell"}


def test_severity_implies_the_value_so_a_strict_policy_sees_through_ndjson() -> None:
    def found(profile: str) -> tuple[str, str, str]:
        it = classify_one("kernel_hardening", "kernel:sysctl:kptr_restrict", "info", format_="ndjson", profile=profile)
        return it.status, it.description, it.metadata["value"]

    assert found("default") == ("passed", "Kernel pointers restricted", "1")
    assert found("strict") == ("open", "Kernel pointers restricted", "1")


def test_a_severity_that_a_rule_may_have_written_tells_nothing() -> None:
    for id_, severity in (("/proc/sys/kernel/kptr_restrict", "info"), ("/proc/sys/kernel/kptr_restrict", "low")):
        found = classify_one("kernel_params", id_, severity, format_="ndjson", rules_enabled=True)
        assert (found.class_id, found.status) == ("kernel_params.kptr_restrict", "unknown")
        assert "current" not in found.metadata and "status" not in found.metadata


def test_in_sarif_the_description_outweighs_a_severity_that_disagrees() -> None:
    said = {"title": "dmesg_restrict", "description": "dmesg not restricted"}
    found = classify_one(None, "kernel:sysctl:dmesg_restrict", "info", format_="sarif", **said)
    assert (found.status, found.status_basis) == ("open", "description")
    assert "value" not in found.metadata


@pytest.mark.parametrize("value", ["0", "1"])
def test_whether_forwarding_is_wrong_is_left_to_the_role_of_the_host(value: str) -> None:
    found = classify_one("kernel_params", "/proc/sys/net/ipv4/ip_forward", "info", metadata={"current": value})
    assert found.status == ("open" if value == "1" else "passed")
    _, assessment, _ = analysis_of(found, "info", JSON)
    assert ("role" in assessment and "router" in assessment) == (value == "1")
    assert ("sysctl.ip_forward_off" in remediations_of(found, "info", JSON)) == (value == "1")


def test_path_filtering_at_zero_says_that_the_interfaces_decide() -> None:
    for scanner, id_, key in (
        ("kernel_params", "/proc/sys/net/ipv4/conf/all/rp_filter", "current"),
        ("kernel_hardening", "kernel:sysctl:rp_filter", "value"),
    ):
        found = classify_one(scanner, id_, "low", metadata={key: "0"})
        assert set(artefacts_of(found, "low", JSON).values()) == {"cannot_tell"}
        assert "higher of this value and its own" in analysis_of(found, "low", JSON)[1]
        loose = classify_one(scanner, id_, "low", metadata={key: "2"})
        assert set(artefacts_of(loose, "low", JSON).values()) == {"likely"}
        refused = classify_one(scanner, id_, "low", metadata={key: "2"}, profile="cis")
        assert refused.status == "open" and artefacts_of(refused, "low", JSON) == {}


def test_the_missing_revocation_list_is_an_artefact_wherever_it_shows() -> None:
    dbx = [
        (raw, found, artefacts_of(found, raw.severity, report(name).header))
        for name, raw, found in everywhere(names("json"), "kernel_hardening")
        if raw.id == "kernel:secureboot:dbx-missing"
    ]
    assert len(dbx) == 2
    assert all(set(degrees.values()) == {"certain"} for _, _, degrees in dbx)


@pytest.mark.parametrize(
    ("mask", "status", "words"),
    [
        ("0", "passed", "off at the console"), ("1", "open", "All magic"), ("438", "open", "neither killing"),
        ("176", "passed", "policy accepts"), ("64", "open", "killing processes or dumping"), ("16", "passed", "policy"),
        ("-1", "open", "no mask"),
    ],
)  # fmt: skip
def test_the_sysrq_mask_is_told_by_what_it_lets_a_person_do(mask: str, status: str, words: str) -> None:
    found = classify_one("kernel_hardening", "kernel:sysctl:sysrq", "low", metadata={"value": mask})
    assert found.status == status
    assert words in analysis_of(found, "low", JSON)[1]


def test_an_ima_policy_is_good_only_with_appraisal() -> None:
    def status(**said: object) -> tuple[str, str]:
        found = classify_one("kernel_hardening", "kernel:ima:policy", "info", **said)  # type: ignore[arg-type]
        return found.status, found.status_basis

    assert status(metadata={"appraise": "yes"}) == ("passed", "metadata")
    assert status(metadata={"appraise": "no"}) == ("info", "metadata")
    assert status(format_="sarif", description="IMA policy includes appraisal") == ("passed", "description")
    assert status(format_="ndjson") == ("unknown", "none")


@pytest.mark.parametrize("id_", sorted(CLASS_OF_ID))
@pytest.mark.parametrize("format_", ["json", "ndjson", "sarif"])
def test_every_value_has_a_text_and_a_fixed_set_of_words(id_: str, format_: str) -> None:
    class_id = CLASS_OF_ID[id_]
    scanner = class_id.partition(".")[0]
    key = "current" if scanner == "kernel_params" else "value"
    header = ScanHeader(source_format=format_)  # type: ignore[arg-type]
    for profile in ("default", "strict", "cis", "stig"):
        for severity in ("info", "low", "medium", "high"):
            for value in ("0", "1", "2", "438", "x y", None):
                metadata = {key: value} if value is not None and format_ == "json" else {}
                found = classify_one(scanner, id_, severity, format_=format_, profile=profile, metadata=metadata)
                if found.class_id == class_id:  # NDJSON: not with a severity that the class never has
                    analysis_of(found, severity, header, profile)
                    topics_of(found, severity, header, profile)
                    assert set(found.features.values()) <= {
                        "0", "1", "2", "other", "none", "all", "harmless", "reboot", "kill_or_dump", "yes", "no",
                    }  # fmt: skip


def test_an_id_that_only_resembles_a_parameter_is_not_taken_for_it() -> None:
    for id_ in ("kernel:sysctl:sysrq\n", "x/proc/sys/kernel/kptr_restrict", "/proc/sys/kernel/kptr_restrict\nx"):
        assert classify_one("kernel_hardening", id_, "low").class_id == "unknown.kernel_hardening"
        assert classify_one("kernel_params", id_, "low").class_id == "unknown.kernel_params"
