"""The writer: canonical bytes, and nothing that says nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
import pytest

from pipeline.keys import canonical
from pipeline.output.records import EnrichedFinding, HostFacts, ScanRecord
from pipeline.output.write import Parts, fragment, name_of, write
from pipeline.rules.compliance import Control
from tests.pipeline.output.any_record import full
from tests.pipeline.sessions import report, session_of, shared

CONTROL = Control("hipaa", "164.312(b)", "Audit controls", "none", "sourced", "s")


@dataclass(slots=True, frozen=True)
class Holder:
    class_: str
    of: Any


@pytest.mark.parametrize("record", [full(EnrichedFinding), full(ScanRecord)])
def test_the_bytes_are_canonical(record: object) -> None:
    assert write(record) == canonical(orjson.loads(write(record)))


def test_a_key_that_is_a_word_of_python_is_written_without_its_underscore() -> None:
    assert write(Holder("a", None)) == b'{"class":"a","of":null}'


def test_a_key_that_may_be_left_out_is_where_it_says_nothing() -> None:
    said = orjson.loads(write(CONTROL))
    assert "core" not in said and "caution" not in said
    loud = Control("hipaa", "164.312(b)", "Audit controls", "none", "sourced", "s", core=True, caution="why")
    assert orjson.loads(write(loud)) == {**said, "core": True, "caution": "why"}
    assert write(HostFacts()) == b"{}"


def test_a_part_that_was_written_before_gives_the_same_bytes() -> None:
    record, parts = full(EnrichedFinding), Parts()
    encoded = {"compliance": parts.of("one", record.compliance), "provenance": fragment(record.provenance)}
    assert write(record, encoded) == write(record)
    assert parts.of("one", record.compliance) is encoded["compliance"]
    assert parts.of("other", (CONTROL,)) is not encoded["compliance"]


def test_any_mapping_is_an_object() -> None:
    held: Mapping[str, int] = MappingProxyType({"b": 1, "a": 2})
    assert write(Holder("a", held)) == b'{"class":"a","of":{"a":2,"b":1}}'


@pytest.mark.parametrize("thing", [{1, 2}, b"bytes", object()])
def test_what_is_no_json_is_refused(thing: object) -> None:
    with pytest.raises(TypeError):
        write(Holder("a", thing))


def test_records_are_named_after_what_they_hold() -> None:
    assert name_of(HostFacts("x86_64")) == name_of(HostFacts("x86_64")) != name_of(HostFacts("arm64"))


def test_a_line_of_a_scan_is_its_record_and_twins_differ_in_their_keys_alone() -> None:
    session = session_of(report("db02-full.json.gz"), shared(), {})
    writer, count = session._writer, len(session.index.members)
    outcomes = [session._outcome(session.question(seq), "no_model") for seq in range(count)]
    assert sum(occurrences > 1 for occurrences in session.index.occurrences) > 1000
    for seq, outcome in enumerate(outcomes):
        assert writer.line(seq, outcome).line == write(writer.record(seq, outcome))
