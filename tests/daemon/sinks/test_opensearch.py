"""The bulk sink: each record is one document under its key, however often it is sent and whatever comes back.

The server here keeps `_id` as OpenSearch does; `tests/servers` runs the same against OpenSearch itself.
"""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ports.outbox import OutboxRow
from daemon.sinks.delivery import Delivery
from daemon.sinks.network.items import Item
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.opensearch.sink import Bulk, document_id, open_opensearch
from pipeline.errors import SinkError
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.taking_server import Answer, TakingServer, failing
from tests.daemon.sinks.waited import Waited


def sink(server: TakingServer, **settings: Any) -> Waited:
    made = Waited(open_opensearch(OpenSearchSettings(**{"name": "search", "url": server.url, **settings})))
    made.recover(0, lambda position: [])
    return made


def deliver(made: Waited, rows: list[OutboxRow]) -> Delivery:
    """Deliver everything, however many attempts it takes."""
    outbox = MemoryOutbox()
    outbox.add(*rows)
    now = itertools.count(step=1000)
    delivery = Delivery(outbox, made, lambda: float(next(now)))
    while outbox.marks.get(made.name, 0) < len(rows):
        delivery.step()
    delivery.close()
    return delivery


def test_a_record_is_created_under_its_key_in_the_index_of_its_kind() -> None:
    with TakingServer(bulk=True) as server:
        sink(server, url=f"{server.url}/search/", pipeline="geo").write([row(1), row(2, kind="scan")])
        (asked,) = server.requests
    assert asked.path.startswith("/search/_bulk?filter_path=errors,items.*._id") and asked.path.endswith(
        "&pipeline=geo"
    )
    actions = [json.loads(line) for line in asked.body.splitlines()[::2]]
    assert actions == [
        {"create": {"_index": "sysscan-finding", "_id": "key1"}},
        {"create": {"_index": "sysscan-scan", "_id": "key2"}},
    ]
    assert asked.body.splitlines()[1::2] == [row(1).line, row(2).line]


@given(key=st.text(max_size=600), record=st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=5))
def test_whatever_is_in_a_record_it_is_two_lines_of_a_request(key: str, record: dict[str, Any]) -> None:
    line = json.dumps(record).encode()
    pair = Bulk(OpenSearchSettings(name="one", url="http://localhost:1"), "one")._pair(
        Item(1, "finding", key, "low", line)
    )
    action, document, rest = pair.split(b"\n")
    assert rest == b"" and json.loads(document) == record
    assert json.loads(action)["create"]["_id"] == document_id(key)
    assert len(document_id(key).encode()) <= 512


def test_what_is_there_already_counts_as_taken() -> None:
    rows = [row(number) for number in range(1, 10)]
    with TakingServer(bulk=True) as server:
        assert sink(server).write(rows[:5]) == 5
        assert sink(server).write(rows) == 9
        assert max(server.times.values()) == 1 and len(server.kept) == 9


def test_outcomes_are_told_apart_by_their_ids_and_not_by_their_places(tmp_path: Path) -> None:
    letters = tmp_path / "letters.ndjson"
    with TakingServer(bulk=True) as server:
        server.reverses = True
        server.judge = lambda line: (400, "failed to parse field [n]") if json.loads(line)["n"] == 2 else None
        assert sink(server, dead_letter=letters).write([row(number) for number in range(1, 5)]) == 4
    assert [json.loads(line)["key"] for line in letters.read_bytes().splitlines()] == ["key2"]


def test_a_document_that_the_mapping_refuses_holds_the_sink_and_is_named() -> None:
    rows = [row(number) for number in range(1, 6)]
    with TakingServer(bulk=True) as server:
        server.judge = lambda line: (400, "failed to parse field [n]") if json.loads(line)["n"] == 3 else None
        made = sink(server)
        with pytest.raises(SinkError, match=r"the finding key3 is refused \(400: document_parsing_exception: failed"):
            made.write(rows)
        server.judge = lambda line: None
        assert made.write(rows) == 5
    assert sorted(server.kept) == [f"key{number}" for number in range(1, 6)]
    assert max(server.times.values()) == 1


def test_an_answer_in_chunks_is_read_whole() -> None:
    rows = [row(number) for number in range(1, 60)]
    with TakingServer(bulk=True) as server:
        server.answers = [Answer(how="chunks")]
        assert deliver(sink(server), rows).faults == 0


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_not_about_the_record_holds_the_sink_and_makes_no_dead_letter(tmp_path: Path, status: int) -> None:
    letters = tmp_path / "letters.ndjson"
    with TakingServer(bulk=True) as server:
        server.judge = lambda line: (status, "no such index [x]")
        with pytest.raises(SinkError, match="see that the index is there or may be made") as caught:
            sink(server, dead_letter=letters).write([row(1)])
    assert caught.value.wait_s == 30.0 and not letters.exists()


def test_a_record_that_finds_no_room_is_sent_again() -> None:
    rows = [row(number) for number in range(1, 6)]
    full = iter([True, True])
    with TakingServer(bulk=True) as server:
        server.judge = lambda line: (429, "queue is full") if json.loads(line)["n"] == 3 and next(full, False) else None
        delivery = deliver(sink(server), rows)
    assert delivery.faults == 2
    assert sorted(server.kept) == [f"key{number}" for number in range(1, 6)]
    assert max(server.times.values()) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"{}",
        b"[]",
        b"<html>",
        b'{"items":[]}',
        b'{"items":[{"create":{"_id":"key2","status":201}}]}',
        b'{"items":[7]}',
        b"[" * 100_000,
    ],
)
def test_an_answer_to_something_else_is_no_answer(said: bytes) -> None:
    with TakingServer(bulk=True) as server:
        server.answers = [Answer(body=said)]
        delivery = deliver(sink(server), [row(1)])
    assert delivery.faults == 1
    assert list(server.kept) == ["key1"]


def test_however_faults_fall_there_is_one_document_of_each_record() -> None:
    dice = random.Random(11)
    rows = [row(number, pad=dice.randrange(300)) for number in range(1, 300)]
    faults = [
        failing(503), failing(429, Retry_After="2"), failing(500, takes=True), Answer(how="cut"), Answer(how="drop"),
        Answer(how="cut", takes=False),
    ]  # fmt: skip
    with TakingServer(bulk=True) as server:
        server.answers = [dice.choice([Answer(), *faults]) for _ in range(40)]
        delivery = deliver(sink(server, batch_records=20), rows)
    assert delivery.faults > 8
    assert list(server.kept.values()) == [one.line for one in rows]
    assert max(server.times.values()) == 1


def test_an_api_key_is_sent_as_one(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("c2VjcmV0\n", encoding="ascii")
    with TakingServer(bulk=True) as server:
        sink(server, api_key_file=str(tmp_path / "key")).write([row(1)])
        assert server.requests[0].headers["Authorization"] == "ApiKey c2VjcmV0"
        server.answers = [Answer(401, takes=False, body=b"c2VjcmV0 is not known")]
        with pytest.raises(SinkError, match=r"\*\*\* is not known\); see that the credentials are right"):
            sink(server, api_key_file=str(tmp_path / "key")).write([row(2)])
