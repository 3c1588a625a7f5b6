"""Package verification: what a line is about, and what the roll-up may not claim."""

import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.corpus import FILES, artefacts, classify, files, pairs, report, text

_JSON = ScanHeader(source_format="json", os_id="debian")


def mismatch(raw: str, tool: str = "dpkg", index: int = 0) -> RawFinding:
    path = raw[9:] if tool == "rpm" else raw.partition(" ")[2]
    return RawFinding(
        "integrity", f"pkg_mismatch:{index}", "medium", "Package file mismatch", f"{tool} verification mismatch", 50,
        {"raw": raw, "path": path} if path else {"raw": raw},
    )  # fmt: skip


def summary(severity: str = "info", **metadata: str) -> RawFinding:
    return RawFinding(
        "integrity", "integrity_summary", severity, "Integrity summary", "Package / integrity verification", 10,  # type: ignore[arg-type]
        {"scan_mode": "full", **metadata},
    )  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_finding_of_a_real_scan_gets_its_class(name: str) -> None:
    for raw, found in pairs(name, "integrity"):
        kind = "summary" if raw.id == "integrity_summary" else "pkg_mismatch"
        assert found.class_id == f"integrity.{kind}"


def test_the_real_deviations_are_open_and_the_tools_remarks_are_not() -> None:
    seen = {}
    for raw, found in pairs("web01-wk2-integrity-full.json", "integrity"):
        seen[found.slots.get("path", raw.id)] = (found.status, found.features.get("deviation"))
    modules = "/lib/modules/6.1.0-50-amd64/kernel/"
    assert seen == {
        f"{modules}drivers/block/zram/zram.ko": ("open", "missing"),
        f"{modules}drivers/net/ipvlan/ipvlan.ko": ("open", "missing"),
        f"{modules}drivers/net/vxlan/vxlan.ko": ("open", "missing"),
        f"{modules}fs/minix/minix.ko": ("open", "missing"),
        "/usr/share/doc/openssh-client/copyright": ("open", "missing"),
        "/usr/share/doc/cron/changelog.gz": ("open", "missing"),
        "/etc/cron.d/e2scrub_all": ("open", "missing_config"),
        "integrity_summary": ("open", None),
    }
    name = "web01-wk2-integrity-critical.json"
    for raw, found in pairs(name, "integrity"):
        assert (found.status, found.status_basis) == ("info", "metadata")
        assert list(artefacts(report(name).header, raw, found).values()) == ["certain"]


def test_the_running_number_is_not_part_of_the_identity() -> None:
    line = "missing   c /etc/cron.d/e2scrub_all"
    first, later = classify(_JSON, mismatch(line, index=6)), classify(_JSON, mismatch(line, index=41))
    other = classify(_JSON, mismatch("missing   c /etc/cron.d/sysstat", index=6))
    assert first.fingerprint == later.fingerprint
    assert first.fingerprint != other.fingerprint
    messages = [classify(_JSON, mismatch(f"dpkg: package '{name}' is not installed")) for name in ("init", "libpam")]
    assert messages[0].fingerprint != messages[1].fingerprint


@pytest.mark.parametrize(
    ("line", "tool", "path", "deviation", "place"),
    [
        ("S.5....T.  c /etc/ssh/sshd_config", "rpm", "/etc/ssh/sshd_config", "content_config", "authentication"),
        ("S.5....T.    /usr/bin/ls", "rpm", "/usr/bin/ls", "content", "program"),
        (".......T.    /usr/share/man/man1/ls.1.gz", "rpm", "/usr/share/man/man1/ls.1.gz", "time", "documentation"),
        (".....UG..    /usr/sbin/ping", "rpm", "/usr/sbin/ping", "owner", "program"),
        (".M.......    /var/log/secure", "rpm", "/var/log/secure", "mode", "state"),
        ("........P    /usr/bin/newuidmap", "rpm", "/usr/bin/newuidmap", "capability", "program"),
        ("missing     /usr/lib64/libx.so.1", "rpm", "/usr/lib64/libx.so.1", "missing", "library"),
        ("missing     /root/a b (Permission denied)", "dpkg", "/root/a b", "unreadable", "other"),
        (
            "missing     /usr/lib/systemd/system/x.service",
            "dpkg",
            "/usr/lib/systemd/system/x.service",
            "missing",
            "unit",
        ),
        ("missing     /etc/$(reboot)\n/x", "dpkg", "/etc/$(reboot)\n/x", "missing", "configuration"),
        ("Unsatisfied dependencies for foo-1.0-1.x86_64:", "rpm", None, "dependency", None),
        ("package libpam is not installed", "rpm", None, "not_installed", None),
        ("dpkg: warning: files list file for package 'x' missing", "dpkg", None, "tool_message", None),
        ("something new", "dpkg", None, "other", None),
    ],
)
def test_lines_of_both_verifiers_are_understood(
    line: str, tool: str, path: str | None, deviation: str, place: str | None
) -> None:
    found = classify(_JSON, mismatch(line, tool))
    assert found.class_id == "integrity.pkg_mismatch"
    assert found.slots.get("path") == path
    assert (found.features.get("deviation"), found.features.get("place")) == (deviation, place)


