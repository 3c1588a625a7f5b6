"""Which scan is it? The rules for NDJSON."""

import gzip
from pathlib import Path

import pytest

from daemon.ledger import Ledger
from daemon.ports.files import KIND
from daemon.ports.inputs import Admitted
from tests.daemon.ledger.reports import (
    EXTENSION,
    SINK,
    START,
    Stream,
    admit,
    emitted_ids,
    finding,
    meta,
    ndjson_report,
    open_ledger,
    scan,
    summary,
    work_off,
)

SCANS = Path(__file__).parents[2] / "data" / "scans"


def test_a_scan_is_whole_after_the_announced_number_of_findings(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    assert stream.append(*scan("x", "y", emitted=3)) == Admitted(findings=2)
    assert ledger.work.next_scan() is None
    assert stream.append(finding("z")) == Admitted(scans=1, findings=1)
    closed = ledger.work.next_scan()
    assert closed is not None
    assert (closed.scan_no, closed.complete, closed.findings, closed.rejected) == (1, True, 3, 0)
    assert (closed.host, closed.host_source, closed.source) == ("web01", "report", "/w/a")
    assert [found.id for found in ledger.work.findings(1)] == ["x", "y", "z"]


def test_the_pinned_ingest_time_is_that_of_the_first_line_and_survives_a_restart(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        stream = Stream(ledger, "/w/a")
        stream.append(*scan("x", emitted=2))
    with open_ledger(tmp_path, clock=lambda: START + 5000) as ledger:
        stream.ledger = ledger
        stream.append(finding("y"))
        closed = ledger.work.next_scan()
        assert closed is not None and closed.as_of == "2023-11-14T22:13:20Z"
        assert closed.header.raw["meta"]["hostname"] == "web01"


@pytest.mark.parametrize("cuts", [1, 2, 3, 5])
def test_where_transactions_are_cut_does_not_matter(tmp_path: Path, cuts: int) -> None:
    lines = [
        *scan("x", "y"),
        finding("more"),
        *scan("x", "y"),
        *scan("z", emitted=4),
        b"[INFO ] log",
        EXTENSION,
        b"{bad",
    ]
    lines += [*scan("x", "y"), summary(1), finding("q")]

    def seen(step: int) -> list[tuple[object, ...]]:
        with open_ledger(tmp_path / str(step)) as ledger:
            stream = Stream(ledger, "/w/a")
            for start in range(0, len(lines), step):
                stream.append(*lines[start : start + step])
            stream.close()
            assert ledger.fsck() == []
            return [(s.scan_id, s.complete, s.findings, s.rejected, s.header) for s in work_off(ledger)]

    assert seen(cuts) == seen(len(lines))


def test_the_same_scan_in_another_file_is_a_redelivery(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(*scan("x", "y"))
    copy = Stream(ledger, "/w/b")
    assert copy.append(*scan("x")[:3], finding("x")) == Admitted(scans=1, findings=1)  # another count, another header
    again = Stream(ledger, "/w/c")
    assert again.append(*scan("x", "y")) == Admitted(redelivered_scans=1, redelivered_findings=2)
    assert emitted_ids(ledger) == ["x", "y", "x"]
    assert ledger.work.next_scan() is None


def test_a_redelivery_is_known_after_its_scan_is_done_and_pruned(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(*scan("x", "y"))
    assert emitted_ids(ledger) == ["x", "y"]
    while ledger.idle():
        pass
    Stream(ledger, "/w/b").append(*scan("x", "y"))
    assert emitted_ids(ledger) == []


def test_a_known_header_with_other_findings_is_a_new_scan(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(*scan("x", "y"))
    held = Stream(ledger, "/w/b")
    assert held.append(*scan("x", emitted=2)) == Admitted()  # held: it may be a redelivery
    assert held.append(finding("z")) == Admitted(scans=1, findings=2)
    first, second = work_off(ledger)
    assert first.scan_id != second.scan_id


def test_a_second_equal_scan_in_one_file_is_a_new_scan(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x"))
    assert stream.append(*scan("x")) == Admitted(scans=1, findings=1)
    assert len({closed.scan_id for closed in work_off(ledger)}) == 2


def test_a_copy_of_a_file_with_two_equal_scans_redelivers_both_and_a_third_is_new(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(*scan("x"), *scan("x"))
    copy = Stream(ledger, "/w/b")
    assert copy.append(*scan("x"), *scan("x")) == Admitted(redelivered_scans=2, redelivered_findings=2)
    assert copy.append(*scan("x")) == Admitted(scans=1, findings=1)


def test_two_files_that_grow_together_with_the_same_scan_give_it_once(ledger: Ledger) -> None:
    one, other = Stream(ledger, "/w/a"), Stream(ledger, "/w/b")
    one.append(*scan("x", emitted=2))
    other.append(*scan("x", emitted=2))
    other.append(finding("y"))
    assert one.append(finding("y")).redelivered_scans == 1
    assert emitted_ids(ledger) == ["x", "y"]


def test_a_compressed_copy_of_a_stream_is_a_redelivery(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(*scan("x", "y"), *scan("z"))
    admitted = admit(ledger, *ndjson_report([*scan("x", "y"), *scan("z")]), path="/w/a.1.gz")
    assert admitted == Admitted(redelivered_scans=2, redelivered_findings=3)


def test_a_stream_that_was_first_seen_compressed_is_a_redelivery(ledger: Ledger) -> None:
    lines = gzip.decompress((SCANS / "web01-base-full.ndjson.gz").read_bytes()).splitlines()
    assert admit(ledger, *ndjson_report(lines)).findings == 2719
    assert Stream(ledger, "/w/a").append(*lines).redelivered_findings == 2719


def test_the_next_meta_closes_an_incomplete_scan(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x", emitted=5), *scan("y"))
    first, second = work_off(ledger)
    assert (first.complete, first.findings, first.header.notes) == (False, 1, ("count_mismatch",))
    assert (second.complete, second.findings) == (True, 1)


def test_rotation_closes_an_incomplete_scan_and_closing_again_does_nothing(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x", emitted=5))
    stream.close()
    stream.close()
    (closed,) = work_off(ledger)
    assert not closed.complete


def test_dropping_a_file_closes_its_scan(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a", host_key="bound")
    stream.append(meta("liar"))
    ledger.inputs.drop(stream.state.input_id)
    (closed,) = work_off(ledger)
    assert (closed.complete, closed.host, closed.host_source) == (False, "bound", "key")
    assert ledger.inputs.known(KIND) == []


def test_findings_after_the_end_of_a_scan_go_on_with_its_header(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x"), finding("more"))
    stream.close()
    first, second = work_off(ledger)
    assert first.complete and not second.complete
    assert second.host == "web01" and second.header.emitted is None and "continued" in second.header.notes
    assert first.scan_id != second.scan_id


@pytest.mark.parametrize("at_once", [True, False])
def test_a_scan_without_end_is_cut_into_ones_that_can_be_worked_on(tmp_path: Path, at_once: bool) -> None:
    with open_ledger(tmp_path, max_findings=2) as ledger:
        ledger.outbox.register(SINK)
        stream = Stream(ledger, "/w/a")
        lines = scan(*"abcde", emitted=99)
        for part in [lines] if at_once else [[line] for line in lines]:
            stream.append(*part)
        assert [done.findings for done in work_off(ledger)] == [2, 2]
        stream.close()
        (rest,) = work_off(ledger)
        assert (rest.findings, rest.complete) == (1, False)
        assert emitted_ids(ledger) == [*"abcde"]
        assert ledger.fsck() == []


def test_a_scan_that_is_longer_than_a_lowered_limit_ends_at_its_next_finding(tmp_path: Path) -> None:
    with open_ledger(tmp_path, max_findings=9) as ledger:
        stream = Stream(ledger, "/w/a")
        stream.append(*scan(*"abc", emitted=99))
    with open_ledger(tmp_path, max_findings=2) as ledger:
        ledger.outbox.register(SINK)
        stream.ledger = ledger
        stream.append(finding("d"))
        assert [done.findings for done in work_off(ledger)] == [4]


def test_findings_without_a_meta_line_are_a_scan_of_their_own(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    stream.append(finding("x"), finding("y"))
    stream.append(*scan("z"))
    first, second = work_off(ledger)
    assert (first.host, first.host_source, first.complete, first.findings) == ("unknown", "unknown", False, 2)
    assert "no_meta" in first.header.notes and second.host == "web01"


def test_a_summary_without_a_meta_line_still_says_when_the_scan_is_whole(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(summary(1), EXTENSION, finding("x"))
    (closed,) = work_off(ledger)
    assert closed.complete


def test_header_lines_in_front_of_the_meta_line_belong_to_it(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(EXTENSION, summary(1), meta(), finding("x"))
    (closed,) = work_off(ledger)
    assert closed.complete and closed.host == "web01"


def test_a_scan_without_findings_ends_with_its_header(ledger: Ledger) -> None:
    Stream(ledger, "/w/a").append(*scan())
    (closed,) = work_off(ledger)
    assert (closed.complete, closed.findings) == (True, 0)


def test_a_bad_line_is_quarantined_with_its_place_and_the_scan_is_not_complete(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/a")
    admitted = stream.append(*scan("x", emitted=2), b'{"type":"finding","scanner":"s","severity":"info"}')
    assert admitted == Admitted(findings=1, quarantined=1)
    stream.close()
    (closed,) = work_off(ledger)
    assert (closed.complete, closed.findings, closed.rejected) == (False, 1, 1)
    (row,) = ledger.quarantine.rows()
    assert row.source == "/w/a" and row.offset == stream.content.rindex(b"{") and row.scan is not None
    assert stream.content[row.offset :].startswith(row.excerpt)


def test_a_log_line_among_the_findings_costs_no_completeness(ledger: Ledger) -> None:
    lines = scan("x", "y")
    Stream(ledger, "/w/a").append(*lines[:4], b"[INFO ] hello", lines[4])
    (closed,) = work_off(ledger)
    assert closed.complete and closed.rejected == 0
    assert [row.reason for row in ledger.quarantine.rows()] == ["log_line"]


def test_a_rewritten_stream_is_read_anew(ledger: Ledger) -> None:
    """The scanner truncates and rewrites its file: equal scans are redeliveries, others are new."""
    stream = Stream(ledger, "/w/a")
    stream.append(*scan("x"), *scan("open", emitted=9))
    content = b"".join(line + b"\n" for line in [*scan("x"), *scan("new")])
    assert stream.read_anew(content) == Admitted(scans=2, findings=1, redelivered_scans=1, redelivered_findings=1)
    assert emitted_ids(ledger) == ["x", "open", "new"]


def test_an_open_scan_shows_in_the_input(ledger: Ledger) -> None:
    stream = Stream(ledger, "/w/\udcff\n")
    stream.append(*scan("x", emitted=2))
    (state,) = ledger.inputs.known(KIND)
    assert (state.open, state.name, state.position) == (True, "/w/\udcff\n", str(len(stream.content)))
    stream.append(finding("y"))
    assert not ledger.inputs.known(KIND)[0].open


@pytest.mark.parametrize(
    ("claimed", "key", "option", "expected"),
    [
        ("a", None, "opt", ("a", "report")),
        ("a", "b", "opt", ("b", "key")),
        ("a", "a", None, ("a", "report")),
        (None, "b", "opt", ("b", "key")),
        (None, None, "opt", ("opt", "option")),
        (None, None, None, ("unknown", "unknown")),
    ],
)
def test_whose_scan_it_is(
    tmp_path: Path, claimed: str | None, key: str | None, option: str | None, expected: tuple[str, str]
) -> None:
    with open_ledger(tmp_path, host=option) as ledger:
        Stream(ledger, "/w/a", host_key=key).append(*scan("x", host=claimed))
        closed = ledger.work.next_scan()
        assert closed is not None and (closed.host, closed.host_source) == expected


def test_one_bound_host_cannot_redeliver_away_the_scan_of_another(ledger: Ledger) -> None:
    Stream(ledger, "/w/a", host_key="a").append(*scan("x"))
    assert Stream(ledger, "/w/b", host_key="b").append(*scan("x")).scans == 1


@pytest.mark.parametrize("name", sorted(path.name for path in SCANS.glob("*.ndjson")))
def test_a_real_stream_is_one_complete_scan(ledger: Ledger, name: str) -> None:
    lines = (SCANS / name).read_bytes().splitlines()
    Stream(ledger, "/w/a").append(*lines)
    (closed,) = work_off(ledger)
    assert closed.complete and closed.findings == sum(b'"type":"finding"' in line for line in lines)
