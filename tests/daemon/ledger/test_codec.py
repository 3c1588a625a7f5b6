from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.ledger import codec
from pipeline.finding import RawFinding, ScanHeader
from pipeline.report.records import HeaderLine, MetaLine

TEXT = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates, too
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)
NAMES = st.lists(TEXT, max_size=3).map(tuple)


@given(
    st.builds(
        RawFinding,
        scanner=st.none() | TEXT,
        id=TEXT,
        severity=st.sampled_from(["info", "error"]),
        title=st.none() | TEXT,
        description=st.none() | TEXT,
        score=st.none() | st.integers(),
        metadata=OBJECTS,
        techniques=NAMES,
        extra=OBJECTS,
        escaped=NAMES,
    )
)
def test_a_finding_comes_back_as_it_was(finding: RawFinding) -> None:
    assert codec.decode_finding(codec.encode_finding(finding)) == finding


@given(
    st.builds(
        ScanHeader,
        source_format=st.just("ndjson"),
        host=st.none() | TEXT,
        emitted=st.none() | st.integers(0),
        effective_config=OBJECTS,
        raw=OBJECTS,
        scanners=NAMES,
        notes=NAMES,
    )
)
def test_a_header_comes_back_as_it_was(header: ScanHeader) -> None:
    assert codec.decode_header(codec.encode_header(header)) == header


@given(
    st.none() | st.builds(MetaLine, OBJECTS, st.binary()), st.lists(st.builds(HeaderLine, TEXT, OBJECTS, st.binary()))
)
def test_header_lines_come_back_as_they_were(meta: MetaLine | None, headers: list[HeaderLine]) -> None:
    assert codec.decode_header_lines(codec.encode_header_lines(meta, headers)) == (meta, headers)


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_different_parts_have_different_digests(one: list[str], other: list[str]) -> None:
    assert (codec.text_digest(*one) == codec.text_digest(*other)) == (one == other)


@given(TEXT)
def test_a_strangers_text_becomes_storable(text: str) -> None:
    codec.text(text).encode()