def test_a_changed_program_speaks_louder_than_a_changed_setting() -> None:
    program, setting = mismatch("S.5....T.    /usr/sbin/sshd", "rpm"), mismatch("S.5....T.  c /etc/motd", "rpm")
    assert "Few packages change such files" in text(_JSON, program, classify(_JSON, program))
    assert "as most are on a configured host" in text(_JSON, setting, classify(_JSON, setting))


def test_no_mismatch_with_dpkg_is_no_evidence_because_changed_checksums_are_skipped() -> None:
    raw = summary(pkg_tool="dpkg", pkg_mismatch_count="0")
    found = classify(_JSON, raw)
    assert (found.status, found.status_basis) == ("info", "metadata")
    assert "skips every line about a changed checksum" in " ".join(text(_JSON, raw, found).split())


def test_only_a_full_verification_by_rpm_can_pass() -> None:
    assert classify(_JSON, summary(pkg_tool="rpm", pkg_mismatch_count="0")).status == "passed"
    part = summary(pkg_tool="rpm", pkg_mismatch_count="0", scan_mode="sample_10pct")
    assert classify(_JSON, part).status == "info"
    assert classify(_JSON, summary(pkg_mismatch_count="0")).status == "info"


def test_ima_fail_comes_from_file_names() -> None:
    raw = summary("high", pkg_mismatch_count="0", ima_entries="900", ima_fail="3")
    found = classify(_JSON, raw)
    assert (found.status, found.features["ima"]) == ("open", "word_fail")
    assert artefacts(_JSON, raw, found) == {"integrity.ima_fail_is_a_name": "certain"}


def test_one_real_file_among_the_remarks_keeps_the_summary_open() -> None:
    sample = "dpkg: package 'init' is not installed,missing     /usr/bin/ls"
    raw = summary("medium", pkg_tool="dpkg", pkg_mismatch_count="2", pkg_mismatch_sample=sample)
    found = classify(_JSON, raw)
    assert (found.status, artefacts(_JSON, raw, found)) == ("open", {})
    cut = summary("medium", pkg_tool="dpkg", pkg_mismatch_count="12", pkg_mismatch_sample=sample.split(",")[0])
    assert classify(_JSON, cut).status == "open"


def test_ndjson_restores_what_is_certain_and_no_more() -> None:
    header = ScanHeader(source_format="ndjson")
    one = classify(header, RawFinding("integrity", "pkg_mismatch:3", "medium", score=50))
    assert (one.class_id, one.title, one.description, one.restored) == (
        "integrity.pkg_mismatch", "Package file mismatch", "", ("title",)
    )  # fmt: skip
    roll_up = classify(header, RawFinding("integrity", "integrity_summary", "medium", score=50))
    assert (roll_up.description, roll_up.status, roll_up.status_basis) == (
        "Package / integrity verification", "open", "severity"
    )  # fmt: skip
    ruled = ScanHeader(source_format="ndjson", rules_enabled=True)
    assert classify(ruled, RawFinding("integrity", "integrity_summary", "info")).status == "unknown"
    hashed = classify(header, RawFinding("integrity", "pkg_rehash:/usr/bin/a b", "info"))
    assert (hashed.class_id, hashed.slots, hashed.metadata) == (
        "integrity.pkg_rehash", {"path": "/usr/bin/a b"}, {"path": "/usr/bin/a b"}
    )  # fmt: skip


def test_situations_stay_few() -> None:
    assert len({found.situation for name in files(".json") for _, found in pairs(name, "integrity")}) < 12
