"""What the view publishes holds to its schemas: of real scans, of made ones, and of what is said about silence."""

from typing import Any

import orjson
import pytest
from jsonschema import ValidationError

from daemon.fleet.records import news_alert, silence_alert, write_alert, write_row
from daemon.fleet.row import Row, merge, posture
from daemon.fleet.scan import Place, Scan, read_scan
from pipeline.output.schema import PUBLISHED
from tests.daemon.fleet.made import DAY, HOUR, NOON, SPANS, issue, real, scan
from tests.pipeline.schemas import contract

REPORTS = ("web01-ioc.json", "web01-base-default.json", "db02-drift-1.json", "db02-drift-2.json", "micro-default.json")


def rows() -> list[Row]:
    found: dict[str, Row] = {}
    scans: list[Scan] = []
    for offset, value in enumerate(real(*REPORTS)):
        host = orjson.loads(value)["host"]
        scans.append(read_scan(host.encode(), value, Place(0, offset, NOON + offset)))
    scans.append(scan(host="made", issues=[issue("one"), issue("two", status="accepted"), issue("three", score=100)]))
    scans.append(scan(host="made", scan_id="s2", profile="p2", issues=[], complete=False))
    scans.append(scan(host="late", at="1969-12-31T23:59:59Z", profile=None))
    for one in scans:
        found[one.host] = merge(found.get(one.host), one)
    return list(found.values())


def test_every_posture_is_as_published() -> None:
    documents = [orjson.loads(write_row(row, SPANS.scope)) for row in rows()]
    assert len(documents) >= 4 and any(len(one["scans"]) > 1 for one in documents)
    assert any(one["news"] for one in documents) and any(one["worst"] for one in documents)
    for document in documents:
        contract("posture-1").whole.validate(document)


def test_every_alert_is_as_published() -> None:
    news = [news_alert(row.host, one) for row in rows() for one in row.news]
    silent = [silence_alert(posture(row, SPANS.scope), DAY + HOUR) for row in rows()]
    assert len(news) >= 2 and len(silent) >= 4
    for alert in (*news, *silent):
        contract("alert-1").whole.validate(orjson.loads(write_alert(alert)))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("posture-1", "score", 101), ("posture-1", "scans", []), ("posture-1", "surprise", 1),
        ("alert-1", "kind", "rumour"), ("alert-1", "id", "short"), ("alert-1", "surprise", 1),
    ],
)  # fmt: skip
def test_what_is_not_as_published_is_noticed(name: str, key: str, value: object) -> None:
    row = rows()[0]
    made = write_row(row, SPANS.scope) if name == "posture-1" else write_alert(silence_alert(posture(row, 0), DAY))
    document: dict[str, Any] = {**orjson.loads(made), key: value}
    with pytest.raises(ValidationError):
        contract(name).whole.validate(document)
    assert name in PUBLISHED
