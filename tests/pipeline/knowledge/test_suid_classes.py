import pytest

from pipeline.classes.classify import Classifier
from pipeline.finding import Classified, RawFinding, ScanHeader
from tests.pipeline.compiled import compiled
from tests.pipeline.knowledge.real_scans import classified, knowledge, names

TITLE, DESCRIPTION = "SUID/SGID binary", "Binary has SUID or SGID bit set"
CLASS_OF_SEVERITY = {
    "low": "suid_sgid.expected",
    "medium": "suid_sgid.unexpected",
    "high": "suid_sgid.usr_local",
    "critical": "suid_sgid.tmp_path",
}


def classify(path: str, os_id: str | None = "debian", severity: str = "medium") -> Classified:
    header = ScanHeader("json", host="h", os_id=os_id)
    metadata = {"expected": "true"} if severity == "low" else {}
    raw = RawFinding("suid_sgid", path, severity, TITLE, DESCRIPTION, metadata=metadata)  # type: ignore[arg-type]
    return Classifier(compiled(knowledge(), "default"), header, "h").classify(raw)


def test_every_finding_of_the_real_reports_has_the_class_that_its_severity_shows() -> None:
    seen = [(raw, c) for name in names("json") for raw, c in classified(name, "suid_sgid")]
    assert len(seen) == 375
    for raw, found in seen:
        assert found.class_id == CLASS_OF_SEVERITY[raw.severity], raw
        assert (found.class_id == "suid_sgid.expected") == (raw.metadata.get("expected") == "true")
        assert found.status == ("info" if found.class_id == "suid_sgid.expected" else "open")


def test_stock_helpers_beyond_the_scanners_list_are_known_as_such() -> None:
    seen = {raw.id: c for name in names("json") for raw, c in classified(name, "suid_sgid") if raw.severity == "medium"}
    assert {c.features["owner"] for c in seen.values()} == {"distribution"}
    assert seen["/usr/sbin/unix_chkpwd"].features["package"] == "libpam-modules-bin"


def test_ndjson_restores_what_the_json_twin_says() -> None:
    for twin in ("web01-base-default", "web01-fs-hygiene", "web01-wk2-rules", "micro-default"):
        truth = {raw.id: c for raw, c in classified(f"{twin}.json", "suid_sgid")}
        seen = list(classified(f"{twin}.ndjson", "suid_sgid"))
        assert len(seen) == len(truth)
        for raw, found in seen:
            other = truth[raw.id]
            assert (found.class_id, found.status, found.title, found.description, found.fingerprint) == (
                other.class_id, other.status, other.title, other.description, other.fingerprint,
            )  # fmt: skip
            # The scanner's own rules add techniques to the metadata; nobody can restore those.
            assert found.metadata == {k: v for k, v in other.metadata.items() if k != "mitre_techniques"}


def test_sarif_is_settled_by_title_and_path() -> None:
    seen = [c for name in names("sarif") for raw, c in classified(name) if raw.title == TITLE]
    assert len(seen) == 45
    assert {c.class_id for c in seen} == {"suid_sgid.expected", "suid_sgid.unexpected"}


@pytest.mark.parametrize(
    ("path", "class_id"),
    [
        ("/usr/bin/sudo", "suid_sgid.expected"),
        ("/usr/bin/sudo\n", "suid_sgid.unexpected"),
        ("/usr/bin/x/sudo", "suid_sgid.expected"),
        ("/usr/bin/notsudo", "suid_sgid.unexpected"),
        ("/usr/bin/sudo.bak", "suid_sgid.unexpected"),
        ("/usr/local/bin/sudo", "suid_sgid.usr_local"),
        ("/usr/bin/tmp/sudo", "suid_sgid.tmp_path"),
        ("/usr/local/bin/tmp/x", "suid_sgid.usr_local"),
        ("/usr/bin/usr/local/x", "suid_sgid.usr_local"),
        ("/usr/bin/attmp/x", "suid_sgid.unexpected"),
    ],
)
def test_exactly_one_class_takes_each_path(path: str, class_id: str) -> None:
    severity = next(word for word, name in CLASS_OF_SEVERITY.items() if name == class_id)
    assert classify(path, severity=severity).class_id == class_id


def test_a_severity_of_another_class_of_set_id_files_leaves_the_class_open() -> None:
    found = classify("/usr/bin/sudo", severity="medium")
    assert (found.class_id, found.class_basis) == ("ambiguous", "shape")
    assert found.candidates == ("suid_sgid.expected", "suid_sgid.unexpected")


def test_a_known_name_in_a_strange_place_is_no_information_but_open() -> None:
    found = classify("/usr/bin/.x/sudo", severity="low")
    assert (found.class_id, found.status, found.features["owner"]) == ("suid_sgid.expected", "open", "name_only")


def test_another_distributions_file_is_told() -> None:
    assert classify("/usr/bin/unix_chkpwd", "debian").features["owner"] == "other_distribution"
    assert classify("/usr/bin/unix_chkpwd", "arch").features["owner"] == "distribution"


def test_absence_of_a_set_id_file_proves_nothing() -> None:
    classes = [spec for spec in knowledge().classes.values() if spec.scanner == "suid_sgid"]
    assert len(classes) == 4
    assert {spec.absence for spec in classes} == {"not_observed"}


def test_nothing_takes_the_bit_from_a_file_of_the_distribution() -> None:
    """`file.remove_setuid` is never offered without a test that the distribution does not own the path."""
    for class_id in ("suid_sgid.expected", "suid_sgid.unexpected"):
        for ref in knowledge().classes[class_id].remediation:
            if ref.use == "file.remove_setuid":
                assert any(p.what == "feature.owner" and "distribution" in (p.not_in or ()) for p in ref.when)


def test_situations_stay_few_whatever_the_names() -> None:
    situations = {classify(f"/usr/bin/implant-{number}").situation for number in range(200)}
    assert len(situations) == 1
