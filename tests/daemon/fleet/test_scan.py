"""A record of the topic may hold anything: it is read, or refused with a reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.fleet.scan import REASONS, Place, Unusable, read_scan
from tests.daemon.fleet.made import NOON, issue, real, record, scan

PLACE = Place(3, 17, NOON)


def refused(key: bytes | None, value: bytes | None) -> str:
    with pytest.raises(Unusable) as caught:
        read_scan(key, value, PLACE)
    assert caught.value.reason in REASONS
    return caught.value.reason


@pytest.mark.parametrize("name", ["web01-ioc.json", "db02-full.json.gz", "micro-default.json"])
def test_a_real_record_says_what_the_daemon_said(name: str) -> None:
    (line,) = real(name)
    said = json.loads(line)
    found = read_scan(said["host"].encode(), line, PLACE)
    assert (found.host, found.scan_id, found.scope) == (said["host"], said["scan_id"], said["profile"])
    assert found.counts == said["counts"]["level"]
    assert [one.id for one in found.issues] == [one["id"] for one in said["issues"]]
    assert found.place is PLACE
    assert all(one.fresh for one in found.issues if one.status == "open"), "a first scan finds everything new"


@pytest.mark.parametrize(
    ("reason", "key", "value"),
    [
        ("empty", b"web-01", None),
        ("empty", b"web-01", b""),
        ("not_json", b"web-01", b"{"),
        ("not_json", b"web-01", b"\xff\xfe"),
        ("not_a_scan", b"web-01", b"[]"),
        ("not_a_scan", b"web-01", b"17"),
        ("not_a_scan", b"web-01", record(schema="sysscan.enriched/1")),
        ("newer_format", b"web-01", record(schema="sysscan.scan/2")),
        ("no_host", b"", record(host="")),
        ("no_host", b"unknown", record(host="unknown", host_source="unknown")),
        ("no_host", b"x" * 256, record(host="x" * 256)),
        ("key_differs", b"web-02", record(host="web-01")),
        ("malformed", b"web-01", record(at="yesterday")),
        ("malformed", b"web-01", record().replace(b'"s1"', b"17")),
        ("malformed", b"web-01", record(counts=[])),
        ("malformed", b"web-01", record(counts={"level": {"critical": "many"}})),
        ("malformed", b"web-01", record(counts={"level": {"critical": -1}})),
        ("malformed", b"web-01", record(issues=[issue(level="dreadful")])),
        ("malformed", b"web-01", record(issues=[issue(score=101)])),
        ("malformed", b"web-01", record(issues=[issue(score=True)])),
        ("malformed", b"web-01", record(issues=[issue(split=["a"])])),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(reason: str, key: bytes, value: bytes | None) -> None:
    assert refused(key, value) == reason


@given(st.binary() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_nothing_else_than_a_refusal_comes_of_anything(value: bytes) -> None:
    refused(None, value)


@given(st.data())
def test_a_record_with_one_value_of_another_type_is_read_or_refused(data: st.DataObject) -> None:
    made = json.loads(record())
    where: Any = made
    while True:
        name = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
        deeper = where[name]
        if not deeper or not isinstance(deeper, dict | list) or data.draw(st.booleans()):
            break
        where = deeper
    where[name] = data.draw(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}))
    try:
        read_scan(None, json.dumps(made).encode(), PLACE)
    except Unusable as error:
        assert error.reason in REASONS


def test_a_scan_is_never_later_than_it_was_written() -> None:
    """A host whose clock is ahead by a year would else never be brought up to date again."""
    assert scan(at="2027-11-02T11:00:00Z").at == NOON
    assert scan(at="2026-11-02T11:00:00Z").at == NOON - 3600_000
    assert scan(at="2026-11-02T11:00:00").at == NOON - 3600_000, "without a zone it is UTC"


def test_a_situation_is_the_same_on_every_host_and_another_with_other_features() -> None:
    def of(**fields: Any) -> str:
        return scan(issues=[issue("one", **fields)]).issues[0].situation

    assert of() == of(labels=["/elsewhere"], id="other", score=10)
    assert len({of(), of(split={"deleted": "local"}), of(status="unknown"), of(**{"class": "class.other"})}) == 4
    unknown = {"class": "unknown.ioc"}
    assert of(**unknown, title="This") != of(**unknown, title="That")
    assert of(title="Words of one version") == of(title="Words of the next")


def test_texts_and_lists_are_cut() -> None:
    found = scan(issues=[issue(f"i{at}", title="x" * 10_000, labels=["y" * 10_000]) for at in range(600)])
    assert len(found.issues) == 500
    assert all(len(one.title) == len(one.label) == 200 for one in found.issues)
