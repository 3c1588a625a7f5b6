"""The process watch: notices, program starts, and what an eBPF build would say."""

import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.corpus import FILES, artefacts, classify, knowledge, pairs, report
from tests.pipeline.knowledge.verdicts import topics_of

_JSON = ScanHeader(source_format="json")
_BY_ID = {
    "ebpf:disabled": "ebpf_exec_trace.disabled",
    "proc.exec.detected": "ebpf_exec_trace.proc_exec_detected",
    "proc.monitoring.complete": "ebpf_exec_trace.proc_monitoring_complete",
}


@pytest.mark.parametrize("name", FILES)
def test_every_finding_of_a_real_scan_gets_its_class_and_is_information(name: str) -> None:
    found_ids = []
    for raw, found in pairs(name, "ebpf_exec_trace"):
        assert found.class_id == _BY_ID[raw.id]
        assert (found.status, found.status_basis) == ("info", "class")
        found_ids.append(raw.id)
    assert found_ids == [raw.id for raw in report(name).findings if raw.id in _BY_ID]


@pytest.mark.parametrize(
    ("lines", "twin"),
    [("web01-base-default.ndjson", "web01-base-default.json"), ("micro-default.ndjson", "micro-default.json")],
)
def test_restored_fields_equal_those_of_the_json_twin(lines: str, twin: str) -> None:
    full = {raw.id: raw for raw, _ in pairs(twin, "ebpf_exec_trace")}
    for raw, found in pairs(lines, "ebpf_exec_trace"):
        assert (found.title, found.description) == (full[raw.id].title, full[raw.id].description)
        if raw.id == "ebpf:disabled":
            assert found.metadata == full[raw.id].metadata
        else:
            assert found.metadata == {}  # the length of the watch is an option


def test_a_program_that_starts_often_is_one_thing_with_many_pids() -> None:
    found = [item for raw, item in pairs("web01-exec-watch.json", "ebpf_exec_trace") if raw.id == "proc.exec.detected"]
    assert len(found) == 30
    assert len({item.slots["pid"] for item in found}) == 30
    assert len({item.fingerprint for item in found}) == len({item.slots["program"] for item in found}) == 3
    assert {item.features["program"] for item in found} == {"other", "shell"}


def test_a_program_name_may_hold_what_the_title_is_made_of() -> None:
    name = "a (PID: 1) b\n(PID: 2)"
    raw = RawFinding(
        "ebpf_exec_trace", "proc.exec.detected", "info", f"Process execution detected: {name} (PID: 77)",
        "New process execution detected via /proc monitoring", 10, {"pid": "77", "comm": name},
    )  # fmt: skip
    assert classify(_JSON, raw).slots == {"program": name, "pid": "77"}


def test_ndjson_leaves_the_program_unknown() -> None:
    found = classify(ScanHeader(source_format="ndjson"), RawFinding("ebpf_exec_trace", "proc.exec.detected", "info"))
    assert (found.slots, found.title, found.restored) == ({}, "", ("description",))


def test_the_disabled_notice_is_the_same_on_every_host() -> None:
    name = "db02-default.json"
    (raw, found), _ = pairs(name, "ebpf_exec_trace")
    assert artefacts(report(name).header, raw, found) == {"ebpf_exec_trace.built_without": "certain"}


@pytest.mark.parametrize("step", ["open", "load", "attach", "ringfd", "ringbuf"])
def test_a_failure_of_the_collector_is_an_error_and_no_weakness(step: str) -> None:
    class_id = f"ebpf_exec_trace.error_{step}"
    restore = knowledge().classes[class_id].restore
    raw = RawFinding("ebpf_exec_trace", f"ebpf:error:{step}", "high", restore.title, restore.description, 70)
    found = classify(_JSON, raw)
    assert (found.class_id, found.status) == (class_id, "error")
    line = classify(ScanHeader(source_format="ndjson"), RawFinding("ebpf_exec_trace", f"ebpf:error:{step}", "high"))
    assert (line.class_id, line.title, line.description) == (class_id, restore.title, restore.description)


def test_records_of_an_ebpf_build_are_understood() -> None:
    start = RawFinding("ebpf_exec_trace", "exec.trace", "info", "exec: my tool pid=12", "Observed exec event")
    assert classify(_JSON, start).slots == {"program": "my tool", "pid": "12"}
    connect = RawFinding(
        "ebpf_exec_trace", "net.connect", "info", "connect: curl pid=9 dst=2606:4700::1111:443",
        "Observed outbound connection attempt",
    )  # fmt: skip
    found = classify(_JSON, connect)
    assert found.slots == {"program": "curl", "pid": "9", "address": "2606:4700::1111", "port": "443"}
    assert (found.features["scope"], found.features["port"]) == ("public", "web")


def test_a_shell_that_connects_by_itself_is_open_and_no_other_program_is() -> None:
    def connects(program: str, address: str) -> tuple[str, set[str]]:
        raw = RawFinding(
            "ebpf_exec_trace", "net.connect", "info", f"connect: {program} pid=9 dst={address}:4444",
            "Observed outbound connection attempt",
        )  # fmt: skip
        found = classify(_JSON, raw)
        return found.status, topics_of(found, "info", _JSON)

    assert connects("bash", "203.0.113.9") == connects("bash", "10.1.2.3") == ("open", {"ioc.reverse_shell"})
    assert connects("bash", "127.0.0.1") == connects("curl", "203.0.113.9") == ("info", set())
