"""A record that is larger than a record may be where it goes is cut, says so, and stays a record of its format."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import RecordError
from pipeline.output.lines import MOST, within
from pipeline.output.read import read_finding, read_scan, read_verdict
from pipeline.output.records import EnrichedFinding, ScanRecord, VerdictRecord
from pipeline.output.write import write
from tests.depth import examples
from tests.pipeline.output.any_record import full
from tests.pipeline.output.test_lines import made
from tests.pipeline.schemas import contract

Kind = Literal["finding", "scan", "verdict"]
RECORDS: list[tuple[Kind, str, type, Callable[[bytes], Any]]] = [
    ("finding", "enriched-1", EnrichedFinding, read_finding),
    ("scan", "scan-1", ScanRecord, read_scan),
    ("verdict", "verdict-1", VerdictRecord, read_verdict),
]


@pytest.mark.parametrize(("kind", "name", "type_", "read"), RECORDS)
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.too_slow])  # a scan's record has megabytes
@given(
    seed=st.integers(0, 1 << 30),
    share=st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]),
    most=st.sampled_from([32 << 10, 100_000, 999_000]),
)
def test_it_has_at_most_so_many_bytes_and_is_a_record_of_its_format_whatever_is_in_it(
    kind: Kind, name: str, type_: type, read: Callable[[bytes], Any], seed: int, share: float, most: int
) -> None:
    whole = write(made(type_, seed, share))
    line = within(kind, whole, most)
    assert len(line) <= most
    contract(name).whole.validate(orjson.loads(line))
    record = read(line)
    assert write(record) == line
    if len(whole) <= most:
        assert line == whole
    else:
        assert record.cut is not None and record.cut.whole.startswith("sysscan-agent ")
        assert all(part.kept < part.of for part in record.cut.parts)
        assert line == within(kind, whole, most), "sent again it is the same"


def test_of_twenty_thousand_issues_the_worst_stay_and_it_says_how_many_there_were() -> None:
    record = replace(full(ScanRecord), cut=None)
    issues = tuple(replace(record.issues[0], id=f"{number:032x}") for number in range(20_000))
    whole = write(replace(record, issues=issues))
    line = within("scan", whole, 999_000)
    assert len(line) <= 999_000 < len(whole)
    short = read_scan(line)
    kept = len(short.issues)
    assert 0 < kept <= MOST and [one.id for one in short.issues] == [one.id for one in issues[:kept]]
    assert short.cut is not None
    assert {part.what: (part.kept, part.of) for part in short.cut.parts}["issues"] == (kept, 20_000)
    assert (short.host, short.scan_id, short.counts) == (record.host, record.scan_id, record.counts)


def test_what_is_no_record_is_not_cut() -> None:
    with pytest.raises(RecordError):
        within("finding", b'{"x":"' + b"x" * 1000 + b'"}', 100)
