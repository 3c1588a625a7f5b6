import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.real_scans import classified, names
from tests.pipeline.knowledge.what_is_said import artefacts, classify, remediations, text, topics

REQUIREMENTS = {
    "3.4": "Sensitive data encryption configurations present (approximation)",
    "7.1": "Access control files have expected permissions (/etc/passwd, /etc/shadow)",
    "10.2": "Logging configuration present (/etc/rsyslog.conf or /etc/syslog.conf)",
    "2.2.4": "Critical system file permissions restrictive (/etc/ssh/sshd_config)",
}


def check(control: str, **metadata: str) -> RawFinding:
    requirement = REQUIREMENTS[control]
    return RawFinding(
        "pci_compliance", f"pci_dss_4_0:{control}", "high" if control == "7.1" else "medium",
        f"pci_dss_4_0 control {control}", requirement, score=0,
        metadata={"standard": "pci_dss_4_0", "control_id": control, "requirement": requirement, **metadata},
    )  # fmt: skip


def test_the_outcome_alone_decides_in_every_real_report() -> None:
    seen = 0
    for name in names("json"):
        for raw, found in classified(name, "pci_compliance"):
            seen += 1
            assert found.class_id == "pci_compliance." + raw.metadata["control_id"].replace(".", "_")
            assert found.status == {"true": "passed", "false": "open"}[raw.metadata["passed"]]
            assert found.status_basis == "metadata"
    assert seen == 17


def test_ndjson_carries_no_outcome_and_restores_all_that_is_fixed() -> None:
    truth = {raw.id: (raw, found) for raw, found in classified("web01-base-full.json.gz", "pci_compliance")}
    seen = list(classified("web01-base-full.ndjson.gz", "pci_compliance"))
    assert len(seen) == 4
    for raw, found in seen:
        twin, other = truth[raw.id]
        assert (found.class_id, found.fingerprint) == (other.class_id, other.fingerprint)
        assert (found.status, found.status_basis) == ("unknown", "none")
        assert (found.title, found.description) == (twin.title, twin.description)
        assert found.metadata == {key: value for key, value in twin.metadata.items() if key != "passed"}
        assert "does not carry its outcome" in text(found, ScanHeader("ndjson"))[0]


@pytest.mark.parametrize("control", REQUIREMENTS)
def test_a_check_that_does_not_apply_or_breaks_is_neither_passed_nor_failed(control: str) -> None:
    skipped = classify(check(control, passed="false", not_applicable="true", rationale="not_applicable"))
    assert (skipped.status, remediations(skipped)) == ("info", [])
    broken = classify(check(control, passed="false", rationale="test_exception"))
    assert broken.status == "error" and "error" in text(broken)[0]
    assert [use for use, _ in remediations(broken)] == ["compliance.scope_review"]


@pytest.mark.parametrize("control", REQUIREMENTS)
def test_the_number_of_a_passed_check_is_certainly_wrong(control: str) -> None:
    found = classify(check(control, passed="true"))
    assert list(artefacts(found).values()) == ["certain"]
    assert remediations(found) == []


def test_a_wrong_number_takes_nothing_from_a_real_defect() -> None:
    shadow = classify(check("7.1", passed="false"))
    assert artefacts(shadow) == {}
    assert "the defect is real" in text(shadow)[0]
    assert remediations(shadow) == [("file.mode_account_files", {})]
    assert topics(shadow) == ["file_permissions.etc_passwd", "file_permissions.etc_shadow"]
    assert artefacts(classify(check("2.2.4", passed="false"))) == {"pci_compliance.no_sshd": "cannot_tell"}


def test_a_host_with_journald_only_probably_logs() -> None:
    found = classify(check("10.2", passed="false"))
    assert artefacts(found) == {"pci_compliance.journald_only": "likely"}
    assert "journald" in text(found)[0]


def test_a_pass_supports_only_what_it_shows() -> None:
    assert topics(classify(check("3.4", passed="true"))) == []
    assert topics(classify(check("3.4", passed="false"))) == ["encryption.disk"]
    assert topics(classify(check("2.2.4", passed="true"))) == []
    assert topics(classify(check("10.2", passed="true"))) == ["logging.rsyslog"]


@pytest.mark.parametrize("id_", ["pci_dss_4_0:3.4\n", "pci_dss_4_0:304", "pci_dss_4_0:10.2.1"])
def test_ids_are_matched_whole(id_: str) -> None:
    found = classify(RawFinding("pci_compliance", id_, "medium"), ScanHeader("ndjson"))
    assert found.class_id == "unknown.pci_compliance"
