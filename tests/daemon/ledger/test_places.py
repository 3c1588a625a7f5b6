"""A state that a host returns to is news, a copy of it is not: reports without times, and streams."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ports.files import FileIdentity
from daemon.ports.inputs import Admitted
from tests.daemon.ledger.reports import Stream, admit, emitted_ids, ndjson_report, open_ledger, report, scan, work_off

Show = Callable[[Ledger, str, str], Admitted]


def as_report(ledger: Ledger, path: str, state: str) -> Admitted:
    """Publish a report by rename: a new file under the name."""
    return admit(ledger, report(state, digest=state, started_at=None), path=path)


def as_compressed_stream(ledger: Ledger, path: str, state: str) -> Admitted:
    return admit(ledger, *ndjson_report(scan(state)), path=path)


def as_stream(ledger: Ledger, path: str, state: str) -> Admitted:
    """Publish a stream by rename; the file before it is forgotten."""
    for known in ledger.inputs.known("directory"):
        if known.name == path:
            ledger.inputs.drop(known.input_id)
    return Stream(ledger, path).append(*scan(state))


WAYS = [as_report, as_stream, as_compressed_stream]


@pytest.mark.parametrize("show", WAYS)
def test_a_state_that_comes_back_under_its_name_is_a_scan_of_its_own(ledger: Ledger, show: Show) -> None:
    shown = [show(ledger, "/w/host", state).scans for state in ("bad", "bad", "good", "bad", "bad", "good", "bad")]
    assert shown == [1, 0, 1, 1, 0, 1, 1]
    assert emitted_ids(ledger) == ["bad", "good", "bad", "good", "bad"]
    assert ledger.database.connection.execute("SELECT count(DISTINCT scan_id) FROM scans").fetchone() == (5,)
    assert ledger.fsck() == []


@pytest.mark.parametrize("show", WAYS)
def test_copies_are_redeliveries_at_once_later_and_lagging_behind(ledger: Ledger, show: Show) -> None:
    for state in ("bad", "good", "bad"):
        show(ledger, "/w/host", state)
    # A mirror that is behind, another that has missed a state, and rotated copies that are written over.
    for path, states in {
        "/w/mirror": ("bad", "good", "bad", "bad"),
        "/w/late": ("good", "bad"),
        "/w/host.1": ("bad", "good"),
        "/w/restored": ("good",),
        "/w/old": ("bad",),
    }.items():
        for state in states:
            assert show(ledger, path, state).scans == 0, (path, state)
    assert emitted_ids(ledger) == ["bad", "good", "bad"]


def test_a_report_with_times_is_one_scan_for_ever(ledger: Ledger) -> None:
    shown = [admit(ledger, report(state, digest=state), path="/w/host").scans for state in ("a", "b", "a", "b")]
    assert shown == [1, 1, 0, 0]


def test_what_a_name_has_shown_outlives_its_files(ledger: Ledger) -> None:
    for state, expected in (("bad", 1), ("good", 1), ("bad", 1)):
        assert as_report(ledger, "/w/host", state).scans == expected
        for known in ledger.inputs.known("directory"):
            ledger.inputs.drop(known.input_id)


def test_hosts_that_share_a_name_keep_their_own_order(ledger: Ledger) -> None:
    def show(host: str, state: str) -> int:
        return admit(ledger, report(state, digest=state, started_at=None, host=host), path="/w/scan.json").scans

    assert [show("a", "bad"), show("b", "bad"), show("a", "good"), show("b", "bad"), show("a", "bad")] == [
        1,
        1,
        1,
        0,
        1,
    ]


def test_a_renamed_file_takes_what_it_has_shown_with_it(ledger: Ledger) -> None:
    """Rotation: what is read under the old name next is the latest state, or a new scan."""
    first = Stream(ledger, "/w/a")
    first.append(*scan("bad"), *scan("good"))
    ledger.files.move(first.state.input_id, "/w/a.1", FileIdentity(1, 7))
    second = Stream(ledger, "/w/a")
    assert second.append(*scan("good")).scans == 0  # the latest
    assert second.append(*scan("bad")).scans == 1  # it comes back
    assert Stream(ledger, "/w/a.2.gz").append(*scan("bad"), *scan("good")).scans == 0


def test_a_mirror_that_missed_a_state_and_was_read_first_costs_and_brings_nothing(ledger: Ledger) -> None:
    """It shows a later scan before the host's own file has shown the return in front of it."""

    def show(path: str, *states: str) -> int:
        for known in ledger.inputs.known("directory"):
            if known.name == path:
                ledger.inputs.drop(known.input_id)
        stream = Stream(ledger, path)
        for state in states:
            stream.append(*scan(state))
        stream.close()
        count: int = ledger.database.connection.execute("SELECT count(scan_no) FROM scans").fetchone()[0]
        return count

    assert show("/w/a", "bad") == show("/w/m", "bad") == 1
    assert show("/w/a", "good") == 2
    assert show("/w/m", "bad", "worse") == 3  # it was bad again, but that the mirror cannot tell
    assert show("/w/a", "bad", "worse") == 4
    for path in ("/w/a.1.gz", "/w/m", "/w/archived", "/w/a"):
        assert show(path, "bad", "worse") == 4, path
    assert show("/w/a", "bad", "worse", "best") == 5
    assert show("/w/m", "bad", "worse", "best") == 5
    assert show("/w/a", "bad", "worse", "best", "worse", "bad") == 7
    assert ledger.fsck() == []


