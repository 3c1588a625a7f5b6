"""Kernel modules: classes, and telling the scanner's mistakes from real anomalies."""

import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.corpus import FILES, artefacts, classify, files, knowledge, pairs, report, text

_BY_DESCRIPTION = {
    "Loaded kernel module": "modules.loaded",
    "Unsigned kernel module detected": "modules.anomaly_unsigned",
    "Out-of-tree kernel module": "modules.anomaly_out_of_tree",
    "Module file missing on disk": "modules.anomaly_missing_file",
    "Module in /proc but not /sys": "modules.anomaly_hidden",
    "Summary of loaded kernel modules and potential security issues": "modules.summary",
}
_JSON = ScanHeader(source_format="json", os_id="debian", os_version="13")
_UBUNTU = ScanHeader(source_format="json", os_id="ubuntu", os_version="24.04")


def anomaly(module: str, description: str = "Unsigned kernel module detected", **metadata: str) -> RawFinding:
    return RawFinding("modules", module, "high", f"Module anomaly: {module}", description, 70, dict(metadata))


def loaded(module: str) -> RawFinding:
    return RawFinding("modules", module, "info", f"Module {module}", "Loaded kernel module", 10)


@pytest.mark.parametrize("name", [name for name in FILES if ".sarif" not in name])
def test_every_finding_of_a_real_scan_gets_its_class(name: str) -> None:
    for raw, found in pairs(name, "modules"):
        if raw.description is not None:
            assert found.class_id == _BY_DESCRIPTION[raw.description]
        else:
            expected = "modules.summary" if raw.id == "module_summary" else "modules.loaded"
            assert found.class_id == expected
        wanted = {"modules.loaded": ("info", "class"), "modules.summary": ("open", found.status_basis)}
        assert (found.status, found.status_basis) == wanted.get(found.class_id, ("open", "class"))


def test_the_corpora_hold_every_class_but_the_hidden_one() -> None:
    seen = {found.class_id for name in files(".json") for _, found in pairs(name, "modules")}
    assert seen == set(_BY_DESCRIPTION.values()) - {"modules.anomaly_hidden"}


@pytest.mark.parametrize("name", files(".sarif"))
def test_sarif_names_no_scanner_but_its_text_settles_the_class(name: str) -> None:
    found = [item.class_id for raw, item in pairs(name, "modules") if raw.id != "module_summary"]
    sarif_modules = [raw for raw in report(name).findings if raw.description == "Loaded kernel module"]
    assert found == ["modules.loaded"] * len(sarif_modules)


@pytest.mark.parametrize(
    ("lines", "twin"),
    [
        ("web01-base-default.ndjson", "web01-base-default.json"),
        ("web01-base-full.ndjson.gz", "web01-base-full.json.gz"),
        ("web01-wk2-rules.ndjson", "web01-wk2-rules.json"),
        ("web01-fs-hygiene.ndjson", "web01-fs-hygiene.json"),
    ],
)
def test_restored_fields_equal_those_of_the_json_twin(lines: str, twin: str) -> None:
    full = {raw.id: raw for raw, _ in pairs(twin, "modules")}
    restored = {raw.id: found for raw, found in pairs(lines, "modules")}
    assert restored.keys() == full.keys()
    for module, found in restored.items():
        assert (found.title, found.description) == (full[module].title, full[module].description)
        assert found.restored == ("description", "title")
        if module != "module_summary":
            assert found.metadata == full[module].metadata


def test_ndjson_anomalies_are_ambiguous_because_only_the_description_tells_them_apart() -> None:
    header = ScanHeader(source_format="ndjson", cmdline="sys-scan --ndjson --modules-anomalies-only ")
    found = classify(header, RawFinding("modules", "zram", "high", score=70))
    assert found.class_id == "ambiguous"
    assert found.candidates == (
        "modules.anomaly_hidden", "modules.anomaly_missing_file", "modules.anomaly_out_of_tree",
        "modules.anomaly_unsigned",
    )  # fmt: skip
    assert (found.status, found.title, found.description) == ("open", "Module anomaly: zram", "")
    assert found.slots == {"module": "zram"}


def test_rules_rewrite_severities_but_the_command_line_still_tells_inventory_from_anomalies() -> None:
    raw = RawFinding("modules", "zram", "medium", score=50)
    plain = ScanHeader(source_format="ndjson", cmdline="sys-scan --ndjson --rules-enable ", rules_enabled=True)
    assert classify(plain, raw).class_id == "modules.loaded"
    unsaid = ScanHeader(source_format="ndjson", rules_enabled=True)
    assert classify(unsaid, raw).class_id == "ambiguous"
    assert len(classify(unsaid, raw).candidates) == 5


