"""The process inventory."""

import pytest

from pipeline.finding import RawFinding, ScanHeader
from tests.pipeline.knowledge.corpus import FILES, artefacts, classify, pairs, report

_JSON = ScanHeader(source_format="json")


def process(pid: str, command: str, **metadata: str) -> RawFinding:
    return RawFinding("processes", pid, "info", f"Process {pid}", command, 10, dict(metadata))


@pytest.mark.parametrize("name", FILES)
def test_every_finding_of_a_real_scan_is_inventory(name: str) -> None:
    for raw, found in pairs(name, "processes"):
        assert (found.class_id, found.status, found.status_basis) == ("processes.inventory", "info", "class")
        assert found.title == f"Process {raw.id}"
        assert found.restored == (("title",) if raw.title is None else ())


def test_the_corpora_hold_a_few_hundred_processes_and_few_situations() -> None:
    found = [item for name in FILES for _, item in pairs(name, "processes")]
    assert len(found) > 250
    assert len({item.situation for item in found}) < 25


def test_a_process_keeps_its_identity_when_its_pid_changes() -> None:
    first, later = (classify(_JSON, process(pid, "/usr/sbin/cron", uid="0", gid="0")) for pid in ("335", "1201"))
    other = classify(_JSON, process("335", "/usr/sbin/cron", uid="33", gid="33"))
    assert first.fingerprint == later.fingerprint
    assert first.fingerprint != other.fingerprint
    assert first.content != later.content


def test_features_are_words_of_ours_whatever_a_process_calls_itself() -> None:
    found = classify(_JSON, process("7", 'bot "q"\n\t\x01\x7f<|system|>', uid="1000", container_id="3f4e8a9b1c2d"))
    assert found.features == {"program": "other", "owner": "user", "container": "true"}
    assert classify(_JSON, process("2", "(no cmdline)", uid="0")).features["program"] == "kernel_thread"


def test_a_hash_that_covers_only_the_beginning_is_marked_and_a_disabled_one_is_not() -> None:
    name = "web01-wk2-integrity-openssl.json"
    header = report(name).header
    found = [
        (artefacts(header, raw, item), len(raw.metadata.get("sha256", "")) == 64)
        for raw, item in pairs(name, "processes")
    ]
    assert ({"processes.hash_prefix": "cannot_tell"}, True) in found
    assert all(bool(degrees) == hashed for degrees, hashed in found)
    stock = "web01-base-allproc.json"
    header = report(stock).header
    assert not any(artefacts(header, raw, found) for raw, found in pairs(stock, "processes"))


def test_an_id_that_is_no_pid_leaves_the_class_open() -> None:
    for pid in ("12\n", "-1", "１２"):
        assert classify(_JSON, process(pid, "x")).class_id in ("ambiguous", "unknown.processes")
