"""Which scan is it? The rules for JSON and SARIF; hosts, times and numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ports.files import KIND, FileIdentity
from daemon.ports.inputs import Admitted
from pipeline.classes.scan import baseline_scope
from pipeline.finding import ScanHeader
from tests.daemon.ledger.reports import (
    START,
    Stream,
    admit,
    emitted_ids,
    identity,
    ndjson_report,
    open_ledger,
    reject,
    report,
    scan,
    work_off,
)


def test_a_document_is_one_scan_in_order(ledger: Ledger) -> None:
    assert admit(ledger, report("x", "y", "x")) == Admitted(scans=1, findings=3)
    (file,) = ledger.inputs.known(KIND)
    assert file.position
    assert emitted_ids(ledger) == ["x", "y", "x"]


def test_the_same_report_in_another_file_is_a_redelivery_even_after_it_is_done(ledger: Ledger) -> None:
    admit(ledger, report("x"))
    again = Admitted(redelivered_scans=1, redelivered_findings=1)
    assert admit(ledger, report("x"), path="/w/b.json") == again
    assert emitted_ids(ledger) == ["x"]
    assert admit(ledger, report("x"), path="/w/c.json") == again


def test_other_bytes_another_start_or_another_host_are_another_scan(ledger: Ledger) -> None:
    admit(ledger, report("x"))
    admit(ledger, report("x", digest="e"))
    admit(ledger, report("x", started_at="2026-01-01T01:00:00Z"))
    admit(ledger, report("x", started_at=None))
    admit(ledger, report("x", host="db02"))
    assert len({closed.scan_id for closed in work_off(ledger)}) == 5


def test_scans_are_numbered_in_the_order_of_closing(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("late", emitted=2))
    admit(ledger, report("early"))
    stream.close()
    assert [(closed.scan_no, closed.source) for closed in work_off(ledger)] == [(1, "/w/a.json"), (2, "/w/a")]


def test_the_scans_own_end_is_its_time_then_its_start_then_the_ingest_time(ledger: Ledger) -> None:
    whole = report("x", digest="1")
    admit(ledger, replace(whole, header=replace(whole.header, finished_at="2026-01-01T00:05:00Z")))
    admit(ledger, report("x", digest="2"))
    admit(ledger, report("x", digest="3", started_at=None))
    times = [closed.as_of for closed in work_off(ledger)]
    assert times == ["2026-01-01T00:05:00Z", "2026-01-01T00:00:00Z", "2023-11-14T22:13:20Z"]


def test_a_bad_finding_is_quarantined_alone(ledger: Ledger) -> None:
    bad = reject(path="results[0].findings[1]", offset=None)
    admitted = admit(ledger, report("x", rejects=(bad,), complete=False))
    assert admitted == Admitted(scans=1, findings=1, quarantined=1)
    (closed,) = work_off(ledger)
    assert (closed.complete, closed.rejected, closed.findings) == (False, 1, 1)
    (row,) = ledger.quarantine.rows()
    assert (row.reason, row.path, row.excerpt, row.digest) == ("wrong_type", bad.path, b"{", "d")


def test_a_document_without_a_usable_report_is_quarantined_whole(ledger: Ledger) -> None:
    assert admit(ledger, rejects=(reject(),)) == Admitted(quarantined=1)
    assert ledger.work.next_scan() is None
    (file,) = ledger.inputs.known(KIND)
    assert file.position


def test_several_reports_in_one_document_are_several_scans(ledger: Ledger) -> None:
    assert admit(ledger, report("x", digest="1"), report("y", digest="2")).scans == 2


def test_two_equal_streams_in_one_compressed_document_are_two_scans(ledger: Ledger) -> None:
    lines = [*scan("x"), *scan("x")]
    assert admit(ledger, *ndjson_report(lines)).scans == 2
    assert admit(ledger, *ndjson_report(lines), path="/w/b.gz").redelivered_scans == 2


def test_bad_lines_in_front_of_a_compressed_stream_are_no_scan(ledger: Ledger) -> None:
    reports = ndjson_report([b"[INFO ] starting", *scan("x")])
    assert admit(ledger, *reports) == Admitted(scans=1, findings=1, quarantined=1)


def test_the_host_option_applies_to_documents(tmp_path: Path) -> None:
    with open_ledger(tmp_path, host="opt") as ledger:
        admit(ledger, report("x", host=None))
        closed = ledger.work.next_scan()
        assert closed is not None and (closed.host, closed.host_source) == ("opt", "option")


def test_a_file_keeps_identity_of_any_size_and_its_new_name(ledger: Ledger) -> None:
    large = replace(identity(2**64 - 1), device=2**63, birth_ns=123)
    file = ledger.files.add("/w/a", large, "document")
    assert ledger.files.known() == [file]
    other = FileIdentity(1, 2)
    ledger.files.move(file.source.input_id, "/w/b", other)
    assert ledger.files.known() == [replace(file, source=replace(file.source, name="/w/b"), identity=other)]


def test_a_stranger_with_surrogates_for_a_name_is_storable(tmp_path: Path) -> None:
    with open_ledger(tmp_path, clock=lambda: START) as ledger:
        admit(ledger, report("\ud800", host="\udcff"), rejects=(reject(detail="\udcff", path="\ud800"),))
        assert [found.id for found in ledger.work.findings(1)] == ["\ud800"]
        assert ledger.fsck() == []


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "localhost.localdomain", "localhost.", "(none)", "::1"])
def test_a_name_that_every_host_has_names_none(tmp_path: Path, name: str) -> None:
    with open_ledger(tmp_path) as ledger:
        admit(ledger, report("x", host=name))
        closed = ledger.work.next_scan()
        assert closed is not None
        assert (closed.host, closed.host_source) == (name, "unknown")
        assert baseline_scope(ScanHeader("json", cmdline="sys-scan"), closed.host_source) is None


def test_a_name_that_every_host_has_gives_way_to_the_operators(tmp_path: Path) -> None:
    with open_ledger(tmp_path, host="here") as ledger:
        admit(ledger, report("x", host="localhost"))
        admit(ledger, report("y", host="web01", digest="e"), path="/w/b.json")
        assert [(closed.host, closed.host_source) for closed in work_off(ledger)] == [
            ("here", "option"),
            ("web01", "report"),
        ]


def test_it_is_only_the_whole_name_that_names_none(ledger: Ledger) -> None:
    admit(ledger, report("x", host="localhost7"))
    assert [closed.host_source for closed in work_off(ledger)] == ["report"]
