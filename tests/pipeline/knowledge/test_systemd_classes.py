import re
from collections import Counter, defaultdict

import pytest

from pipeline.features.systemd import contraindication
from pipeline.finding import Classified, RawFinding, ScanHeader
from tests.pipeline.knowledge.real_scans import classified, knowledge, names, read
from tests.pipeline.knowledge.what_is_said import JSON, artefacts, classify, remediations, text, topics

DIRECTIVES = (
    "NoNewPrivileges", "PrivateTmp", "ProtectSystem", "ProtectHome", "CapabilityBoundingSet", "RestrictNamespaces",
    "RestrictSUIDSGID", "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups",
    "MemoryDenyWriteExecute", "RestrictRealtime", "LockPersonality",
)  # fmt: skip
WANTED = {"ProtectSystem": "strict", "ProtectHome": "read-only", "CapabilityBoundingSet": ""}
GOOD = {
    "NoNewPrivileges": "enforced", "ProtectSystem": "strict", "ProtectHome": "read-only",
    "CapabilityBoundingSet": "present",
}  # fmt: skip
BAD = {
    "NoNewPrivileges": "not set to yes", "ProtectSystem": "not strict", "ProtectHome": "not read-only",
    "CapabilityBoundingSet": "not present (no reduction)",
}  # fmt: skip


def finding(directive: str, unit: str = "mine.service", value: str | None = None, passed: bool = False) -> RawFinding:
    """What the scanner writes."""
    metadata = {"unit": unit, "key": directive, "expected": WANTED.get(directive, "yes")}
    if value is not None:
        metadata["value"] = value
    description = f"{directive} " + (GOOD.get(directive, "enabled") if passed else BAD.get(directive, "not enabled"))
    severe = "medium" if directive in ("NoNewPrivileges", "ProtectSystem") else "low"
    return RawFinding(
        scanner="systemd_units",
        id=f"systemd:{directive}:{unit}",
        severity="info" if passed else severe,  # type: ignore[arg-type]
        title=f"{unit} {directive}",
        description=description if passed or value is not None else f"{description} (missing)",
        metadata=metadata,
    )


def ndjson(raw: RawFinding) -> RawFinding:
    return RawFinding(scanner=raw.scanner, id=raw.id, severity=raw.severity)


def sarif(raw: RawFinding) -> RawFinding:
    return RawFinding(scanner=None, id=raw.id, severity=raw.severity, title=raw.title, description=raw.description)


def expected_status(raw: RawFinding) -> str:
    """An independent reading: what systemd makes of the value that the scanner saw."""
    key, value = raw.metadata["key"], raw.metadata.get("value")
    if value is None:
        return "open"
    if key == "CapabilityBoundingSet":
        return "open" if value == "~" else "passed"
    if key == "ProtectSystem":
        return "passed" if value == "strict" else "open"
    if key == "ProtectHome":
        return "passed" if value in ("read-only", "tmpfs", "yes", "true", "1", "on") else "open"
    return "passed" if value in ("yes", "true", "1", "on") else "open"


def test_every_finding_of_the_real_reports_has_the_class_and_status_that_its_metadata_shows() -> None:
    seen = 0
    for name in names("json"):
        for raw, found in classified(name, "systemd_units"):
            seen += 1
            assert found.class_id == f"systemd_units.{raw.metadata['key']}"
            assert found.slots["unit"] == raw.metadata["unit"]
            assert found.status == expected_status(raw), raw
            assert found.restored == ()
    assert seen == 5837


def test_sarif_gives_the_classes_and_the_scanners_own_verdicts() -> None:
    seen = Counter(
        found.status
        for raw, found in classified("web01-base-full.sarif.gz", "systemd_units")
        if raw.id.startswith("systemd:")
        and found.class_id == f"systemd_units.{raw.id.split(':')[1]}"
        and found.status == ("passed" if raw.severity == "info" else "open")
    )
    assert seen == {"open": 2311, "passed": 341}


