"""The published schemas hold for every line and record, and leave nothing open that is ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from pipeline.errors import ReportError
from pipeline.output.schema import PUBLISHED, written
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from tests.pipeline.schemas import SCHEMAS, contract
from tests.pipeline.sessions import (
    SCANS,
    all_by_rules,
    corpus,
    documents,
    lines_of,
    record_of,
    report,
    session_of,
    shared,
)

# One line for each key, type, word and requirement of version 1 as it was first made from the records. Lines may be
# added here when a key is published; a line that no longer holds is a break of the contract.
KEPT = Path(__file__).parents[2] / "data" / "published_keys.txt"
MALFORMED = sorted(path.name for path in (SCANS / "malformed").iterdir() if path.name != "index.json")


def test_every_line_and_record_of_every_real_scan_is_as_published() -> None:
    enriched, scan = contract("enriched-1"), contract("scan-1")
    total = 0
    for _, lines, record in all_by_rules():
        for document in documents(lines):
            enriched.check(document)
        scan.check(record)
        assert record["counts"]["lines"] == len(lines)
        total += len(lines)
    found = {one["file"]: one["findings"] for one in json.loads((SCANS / "index.json").read_bytes())["files"]}
    assert total == sum(found[name] for name in corpus()) > 6_000


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_schema_is_the_one_of_the_records(name: str) -> None:
    file = SCHEMAS / f"{name}.schema.json"
    assert file.read_text("utf-8") == written(name), "run `make schema` and look at what changed"


def test_nothing_that_was_published_has_gone_or_changed() -> None:
    now = {f"{name}{line}" for name in PUBLISHED for line in _promises(contract(name).schema)}
    assert set(KEPT.read_text("utf-8").splitlines()) - now == set()


def _promises(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Say in a line each what a receiver relies on."""
    kinds = schema.get("type", [])
    yield from (f"{path} is {kind}" for kind in ([kinds] if isinstance(kinds, str) else kinds))
    yield from (f"{path} may be {word}" for word in schema.get("enum", []))
    yield from (f"{path} has {key}" for key in schema.get("required", []))
    for key, part in schema.get("properties", {}).items():
        yield from _promises(part, f"{path}.{key}")
    for part in schema.get("anyOf", []):
        yield from _promises(part, path)
    if "items" in schema:
        yield from _promises(schema["items"], f"{path}[]")


def test_what_can_be_used_of_malformed_reports_gives_lines_as_published() -> None:
    enriched, scan = contract("enriched-1"), contract("scan-1")
    read = 0
    for name in MALFORMED:
        try:
            found = read_document((SCANS / "malformed" / name).read_bytes(), Limits(), final=True).reports
        except ReportError:
            continue
        for parsed in found:
            session = session_of(parsed, shared(), {})
            for document in documents(lines_of(session)):
                enriched.check(document)
                read += 1
            scan.check(record_of(session))
    assert read > 1_000


def test_validating_key_by_key_is_the_same_as_validating_the_whole() -> None:
    session = session_of(report("web01-ioc.json"), shared(), {})
    for document in documents(lines_of(session)):
        contract("enriched-1").whole.validate(document)
    contract("scan-1").whole.validate(record_of(session))


def _objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if "properties" in schema and "type" in schema:
            yield path, schema
        for key, part in schema.items():
            yield from _objects(part, f"{path}/{key}")
    elif isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _objects(part, f"{path}/{number}")


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_key_is_described_and_no_object_of_ours_is_open(name: str) -> None:
    found = list(_objects(contract(name).schema))
    assert len(found) > 3 or name == "alert-1"  # which is flat
    for path, schema in found:
        assert schema["additionalProperties"] is False, path
        for key, part in schema["properties"].items():
            if set(part) != {"type", "minimum"}:  # counts whose keys are words of an enumeration
                assert part.get("description", "").endswith((".", "null.")), f"{path}/{key}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("status",), "mended"),
        (("host_source",), "guess"),
        (("risk", "level"), "error"),
        (("risk", "score"), 101),
        (("analysis", "fallback_reason"), None),
        (("analysis", "confidence"), 0.9),
        (("dedupe_key",), "short"),
        (("surprise",), 1),
        (("finding", "surprise"), 1),
        (("provenance", "surprise"), 1),
    ],
)
def test_the_schema_refuses_what_the_contract_does_not_hold(path: tuple[str, ...], value: object) -> None:
    document = documents(lines_of(session_of(report("web01-ioc.json"), shared(), {})))[0]
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValidationError):
        contract("enriched-1").whole.validate(document)


def test_a_contraindicated_action_with_a_command_is_refused() -> None:
    lines = documents(lines_of(session_of(report("web01-sysctl-weak.json"), shared(), {})))
    document = next(line for line in lines if line["remediation"] and line["remediation"][0]["command"])
    document["remediation"][0]["contraindicated"] = "breaks login"
    with pytest.raises(ValidationError):
        contract("enriched-1").whole.validate(document)
