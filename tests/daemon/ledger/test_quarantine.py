"""The quarantine: no row twice, and the way back."""

from dataclasses import replace

import pytest

from daemon.ledger import Ledger
from pipeline.errors import LedgerError
from tests.daemon.ledger.reports import Stream, admit, emitted_ids, finding, identity, reject, report, scan


def test_the_same_bad_document_read_again_adds_no_row(ledger: Ledger) -> None:
    bad = (reject(), reject("other"))
    assert admit(ledger, rejects=bad).quarantined == 2
    assert admit(ledger, rejects=bad, path="/w/copy.json").quarantined == 0
    assert [(row.seen, row.source) for row in ledger.quarantine.rows()] == [(2, "/w/copy.json")] * 2


def test_the_same_rejects_of_other_documents_are_other_rows(ledger: Ledger) -> None:
    admit(ledger, report("x", digest="1", rejects=(reject(),)))
    admit(ledger, report("x", digest="2", rejects=(reject(),)))
    assert len(ledger.quarantine.rows()) == 2


def test_rows_can_be_filtered_and_shown(ledger: Ledger) -> None:
    admit(ledger, rejects=(reject(), replace(reject(), reason="truncated")))
    (row,) = ledger.quarantine.rows(reason="truncated")
    assert ledger.quarantine.show(row.id) == row
    assert len(ledger.quarantine.rows(limit=1)) == 1
    assert ledger.quarantine.rows(state="dismissed") == []
    with pytest.raises(LedgerError, match="no such row"):
        ledger.quarantine.show(99)


def test_retry_shows_the_file_as_never_read_until_it_has_been(ledger: Ledger) -> None:
    file = ledger.inputs.add_file("/w/a.json", identity(1), "document")
    read = replace(file, digest="bytes", offset=9)
    ledger.inputs.admit_document(read, [], [reject(), reject("two")])
    row = ledger.quarantine.rows()[0]
    assert ledger.inputs.rereads() == []
    assert ledger.quarantine.retry(row.id).state == "retried"
    assert ledger.inputs.rereads() == ledger.inputs.files() == [file]
    assert ledger.quarantine.rows() == []  # all rows of the file are retried with it
    ledger.inputs.admit_document(read, [report("x")], [reject("two")])
    assert ledger.inputs.rereads() == [] and ledger.inputs.files() == [read]
    (open_again,) = ledger.quarantine.rows()
    assert (open_again.detail, open_again.seen) == ("two", 2)
    assert emitted_ids(ledger) == ["x"]


def test_a_retried_stream_redelivers_what_was_good(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x"), b"nonsense", *scan("y"))
    (row,) = ledger.quarantine.rows()
    ledger.quarantine.retry(row.id)
    assert [state.offset for state in ledger.inputs.rereads()] == [0]
    admitted = stream.read_from(0)
    assert (admitted.scans, admitted.redelivered_scans) == (0, 2)
    assert ledger.inputs.rereads() == []
    assert ledger.quarantine.show(row.id).state == "open"
    assert emitted_ids(ledger) == ["x", "y"]


def test_a_stream_is_not_read_again_while_a_scan_is_open(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(b"nonsense", *scan("x", emitted=2))
    ledger.quarantine.retry(ledger.quarantine.rows()[0].id)
    assert ledger.inputs.rereads() == [] and ledger.inputs.files()[0].offset == len(stream.content)
    stream.append(finding("y"))
    assert len(ledger.inputs.rereads()) == 1


def test_a_row_whose_file_is_gone_cannot_be_retried_but_dismissed(ledger: Ledger) -> None:
    admit(ledger, rejects=(reject(),))
    ledger.inputs.drop_file(ledger.inputs.files()[0].file_id)
    (row,) = ledger.quarantine.rows()
    assert not row.file_known
    with pytest.raises(LedgerError, match=r"/w/a\.json is gone"):
        ledger.quarantine.retry(row.id)
    assert ledger.quarantine.dismiss(row.id).state == "dismissed"
    admit(ledger, rejects=(reject(),))
    assert ledger.quarantine.rows() == []  # dismissed for good