def test_ndjson_restores_what_the_json_twin_says() -> None:
    truth: dict[str, list[tuple[RawFinding, Classified]]] = defaultdict(list)
    for raw, found in classified("web01-base-full.json.gz", "systemd_units"):
        truth[raw.id].append((raw, found))
    seen = 0
    for raw, found in classified("web01-base-full.ndjson.gz", "systemd_units"):
        seen += 1
        twin, other = truth[raw.id][0]
        assert (found.class_id, found.fingerprint) == (other.class_id, other.fingerprint)
        assert found.title == twin.title and "title" in found.restored
        scanner_passed = twin.severity == "info"
        assert found.status == ("passed" if scanner_passed else "open")
        assert found.description == (twin.description if scanner_passed else "")
        assert ("description" in found.restored) == scanner_passed
        certain = {key: value for key, value in twin.metadata.items() if key != "value"}
        assert found.metadata == certain
    assert seen == 2652


def test_a_report_of_any_format_gives_the_same_situation_where_the_value_says_nothing_special() -> None:
    for directive in DIRECTIVES:
        for raw in (
            finding(directive, "cron.service"),
            finding(directive, "cron.service", value=WANTED.get(directive, "yes"), passed=True),
        ):
            if directive == "CapabilityBoundingSet" and raw.severity == "info":
                continue  # its presence alone says little
            found = classify(raw)
            assert classify(ndjson(raw), ScanHeader("ndjson")).situation == found.situation
            assert classify(sarif(raw), ScanHeader("sarif")).situation == found.situation


def test_without_a_description_the_severity_decides_nothing_where_rules_ran() -> None:
    raw = ndjson(finding("PrivateTmp"))
    found = classify(raw, ScanHeader("ndjson", rules_enabled=True))
    assert (found.class_id, found.status, found.status_basis) == ("systemd_units.PrivateTmp", "unknown", "none")
    assert found.title == "mine.service PrivateTmp"
    assert "cannot be told" in text(found, ScanHeader("ndjson", rules_enabled=True))[0]


@pytest.mark.parametrize("value", ["true", "1", "on", "Yes"])
def test_another_spelling_of_yes_is_a_pass_and_a_certain_artefact(value: str) -> None:
    found = classify(finding("NoNewPrivileges", value=value))
    assert (found.status, found.status_basis) == ("passed", "metadata")
    assert artefacts(found) == {"systemd_units.boolean_spelling": "certain"}
    assert f"NoNewPrivileges={value}" in text(found)[0]
    assert remediations(found) == []


def test_a_real_gap_beside_an_artefact_is_none() -> None:
    found = classify(finding("NoNewPrivileges", value="no"))
    assert (found.status, artefacts(found)) == ("open", {})
    assert "explicitly" in text(found)[0]


@pytest.mark.parametrize("value", ["yes", "tmpfs", "true"])
def test_hidden_home_directories_are_better_than_the_read_only_ones_that_the_scanner_wants(value: str) -> None:
    found = classify(finding("ProtectHome", value=value))
    assert found.status == "passed"
    assert artefacts(found) == {"systemd_units.stricter_value": "certain"}


@pytest.mark.parametrize(("directive", "value"), [("ProtectSystem", "full"), ("RestrictNamespaces", "net ipc")])
def test_a_partial_restriction_stays_open_and_is_said_to_be_one(directive: str, value: str) -> None:
    found = classify(finding(directive, value=value))
    assert (found.status, found.status_basis) == ("open", "metadata")
    assert artefacts(found) == {"systemd_units.partial_value": "likely"}
    assert value in text(found)[0]
    assert [use for use, _ in remediations(found)] == ["accept.known"]


def test_a_partial_restriction_is_said_to_be_one_even_where_the_textbook_value_would_break_the_unit() -> None:
    found = classify(finding("ProtectSystem", "e2scrub@.service", value="true"))
    assert "ProtectSystem=true" in text(found)[0]
    assert artefacts(found) == {"systemd_units.partial_value": "likely"}
    assert [use for use, _ in remediations(found)] == ["accept.known"]