def rewritten_report(ledger: Ledger, path: str, *states: str) -> int:
    """Write a report again and again in place; returns its input."""
    file = ledger.files.add(path, FileIdentity(1, 7), "document").source
    for state in states:
        made = report(state, digest=state, started_at=None)
        ledger.inputs.admit_document(replace(file, position=state), state, [made], [])
    return file.input_id


def rewritten_stream(ledger: Ledger, path: str, *states: str) -> int:
    stream = Stream(ledger, path)
    for state in states:
        stream.read_anew(b"".join(line + b"\n" for line in scan(state)))
    return stream.state.input_id


@pytest.mark.parametrize("rewritten, show", [(rewritten_report, as_report), (rewritten_stream, as_stream)])
@pytest.mark.parametrize("then", ["kept", "forgotten", "moved on", "moved on and forgotten", "copied and forgotten"])
def test_a_name_whose_file_moved_away_is_past_all_that_it_showed_whatever_becomes_of_that(
    ledger: Ledger, rewritten: Callable[..., int], show: Show, then: str
) -> None:
    """As when a rotated file is compressed and removed while its host returns to an earlier state."""
    moved = rewritten(ledger, "/w/a", "bad", "good")
    ledger.files.move(moved, "/w/a.1", FileIdentity(1, 7))
    if "moved on" in then:
        ledger.files.move(moved, "/w/a.2", FileIdentity(1, 7))
    if "copied" in then:
        assert show(ledger, "/w/a.1.gz", "good").scans == 0
    if "forgotten" in then:
        ledger.inputs.drop(moved)
    assert [show(ledger, "/w/a", state).scans for state in ("bad", "bad", "good")] == [1, 0, 1]


def test_a_file_that_moves_away_and_back_is_written_anew_as_before(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x"), *scan("y"))
    for path in ("/w/b", "/w/a"):
        ledger.files.move(stream.state.input_id, path, FileIdentity(1, 7))
    assert stream.read_anew().scans == 0
    assert stream.read_anew(b"".join(line + b"\n" for line in [*scan("x"), *scan("z")])).scans == 1


def test_a_file_that_is_written_anew_with_an_addition_redelivers_the_rest(ledger: Ledger) -> None:
    def show(*states: str) -> Admitted:
        reports = [report(state, digest=state, started_at=None) for state in states]
        return admit(ledger, *reports, path="/w/all.json")

    assert show("a", "b").scans == 2
    assert show("a", "b", "c").scans == 1
    assert show("b", "c", "d").scans == 1
    assert show("b", "c", "d", "b").scans == 1  # d, then b again
    assert show("b", "c", "d", "b").scans == 0
    stream = Stream(ledger, "/w/s")
    stream.append(*scan("x"), *scan("y"), *scan("z"))
    changed = b"".join(line + b"\n" for line in [*scan("x"), *scan("Y"), *scan("z")])
    assert stream.read_anew(changed).scans == 1
    assert stream.read_anew().scans == 0


def test_it_holds_over_a_restart_and_with_what_is_done(tmp_path: Path) -> None:
    for state, expected in (("bad", 1), ("good", 1), ("bad", 1), ("bad", 0)):
        with open_ledger(tmp_path) as ledger:
            assert as_report(ledger, "/w/host", state).scans == expected
            work_off(ledger)
            assert ledger.fsck() == []