def test_a_replaced_command_line_does_not_hide_a_class_that_the_report_names() -> None:
    header = ScanHeader(source_format="json", cmdline="redacted")
    assert classify(header, anomaly("zram", unsigned="true")).class_id == "modules.anomaly_unsigned"


def test_situations_over_all_corpora_show_families_not_names() -> None:
    kinds = {found.situation for name in FILES for _, found in pairs(name, "modules")}
    names = {raw.id for name in FILES for raw, _ in pairs(name, "modules")}
    assert len(names) > 80
    assert len(kinds) < 35


@pytest.mark.parametrize(
    ("name", "excused", "real"),
    [
        ("db02-modules-anomalies.json", {"kvm", "kvm_amd", "ext4"}, set()),
        (
            "web01-wk2-modules-anomalies.json",
            {"kvm_amd"},
            {"zram", "minix", "ipvlan", "tun", "macvlan", "ifb", "bonding", "veth", "nbd", "dummy"},
        ),
        (
            "web01-wk2-modules-anomalies-openssl.json",
            {"kvm_amd"},
            {"zram", "minix", "ipvlan", "tun", "macvlan", "ifb", "bonding", "veth", "nbd", "dummy"},
        ),
        (
            "web01-wk2-modules-corrupt-xz.json",
            {"kvm_amd"},
            {"zram", "minix", "ipvlan", "tun", "macvlan", "ifb", "bonding", "veth", "nbd", "dummy"},
        ),
    ],
)
def test_what_the_scanner_misreads_is_excused_and_a_real_anomaly_beside_it_is_not(
    name: str, excused: set[str], real: set[str]
) -> None:
    header = report(name).header
    degrees = {raw.id: set(artefacts(header, raw, found).values()) for raw, found in pairs(name, "modules")}
    assert {module for module, found in degrees.items() if found == {"likely"}} == excused
    assert {module for module, found in degrees.items() if not found} == real


def test_a_compressed_module_that_is_short_is_really_unsigned() -> None:
    short = anomaly("minix", unsigned="true", path="kernel/fs/minix/minix.ko.xz")
    long = anomaly("xfs", unsigned="true", path="kernel/fs/xfs/xfs.ko.xz")
    strange = anomaly("acme_drv", unsigned="true", path="kernel/drivers/misc/acme_drv.ko.xz")
    readings = [classify(_JSON, raw).features["reading"] for raw in (short, long, strange)]
    assert readings == ["read", "cut_short", "perhaps_cut_short"]
    plain = classify(_JSON, anomaly("xfs", unsigned="true", path="kernel/fs/xfs/xfs.ko"))
    assert plain.features["reading"] == "read"
    assert artefacts(_JSON, strange, classify(_JSON, strange)) == {"modules.perhaps_cut_short": "cannot_tell"}


@pytest.mark.parametrize(
    ("module", "word"), [("ext4", "likely"), ("virtio_net", "likely"), ("acme_drv", "cannot_tell")]
)
def test_stock_ubuntu_modules_reported_missing_are_artefacts_where_we_know_the_module(module: str, word: str) -> None:
    raw = anomaly(module, "Module file missing on disk", missing_file="true", unsigned="true")
    assert list(artefacts(_UBUNTU, raw, classify(_UBUNTU, raw)).values()) == [word]


def test_a_missing_file_of_a_plainly_named_module_is_no_zstd_artefact_on_debian() -> None:
    raw = anomaly("ext4", "Module file missing on disk", missing_file="true", unsigned="true")
    found = classify(_JSON, raw)
    assert found.features["reading"] == "not_in_index"
    assert artefacts(_JSON, raw, found) == {"modules.not_in_index": "cannot_tell"}


@pytest.mark.parametrize(
    "more",
    [
        {"hidden_sysfs": "true"},
        {"wx_section": "true"},
        {"suspicious_section_name": ".evil"},
        {"large_text_section": "6291456"},
        {"out_of_tree": "true"},
    ],
)
def test_one_more_anomaly_ends_every_excuse(more: dict[str, str]) -> None:
    for header, module in ((_JSON, "kvm_amd"), (_UBUNTU, "ext4")):
        raw = anomaly(module, unsigned="true", **more)
        assert artefacts(header, raw, classify(header, raw)) == {}
    raw = anomaly("xfs", unsigned="true", path="kernel/fs/xfs/xfs.ko.xz", **more)
    assert artefacts(_JSON, raw, classify(_JSON, raw)) == {}


def test_a_rootkit_name_is_never_excused_and_never_mere_inventory() -> None:
    raw = anomaly("diamorphine", "Module file missing on disk", missing_file="true", unsigned="true")
    assert artefacts(_UBUNTU, raw, classify(_UBUNTU, raw)) == {}
    assert "published kernel rootkit" in text(_UBUNTU, raw, classify(_UBUNTU, raw))
    inventory = classify(_JSON, loaded("reptile"))
    assert (inventory.status, inventory.features) == ("open", {"family": "rootkit", "name": "reptile"})