def test_an_empty_bounding_set_is_the_strongest_and_one_that_excludes_nothing_is_open() -> None:
    empty = classify(finding("CapabilityBoundingSet", value="", passed=True))
    assert empty.status == "passed" and "strongest" in text(empty)[0]
    broad = classify(finding("CapabilityBoundingSet", value="CAP_SYS_ADMIN", passed=True))
    assert broad.status == "passed" and "as good as root" in text(broad)[0]
    none = classify(finding("CapabilityBoundingSet", value="~", passed=True))
    assert (none.status, none.status_basis) == ("open", "metadata")
    assert "excludes nothing" in text(none)[0]


def test_whether_a_home_is_hidden_cannot_be_told_where_the_value_is_not_reported() -> None:
    raw = finding("ProtectHome", value="yes")
    for bare, header in ((ndjson(raw), ScanHeader("ndjson")), (sarif(raw), ScanHeader("sarif"))):
        assert artefacts(classify(bare, header), header) == {"systemd_units.value_not_reported": "cannot_tell"}
    missing = sarif(finding("ProtectHome"))
    assert artefacts(classify(missing, ScanHeader("sarif")), ScanHeader("sarif")) == {}


@pytest.mark.parametrize("unit", ["ssh.service", "sshd@1-10.0.0.1.service", "getty@tty1.service", "cron.service"])
def test_no_new_privileges_is_never_asked_of_what_starts_shells_or_jobs(unit: str) -> None:
    found = classify(finding("NoNewPrivileges", unit))
    assert found.features["advice"] == "leave"
    assert remediations(found) == [("systemd.accept", {"unit": unit, "directive": "NoNewPrivileges"})]
    assert "sudo" in (contraindication(knowledge(), unit, "NoNewPrivileges") or "")
    assert artefacts(found) == {"systemd_units.does_not_fit": "likely"}
    assert topics(found) == []


@pytest.mark.parametrize(
    ("unit", "directive"),
    [
        ("systemd-modules-load.service", "ProtectKernelModules"),
        ("systemd-udevd.service", "ProtectKernelModules"),
        ("docker.service", "ProtectKernelModules"),
        ("systemd-sysctl.service", "ProtectKernelTunables"),
        ("procps.service", "ProtectKernelTunables"),
        ("user@1000.service", "ProtectHome"),
        ("containerd.service", "RestrictNamespaces"),
        ("systemd-nspawn@box.service", "RestrictNamespaces"),
        ("kubelet.service", "ProtectControlGroups"),
        ("apt-daily-upgrade.service", "RestrictSUIDSGID"),
        ("unattended-upgrades.service", "ProtectSystem"),
        ("rtkit-daemon.service", "RestrictRealtime"),
        ("postgresql@15-main.service", "MemoryDenyWriteExecute"),
        ("php8.2-fpm.service", "MemoryDenyWriteExecute"),
        ("elasticsearch.service", "MemoryDenyWriteExecute"),
        ("postfix.service", "NoNewPrivileges"),
        ("systemd-tmpfiles-clean.service", "PrivateTmp"),
        ("rescue.service", "ProtectSystem"),
        ("user-runtime-dir@1000.service", "ProtectKernelTunables"),
    ],
)
def test_a_directive_that_would_break_the_unit_gives_no_drop_in(unit: str, directive: str) -> None:
    found = classify(finding(directive, unit))
    assert contraindication(knowledge(), unit, directive)
    assert [use for use, _ in remediations(found)] == ["systemd.accept"]


def test_a_known_daemon_gets_a_drop_in_and_a_template_one_for_its_instances() -> None:
    assert remediations(classify(finding("PrivateTmp", "chrony.service"))) == [
        ("systemd.dropin", {"unit": "chrony.service", "directive": "PrivateTmp", "value": "yes"})
    ]
    assert remediations(classify(finding("PrivateTmp", "mariadb@.service"))) == [
        ("systemd.dropin_template", {"unit": "mariadb@.service", "directive": "PrivateTmp", "value": "yes"})
    ]
    assert remediations(classify(finding("PrivateTmp", "mariadb@a.service")))[0][0] == "systemd.dropin"


@pytest.mark.parametrize(
    "unit", ["dbus.service", "ModemManager.service", "systemd-networkd.service", "zerotier-one.service"]
)
def test_what_people_are_connected_through_is_not_restarted(unit: str) -> None:
    ((use, _),) = remediations(classify(finding("LockPersonality", unit)))
    assert use == "systemd.dropin_at_boot"
    assert "restart" not in (knowledge().remediations[use].command or "")


