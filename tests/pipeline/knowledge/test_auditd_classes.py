import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.real_scans import classified, knowledge, names, read
from tests.pipeline.knowledge.what_is_said import artefacts, classify, remediations, text, topics

CALLS = ("execve", "setuid", "setgid", "chmod", "chown", "capset", "insmod")
CLASS_OF_ID = {
    "auditd:rules:missing": "auditd.rules_missing",
    "auditd:execve:absent": "auditd.execve_absent",
    **{f"auditd:{call}": f"auditd.{call}" for call in CALLS},
}
ROOT, USER = ScanHeader("json", host="h", euid="0"), ScanHeader("json", host="h", euid="1001")


def missing(call: str) -> RawFinding:
    title = "Module load auditing" if call == "insmod" else f"Audit {call} present"
    return RawFinding("auditd", f"auditd:{call}", "medium", title, f"{title} missing")


def test_every_finding_of_the_real_reports_has_the_class_of_its_id_and_the_status_of_its_text() -> None:
    seen = 0
    for name in names("json"):
        for raw, found in classified(name, "auditd"):
            if raw.id == "auditd:error":
                continue  # a class of all scanners
            seen += 1
            assert found.class_id == CLASS_OF_ID[raw.id]
            assert found.status == ("passed" if raw.severity == "info" else "open")
            assert found.status_basis == (
                "class" if raw.id in ("auditd:rules:missing", "auditd:execve:absent") else "description"
            )
    assert seen == 51


@pytest.mark.parametrize(("name", "count"), [("web01-base-full", 8), ("web01-audit-missing", 1)])
def test_ndjson_restores_title_and_description(name: str, count: int) -> None:
    file = next(candidate for candidate in names("ndjson") if candidate.startswith(name))
    written = {raw.id: raw for twin in names("json") for raw, _ in classified(twin, "auditd") if raw.severity != "info"}
    seen = list(classified(file, "auditd"))
    assert len(seen) == count
    for raw, found in seen:
        assert found.class_id == CLASS_OF_ID[raw.id]
        assert found.status == "open"
        assert (found.title, found.description) == (written[raw.id].title, written[raw.id].description)
        assert found.restored == ("description", "title")


def test_a_passed_rule_is_restored_as_such() -> None:
    found = classify(RawFinding("auditd", "auditd:chown", "info"), ScanHeader("ndjson"))
    assert (found.status, found.status_basis) == ("passed", "severity")
    assert found.description == "chown syscall auditing present"


def test_where_rules_rewrote_the_severity_nothing_is_claimed() -> None:
    header = ScanHeader("ndjson", rules_enabled=True)
    found = classify(RawFinding("auditd", "auditd:chown", "critical"), header)
    assert (found.class_id, found.status, found.description) == ("auditd.chown", "unknown", "")
    assert "cannot be told" in text(found, header)[0]
    gone = classify(RawFinding("auditd", "auditd:rules:missing", "info"), header)
    assert gone.status == "open"


def test_missing_rules_may_be_the_wrong_directory_and_the_first_step_is_to_look_again() -> None:
    raw = RawFinding(
        "auditd", "auditd:rules:missing", "medium", "No auditd rules detected", "Could not read auditd rules files"
    )
    found = classify(raw, ROOT)
    assert artefacts(found, ROOT) == {"auditd.relative_path": "cannot_tell"}
    assert "started in" in text(found, ROOT)[0]
    assert [use for use, _ in remediations(found, ROOT)] == ["scanner.rerun_in_root_dir", "audit.rules_all"]


@pytest.mark.parametrize("call", CALLS)
def test_rules_that_only_root_can_read_look_missing_to_others(call: str) -> None:
    found = classify(missing(call), USER)
    assert artefacts(found, USER)["auditd.not_root"] == "likely"
    assert remediations(found, USER)[0][0] == "scanner.rerun_as_root"
    assert "did not run as root" in text(found, USER)[0]
    sure = classify(missing(call), ROOT)
    assert "auditd.not_root" not in artefacts(sure, ROOT)
    assert [use.startswith("audit.rules_") for use, _ in remediations(sure, ROOT)] == [True]


def test_what_the_scanners_pattern_does_not_see_is_said() -> None:
    assert artefacts(classify(missing("setuid"), ROOT), ROOT) == {"auditd.first_of_list": "cannot_tell"}
    assert artefacts(classify(missing("insmod"), ROOT), ROOT) == {"auditd.module_key": "cannot_tell"}
    assert artefacts(classify(missing("execve"), ROOT), ROOT) == {}


def test_every_class_is_evidence_for_its_topic_and_is_told_in_whole() -> None:
    for name in (*names("json"), *names("ndjson")):
        header, _ = read(name)
        for raw, found in classified(name, "auditd"):
            if raw.id != "auditd:error":
                assert topics(found, header)
                assert all("{" not in said and said.endswith(".") for said in text(found, header))
    assert {key for key in knowledge().classes if key.startswith("auditd.")} == set(CLASS_OF_ID.values())


@pytest.mark.parametrize("id_", ["auditd:execve\n", "auditd:execve:absent:x", "xauditd:chmod"])
def test_ids_are_matched_whole(id_: str) -> None:
    assert classify(RawFinding("auditd", id_, "medium"), ScanHeader("ndjson")).class_id == "unknown.auditd"
