"""The bulk sink against OpenSearch itself."""

import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from daemon.ports.outbox import OutboxRow
from daemon.sinks.network.items import item_maker
from daemon.sinks.opensearch.probe import probe_opensearch
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.opensearch.sink import open_opensearch
from pipeline.errors import SinkError
from tests.daemon.sinks.waited import Waited


def ask(url: str, method: str = "GET", body: object = None) -> Any:
    request = urllib.request.Request(
        url, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def sink(opensearch: str, index: str, **settings: Any) -> Waited:
    made = Waited(open_opensearch(OpenSearchSettings(name="search", url=opensearch, index=index, **settings)))
    made.recover(0, lambda position: [])
    return made


def stem() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


def documents(opensearch: str, index: str) -> dict[str, Any]:
    ask(f"{opensearch}/{index}/_refresh", "POST")
    found = ask(f"{opensearch}/{index}/_search?size=1000&version=true")["hits"]["hits"]
    return {one["_id"]: one for one in found}


def test_each_record_of_a_real_scan_is_one_document_however_often_it_is_sent(
    opensearch: str, rows: list[OutboxRow]
) -> None:
    index = stem() + "-{kind}"
    for _ in range(3):  # as after a crash: all of it again, cut otherwise
        assert sink(opensearch, index, batch_records=7).write(rows) == len(rows)
    items = item_maker(OpenSearchSettings(name="search", url=opensearch))(rows)
    for kind in ("finding", "issue", "scan"):
        found = documents(opensearch, index.replace("{kind}", kind))
        expected = {item.key: json.loads(item.line) for item in items if item.kind == kind}
        assert expected and all(key == record["dedupe_key"] for key, record in expected.items())
        assert {key: one["_source"] for key, one in found.items()} == expected
        assert {one["_version"] for one in found.values()} == {1}  # made once, and never written over


def test_a_record_that_the_mapping_refuses_is_named_and_goes_to_the_dead_letters(
    opensearch: str, rows: list[OutboxRow], tmp_path: Path
) -> None:
    index = stem()
    # Somebody's template takes the host for a number.
    ask(f"{opensearch}/{index}", "PUT", {"mappings": {"properties": {"host": {"type": "integer"}}}})
    bad, good = rows[0], OutboxRow(2, "finding", "good", "low", True, b'{"host":7}')
    with pytest.raises(SinkError, match=rf"the finding {bad.key} is refused \(400: .*failed to parse field \[host\]"):
        sink(opensearch, index).write([bad, good])
    letters = tmp_path / "letters.ndjson"
    assert sink(opensearch, index, dead_letter=letters).write([bad, good]) == 2
    assert list(documents(opensearch, index)) == ["good"]
    (letter,) = letters.read_bytes().splitlines()
    assert json.loads(letter)["record"] == json.loads(bad.line)


def test_a_data_stream_takes_records_through_a_pipeline(opensearch: str, rows: list[OutboxRow]) -> None:
    """Only `create` may write to one; the time that it wants comes from a pipeline of the cluster."""
    stream = stem()
    set_time = {"copy": {"source_field": "as_of", "target_field": "@timestamp"}}
    ask(f"{opensearch}/_ingest/pipeline/{stream}", "PUT", {"processors": [set_time]})
    template = {"index_patterns": [stream], "data_stream": {}}
    ask(f"{opensearch}/_index_template/{stream}", "PUT", template)
    assert sink(opensearch, stream, pipeline=stream, kinds=("finding",)).write(rows) == len(rows)
    assert len(documents(opensearch, stream)) == sum(row.kind == "finding" for row in rows)


def test_doctor_says_what_is_there(opensearch: str) -> None:
    said = probe_opensearch(OpenSearchSettings(name="search", url=opensearch))
    assert said.removeprefix(opensearch.removeprefix("http://")) == " is opensearch 2.19.1, without TLS"
