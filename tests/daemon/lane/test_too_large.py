"""What is larger than a record of Kafka may be is cut and says so, and keeps nothing behind it waiting."""

import json
import random
import string
from pathlib import Path
from typing import Any

import pytest

from daemon.lane.port import Outgoing
from daemon.sinks.kafka.records import size_of
from pipeline.output.read import read_finding, read_scan
from tests.daemon.lane.memory_broker import Cluster, MemoryClient
from tests.daemon.lane.test_lanes import document, run

MOST = 30_000


def swollen(host: str) -> bytes:
    """Give a report with a finding that no record has room for."""
    report = json.loads(document(host, 1))
    findings = next(section["findings"] for section in report["results"] if section["findings"])
    findings[0]["description"] = "d" * 200_000
    findings[0].setdefault("metadata", {})["k"] = "m" * 200_000
    return json.dumps(report).encode()


def sent(tmp_path: Path, *messages: tuple[bytes, bytes], **kafka: object) -> list[Outgoing]:
    cluster = Cluster()
    for key, value in messages:
        cluster.produce(0, key, value)
    run(tmp_path, MemoryClient(cluster), max_record_bytes=MOST, **kafka)
    assert cluster.committed[0][0] == cluster.end(0), "nothing waits"
    for _, one in cluster.sent:
        assert size_of(one.key, one.value, one.headers) <= MOST
    return [one for _, one in cluster.sent]


def test_a_finding_and_a_scan_that_are_too_large_are_cut_and_what_follows_comes(tmp_path: Path) -> None:
    records = sent(tmp_path, (b"big", swollen("big")), (b"next", document("next", 2)))
    findings = [read_finding(one.value or b"") for one in records if one.topic == "sysscan.findings"]
    ((host, cut),) = [(one.host, one.cut) for one in findings if one.cut is not None]
    assert host == "big" and {"finding.description", "finding.metadata"} <= {one.what for one in cut.parts}
    assert {one.host for one in findings} == {"big", "next"}
    keys = [dict(one.headers)["ce_id"].decode() for one in records if one.topic == "sysscan.findings"]
    assert keys == [one.dedupe_key for one in findings], "what is cut is still known by its key"
    scans = [read_scan(one.value or b"") for one in records if one.topic == "sysscan.scans"]
    assert [one.host for one in scans] == ["big", "next"]
    assert sum(one.counts.lines for one in scans) == len(findings)


def test_a_dead_letter_that_is_too_large_ends_earlier_and_says_how_much_of_it_is_there(tmp_path: Path) -> None:
    rubbish = b"rubbish " * 20_000
    records = sent(
        tmp_path, (b"h", rubbish), (b"k" * 100_000, b"of a key that is no name"), (b"h", b"small"), (b"h", rubbish)
    )
    letters = [(dict(one.headers), one) for one in records if one.topic == "sysscan.dlq"]
    assert [headers["dlq-offset"] for headers, _ in letters] == [b"0", b"1", b"2", b"3"]
    for at in (0, 3):
        headers, letter = letters[at]
        kept = letter.value or b""
        assert len(kept) > MOST // 2 and rubbish.startswith(kept)
        assert headers["dlq-cut"] == b"%d of %d bytes" % (len(kept), len(rubbish))
    assert letters[1][1].value == b"of a key that is no name" and len(letters[1][1].key or b"") == 255
    assert letters[2][1].value == b"small" and "dlq-cut" not in letters[2][0]


def test_what_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    def values(records: list[Outgoing], topic: str) -> list[Any]:
        return [one.value for one in records if one.topic == topic]

    cluster = Cluster()
    cluster.produce(0, b"next", document("next", 2))
    run(tmp_path / "whole", MemoryClient(cluster))
    whole = [one for _, one in cluster.sent]
    assert max(len(one.value or b"") for one in whole if one.topic == "sysscan.findings") < MOST
    here = sent(tmp_path / "limited", (b"next", document("next", 2)))
    assert values(here, "sysscan.findings") == values(whole, "sysscan.findings")


def test_a_baseline_of_labels_that_cannot_be_packed_is_in_records_that_fit_and_comes_back_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.ledger.lane_states._LABEL_BYTES", 40_000)  # a tenth of it, and a host of a tenth
    choose, most = random.Random(5), 100_000
    report = json.loads(document("h", 1))
    section = next(one for one in report["results"] if one["findings"])
    section["scanner"] = "made_up"
    section["findings"] = [
        {"id": f"f{number}", "title": "".join(choose.choices(string.ascii_letters + string.digits, k=480)),
         "severity": "low", "description": "", "metadata": {}}
        for number in range(420)
    ]  # fmt: skip
    cluster = Cluster()
    cluster.produce(0, b"h", json.dumps(report).encode())
    run(tmp_path / "a", MemoryClient(cluster), max_record_bytes=most)
    states = [one for _, one in cluster.sent if one.topic == "sysscan.state" and b"baseline" in (one.key or b"")]
    assert sum(len(one.value or b"") for one in states) > most, "in one record they would not have fitted"
    assert all(size_of(one.key, one.value, one.headers) <= most for one in states)
    cluster.produce(0, b"h", json.dumps(report).replace("15:27", "16:27").replace("15:01", "16:01").encode())
    run(tmp_path / "b", MemoryClient(cluster), max_record_bytes=most)
    found = [read_finding(one.value or b"") for _, one in cluster.sent if one.topic == "sysscan.findings"]
    second = [one for one in found if one.baseline is not None and one.baseline.state != "new"]
    assert len(second) == len(found) // 2 and {one.baseline and one.baseline.state for one in second} == {"recurring"}