def test_protect_system_starts_with_full_because_strict_breaks_whatever_writes_to_var() -> None:
    ((use, given),) = remediations(classify(finding("ProtectSystem", "nginx.service")))
    assert (use, given["value"]) == ("systemd.dropin", "full")


def test_no_value_can_be_named_for_a_bounding_set() -> None:
    found = classify(finding("CapabilityBoundingSet", "nginx.service"))
    assert remediations(found) == [("systemd.capability_bounding_review", {"unit": "nginx.service"})]


def test_an_unlisted_unit_gets_the_drop_in_with_the_advice_to_test_it() -> None:
    for directive in DIRECTIVES:
        found = classify(finding(directive))
        assert found.features == {"role": "unlisted", "advice": "test_first"}
        assessment, impact = text(found)
        assert "curated list" in assessment
        assert "Test it first" in impact or "test it" in impact or "Start with" in impact or "rarely breaks" in impact
        assert len(remediations(found)) == 1


def test_a_file_that_systemd_does_not_read_is_an_artefact() -> None:
    found = classify(finding("NoNewPrivileges", "ssh.service.dpkg-old"))
    assert artefacts(found) == {"systemd_units.not_a_unit": "certain"}
    assert [use for use, _ in remediations(found)] == ["accept.known"]


def test_a_name_with_newlines_is_one_unit_and_reaches_no_feature() -> None:
    unit = "a\nb.service:c.service\n"
    found = classify(finding("PrivateTmp", unit))
    assert (found.class_id, found.slots["unit"]) == ("systemd_units.PrivateTmp", unit)
    assert all("\n" not in word for word in found.features.values())


def test_every_situation_of_the_real_scans_is_told_in_whole_sentences() -> None:
    told = set()
    for name in (*names("json"), *names("ndjson"), *names("sarif")):
        header, _ = read(name)
        for _, found in classified(name, "systemd_units"):
            if found.scanner != "systemd_units" or found.situation in told:
                continue
            told.add(found.situation)
            for said in text(found, header):
                assert re.search(r"\A[^{}]+\.\Z", said), said
    assert len(told) < 260  # 240 when written; each one is an analysis to ship


@pytest.mark.parametrize(("name", "limit"), [("db02-full.json.gz", 55), ("web01-base-full.json.gz", 55)])
def test_the_issues_of_a_whole_host_are_a_few_dozen(name: str, limit: int) -> None:
    issues = {
        (found.class_id, *(found.features.get(feature) for feature in knowledge().classes[found.class_id].issue_by))
        for _, found in classified(name, "systemd_units")
        if found.status == "open"
    }
    assert 13 <= len(issues) <= limit


def test_every_packaged_unit_of_the_real_scans_is_on_the_list() -> None:
    unlisted = {
        found.slots["unit"]
        for name in names("json")
        for _, found in classified(name, "systemd_units")
        if found.features["advice"] == "test_first"
    }
    assert unlisted == {"api-hardened.service", "legacy-app.service", "nightly-scan.service", "queue@.service"}


def test_reasons_name_directives_that_the_scanner_checks() -> None:
    # A comma inside a flow mapping of YAML would make a reason into a key.
    assert len(knowledge().units) > 500
    breaks = [(name, unit.breaks) for name, unit in knowledge().units.items()]
    breaks += [(name, role.breaks) for name, role in knowledge().roles.items()]
    for name, reasons in breaks:
        assert set(reasons) <= set(DIRECTIVES), name
        for reason in reasons.values():
            assert len(reason.split()) >= 3 and not reason.endswith("."), name


def test_rules_that_rewrote_a_json_reports_severity_change_neither_class_nor_status() -> None:
    raw = finding("PrivateTmp")
    rewritten = RawFinding(raw.scanner, raw.id, "critical", raw.title, raw.description, metadata=raw.metadata)
    header = ScanHeader("json", host="h", rules_enabled=True)
    assert classify(rewritten, header).situation == classify(raw, JSON).situation