def test_a_driver_of_the_kernel_is_not_foreign_for_a_word_in_its_path() -> None:
    path = "kernel/drivers/net/ethernet/nvidia/forcedeth.ko.xz"
    raw = anomaly("forcedeth", "Out-of-tree kernel module", out_of_tree="true", path=path)
    assert artefacts(_JSON, raw, classify(_JSON, raw)) == {"modules.word_in_path": "likely"}
    vendor = anomaly("nvidia", "Out-of-tree kernel module", out_of_tree="true", path="kernel/nvidia-550/nvidia.ko")
    assert artefacts(_JSON, vendor, classify(_JSON, vendor)) == {}
    unsigned = anomaly("forcedeth", "Out-of-tree kernel module", out_of_tree="true", unsigned="true", path=path)
    assert artefacts(_JSON, unsigned, classify(_JSON, unsigned)) == {}


def test_hidden_modules_have_a_class_of_their_own() -> None:
    raw = anomaly("acme_drv", "Module in /proc but not /sys", hidden_sysfs="true")
    found = classify(_JSON, raw)
    assert (found.class_id, found.status) == ("modules.anomaly_hidden", "open")
    assert "hides" in text(_JSON, raw, found)


@pytest.mark.parametrize(
    ("name", "reading", "taint", "excused"),
    [
        ("db02-full.json.gz", "explained", "clear", ["modules.summary_explained"]),
        ("web01-base-full.json.gz", "explained", "clear", ["modules.summary_explained"]),
        ("web01-wk2-modules-summary.json", "missing_file+unsigned+out_of_tree", "unsigned", []),
    ],
)
def test_a_summary_is_excused_only_when_all_it_counts_is_misread(
    name: str, reading: str, taint: str, excused: list[str]
) -> None:
    ((raw, found),) = pairs(name, "modules")
    assert (found.features["reading"], found.features["taint"]) == (reading, taint)
    assert list(artefacts(report(name).header, raw, found)) == excused


def test_taint_speaks_against_an_explained_summary() -> None:
    name = "db02-full.json.gz"
    ((raw, _),) = pairs(name, "modules")
    tainted = RawFinding(
        raw.scanner,
        raw.id,
        raw.severity,
        raw.title,
        raw.description,
        raw.score,
        {**raw.metadata, "taint_value": "12288"},
    )
    header = report(name).header
    found = classify(header, tainted)
    assert found.features["taint"] == "out_of_tree+unsigned"
    assert artefacts(header, tainted, found) == {}
    assert "nevertheless" in text(header, tainted, found)


def test_a_summary_without_details_says_that_it_cannot_be_told() -> None:
    name = "web01-base-full.ndjson.gz"
    ((raw, found),) = ((raw, found) for raw, found in pairs(name, "modules") if raw.id == "module_summary")
    assert (found.status, found.status_basis) == ("open", "severity")
    assert artefacts(report(name).header, raw, found) == {"modules.summary_without_counts": "cannot_tell"}
    rules = ScanHeader(source_format="ndjson", rules_enabled=True)
    assert (classify(rules, raw).status, classify(rules, raw).status_basis) == ("unknown", "none")


def test_blockable_modules_name_their_topic_and_a_way_to_block_them() -> None:
    spec = knowledge().classes["modules.loaded"]
    topics = {ref.when[0].is_: ref.topic for ref in spec.topics if ref.when[0].what == "slot.module"}
    assert topics["usb_storage"] == "module.usb-storage"
    blockable = {name for name, fact in knowledge().modules.items() if fact.blockable}
    assert set(topics) <= blockable
    (block,) = (ref for ref in spec.remediation if ref.use == "module.block")
    kept = {"overlay", "squashfs", "vfat"}  # blocking these breaks containers, snaps, or the boot partition
    assert set(block.when[0].in_ or ()) == blockable - kept
    assert classify(_JSON, loaded("dccp")).features == {"family": "network_protocol", "name": "dccp"}


def test_names_with_line_ends_or_blanks_are_no_module() -> None:
    for module in ("zram\n", "a b", "module_summary"):
        found = classify(_JSON, loaded(module))
        # The words know it, the id does not.
        assert found.class_id == "ambiguous" and found.candidates[0] == "modules.loaded"


def test_every_module_is_listed_once_under_the_name_that_the_kernel_shows() -> None:
    for name, fact in knowledge().modules.items():
        assert "-" not in name
        if fact.file is not None:
            assert fact.file.replace("-", "_") == name
            assert "-" in fact.file
