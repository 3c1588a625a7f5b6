"""What every ledger promises its sources: the real one, and the one in memory that tests of sources use."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ports.files import KIND, FileIdentity, Files, KnownFile
from daemon.ports.inputs import Admitted, Input, Inputs
from pipeline.errors import LedgerError
from pipeline.report.encode import encode_finding
from tests.daemon.ledger.reports import finding, open_ledger, records, reject, report, scan
from tests.daemon.memory_inputs import MemoryFiles, MemoryInputs

NOWHERE = Input(99, "other", "nowhere")


@dataclass
class Side:
    """The ledger's side, and how somebody asks for an input to be read again."""

    inputs: Inputs
    files: Files
    ledger: Ledger | None = None

    def ask_again(self, source: Input) -> None:
        if self.ledger is not None:
            self.ledger.quarantine.retry(self.ledger.quarantine.rows()[0].id)
        else:
            assert isinstance(self.inputs, MemoryInputs)
            self.inputs.asked_again.add(source.input_id)


@pytest.fixture(params=["memory", "ledger"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    if request.param == "memory":
        inputs = MemoryInputs()
        yield Side(inputs, MemoryFiles(inputs))
    else:
        with open_ledger(tmp_path) as ledger:
            yield Side(ledger.inputs, ledger.files, ledger)


def lines(*content: bytes) -> bytes:
    return b"".join(line + b"\n" for line in content)


def test_inputs_are_known_by_kind_in_the_order_in_which_they_came(side: Side) -> None:
    first, second, other = side.inputs.add("a", "x"), side.inputs.add("a", "x"), side.inputs.add("b", "y\udcff")
    assert (first.position, first.anew, first.open) == ("", False, False)
    assert side.inputs.known("a") == [first, second]
    assert side.inputs.known("b") == [other]
    side.inputs.drop(first.input_id)
    side.inputs.drop(first.input_id)  # it is gone already
    assert side.inputs.known("a") == [second]
    assert side.inputs.add("a", "x").input_id not in (first.input_id, second.input_id)


def test_a_position_comes_back_as_it_was_handed_over(side: Side) -> None:
    source = side.inputs.add("a", "x")
    read = replace(source, position='{"at":[1,"é"]}', name="y")
    assert side.inputs.admit_records(read, []) == Admitted()
    assert side.inputs.known("a") == [read]
    whole = replace(read, position="2")
    admitted = side.inputs.admit_document(whole, "digest", [report("1", "2")], [reject()])
    assert admitted == Admitted(scans=1, findings=2, quarantined=1)
    assert side.inputs.known("a") == [whole]


def test_a_document_in_pieces_counts_when_it_is_finished(side: Side) -> None:
    source = side.inputs.add("a", "x")
    whole = report("1", "2", "3")
    staging = side.inputs.stage(source, "web01", "2020-01-01T00:00:00Z")
    assert staging.begin(whole.header, whole.digest)
    for one in whole.findings:
        staging.add([encode_finding(one)])
    staging.reject([reject(path="a")])
    staging.end(False)
    staging.reject([reject(path="b")])
    assert side.inputs.known("a") == [source]
    read = replace(source, position="2")
    assert staging.finish(read, "digest") == Admitted(scans=1, findings=3, quarantined=2)
    assert side.inputs.known("a") == [read]
    staging.drop()
    assert side.inputs.known("a") == [read]


def test_a_document_that_is_dropped_was_never_there(side: Side) -> None:
    source = side.inputs.add("a", "x")
    whole = report("1")
    for _ in range(2):
        staging = side.inputs.stage(source)
        staging.begin(whole.header, whole.digest)
        staging.add([encode_finding(whole.findings[0])])
        staging.drop()
        staging.drop()
    assert side.inputs.known("a") == [source]
    assert side.inputs.admit_document(replace(source, position="1"), "d", [whole], []).scans == 1


def test_a_scan_is_open_until_it_is_closed(side: Side) -> None:
    source = side.inputs.add("a", "x")
    content = lines(*scan("1", "2", emitted=9))
    assert side.inputs.admit_records(source, records(content)).findings == 2
    assert [known.open for known in side.inputs.known("a")] == [True]
    side.inputs.close_scan(source.input_id)
    side.inputs.close_scan(source.input_id)
    assert [known.open for known in side.inputs.known("a")] == [False]


def test_what_is_dropped_is_closed(side: Side) -> None:
    source = side.inputs.add("a", "x")
    side.inputs.admit_records(source, records(lines(*scan("1", emitted=9))))
    side.inputs.drop(source.input_id)
    if side.ledger is not None:
        assert side.ledger.status()["scans_open"] == 0
    else:
        assert isinstance(side.inputs, MemoryInputs)
        assert side.inputs.closed == ["x"]


def test_what_is_not_known_is_not_taken(side: Side) -> None:
    for refused in (
        lambda: side.inputs.admit_records(NOWHERE, []),
        lambda: side.inputs.admit_document(NOWHERE, "digest", [report("1")], []),
        lambda: side.inputs.stage(NOWHERE).finish(NOWHERE, "digest"),
        lambda: side.files.move(NOWHERE.input_id, "/x", FileIdentity(1, 1)),
    ):
        with pytest.raises(LedgerError):
            refused()
    assert side.inputs.known("other") == []


def test_reading_again_begins_anew_once_no_scan_is_open(side: Side) -> None:
    source = side.files.add("/w/a", FileIdentity(1, 1), "stream").source
    content = lines(b"nonsense", *scan("1", emitted=2))
    read = replace(source, position=str(len(content)))
    side.inputs.admit_records(read, records(content))
    side.ask_again(source)
    assert side.files.rereads() == []
    assert side.inputs.known(KIND) == [replace(read, open=True)]
    end = lines(finding("2"))
    side.inputs.admit_records(read, records(content + end, len(content)))
    side.inputs.close_scan(source.input_id)
    anew = replace(source, anew=True)
    assert [known.source for known in side.files.rereads()] == [anew]
    assert side.inputs.known(KIND) == [anew]
    side.inputs.admit_records(replace(anew, position="7"), [])
    assert side.files.rereads() == []
    assert side.inputs.known(KIND) == [replace(source, position="7")]


def test_files_are_told_apart_by_what_the_source_says(side: Side) -> None:
    identity = FileIdentity(2**63, 2**64 - 1, 123)
    first = side.files.add("/w/\udcff", identity, "document")
    second = side.files.add("/w/\udcff", FileIdentity(1, 2), "stream")
    side.inputs.add("stdin", "-")
    assert side.files.known() == [first, second]
    side.files.move(first.source.input_id, "/w/b", FileIdentity(3, 4))
    moved = KnownFile(replace(first.source, name="/w/b"), FileIdentity(3, 4), "document")
    assert side.files.known() == [moved, second]
    side.inputs.drop(first.source.input_id)
    assert side.files.known() == [second]
    assert [known.name for known in side.inputs.known(KIND)] == ["/w/\udcff"]
