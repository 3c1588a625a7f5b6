"""The configurations for log shippers agree with what the daemon writes; `tests/shippers` runs one of them."""

import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.output.lines import LONGEST
from pipeline.output.records import EnrichedFinding, IssueRecord, ScanLine, VerdictRecord
from tests.pipeline.output.test_ecs import TYPES

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs" / "integrations"
OUTPUT = tomllib.loads((ROOT / "config" / "config.toml").read_text("utf-8"))["output"]["path"]
LINES = (EnrichedFinding, IssueRecord, ScanLine, VerdictRecord)
SHIPPERS = ["rsyslog.conf", "fluent-bit/fluent-bit.conf", "vector.yaml", "filebeat.yml", "splunk/inputs.conf"]


def text(name: str) -> str:
    return (PLACE / name).read_text("utf-8")


def loaded(name: str) -> Any:
    return yaml.safe_load(text(name))


def sections(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text(name))
    return parser


@pytest.mark.parametrize("name", SHIPPERS)
def test_it_follows_the_file_of_the_shipped_settings(name: str) -> None:
    assert re.search(rf"(?<![\w.]){re.escape(OUTPUT)}(?![\w.])", text(name))
    assert f"({name})" in text("README.md")


def test_it_takes_the_longest_line() -> None:
    size = re.search(r'maxMessageSize="(\d+)k"', text("rsyslog.conf"))
    assert size is not None and int(size[1]) << 10 >= LONGEST
    fluent = re.findall(r"Buffer_\w+_Size\s+(\d+)k", text("fluent-bit/fluent-bit.conf"))
    assert len(fluent) == 2 and all(int(one) << 10 > LONGEST for one in fluent)
    assert loaded("vector.yaml")["sources"]["sysscan"]["max_line_bytes"] > LONGEST
    assert int(sections("splunk/props.conf")["sysscan:json"]["TRUNCATE"]) > LONGEST
    assert {int(one) for part in sections("splunk/limits.conf").values() for one in part.values()} == {32_768}


def test_a_document_is_named_by_the_key_that_every_line_has() -> None:
    assert all("dedupe_key" in kind.__dataclass_fields__ for kind in LINES)
    assert re.search(r"Id_Key\s+dedupe_key\n", text("fluent-bit/fluent-bit.conf"))
    assert loaded("vector.yaml")["sinks"]["elasticsearch"]["id_key"] == "dedupe_key"
    (named,) = (one["fingerprint"] for one in loaded("filebeat.yml")["processors"])
    assert named["fields"] == ["event.id"] and "event.id" in TYPES


def test_the_index_template_has_the_types_of_the_schema() -> None:
    template = json.loads(text("elastic-template.json"))
    found: dict[str, str] = {}

    def walk(properties: dict[str, Any], way: str) -> None:
        for name, held in properties.items():
            if "properties" in held:
                walk(held["properties"], f"{way}{name}.")
            else:
                found[f"{way}{name}"] = held["type"]

    properties = template["template"]["mappings"]["properties"]
    ours = properties.pop("sysscan")["properties"]
    walk(properties, "")
    assert found == {name: kind.split()[0] for name, kind in TYPES.items()}
    keys = {key for kind in LINES for key in kind.__dataclass_fields__}
    assert ours.keys() <= keys
    assert loaded("filebeat.yml")["output.elasticsearch"]["index"].startswith(template["index_patterns"][0].rstrip("*"))
