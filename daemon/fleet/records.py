"""What the view publishes: alerts, and the posture of each host, which is also what it restores itself from."""

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from daemon.fleet.row import MAX_NEWS, MAX_SCOPES, News, Posture, Row, posture
from daemon.fleet.scan import Issue, Place, Scan, Unusable, level_of, number, read_counts, text
from pipeline.finding import LEVELS
from pipeline.harmless import as_json

POSTURE = "sysscan.posture/1"
ALERT = "sysscan.alert/1"
_WORST = 5  # issues at the top of a posture record

Kind = Literal["new_critical", "silent_host"]
Json = Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class Alert:
    """Something that a person should look at.

    Attributes:
        id: the same however often it is sent: a receiver drops what it has seen.
        at: in milliseconds since 1970.
        issue, situation: empty for a silent host.
    """

    id: str
    kind: Kind
    host: str
    at: int
    scan_id: str
    issue: str
    situation: str
    title: str
    label: str
    score: int


def news_alert(host: str, news: News) -> Alert:
    """Tell of a critical issue that is new."""
    return Alert(
        _digest("new_critical", host, news.scan_id, news.id), "new_critical", host, news.at, news.scan_id, news.id,
        news.situation, news.title, news.label, news.score,
    )  # fmt: skip


def silence_alert(host: Posture, silent_ms: int) -> Alert:
    """Tell of a host that has not been heard of since a scan."""
    at = host.written + silent_ms
    title = f"no new scan since {_time(host.written)}"
    return Alert(
        _digest("silent_host", host.host, host.scan_id),
        "silent_host",
        host.host,
        at,
        host.scan_id,
        "",
        "",
        title,
        "",
        0,
    )


def write_alert(alert: Alert) -> bytes:
    """Write an alert as a record's value."""
    record = {
        "schema": ALERT, "id": alert.id, "kind": alert.kind, "host": alert.host, "at": _time(alert.at),
        "scan_id": alert.scan_id, "issue": alert.issue or None, "situation": alert.situation or None,
        "title": alert.title, "label": alert.label or None, "score": alert.score,
    }  # fmt: skip
    return as_json(record)


def write_row(row: Row, scope_ms: int) -> bytes:
    """Write a row as the value of a posture record: the summary for readers, and all that is kept."""
    summed = posture(row, scope_ms)
    record = {
        "schema": POSTURE,
        "host": row.host,
        "at": _time(summed.at),
        "heard_at": _time(summed.written),
        "score": summed.score,
        "level": dict(zip(LEVELS, summed.counts, strict=True)),
        "complete": summed.complete,
        "worst": [one.title for one in row.newest.issues if one.status == "open"][:_WORST],
        "scans": [_scan(one) for one in row.scans],
        "news": [_news(one) for one in row.news],
    }
    return as_json(record)


def read_row(value: bytes) -> Row:
    """Read back what `write_row` wrote.

    Raises:
        Unusable: if it is none, or of another version.
    """
    try:
        record = orjson.loads(value)
        if record["schema"] != POSTURE:
            raise Unusable("newer_format", str(record["schema"])[:60])
        host = text(record, "host")
        scans = tuple(_read_scan(host, one) for one in record["scans"][:MAX_SCOPES])
        news = tuple(_read_news(one) for one in record["news"][:MAX_NEWS])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Unusable("malformed", repr(error)[:100]) from error
    if not scans:
        raise Unusable("malformed", "no scans")
    return Row(host, scans, news)


def _scan(scan: Scan) -> Json:
    return {
        "scan_id": scan.scan_id, "profile": scan.scope, "at_ms": scan.at, "complete": scan.complete,
        "partition": scan.place.partition, "offset": scan.place.offset, "written_ms": scan.place.written,
        "level": dict(scan.counts), "issues": [_issue(one) for one in scan.issues],
    }  # fmt: skip


def _read_scan(host: str, record: Json) -> Scan:
    return Scan(
        host=host,
        scan_id=text(record, "scan_id"),
        scope=text(record, "profile"),
        at=number(record, "at_ms", least=-(2**53)),
        place=Place(
            number(record, "partition"), number(record, "offset"), number(record, "written_ms", least=-(2**53))
        ),
        complete=record["complete"] is True,
        counts=read_counts(record["level"]),
        issues=tuple(_read_issue(one) for one in record["issues"]),
    )


def _issue(issue: Issue) -> Json:
    return {
        "id": issue.id, "situation": issue.situation, "class": issue.class_, "title": issue.title,
        "split": issue.split, "status": issue.status, "level": issue.level, "score": issue.score,
        "distinct": issue.things, "label": issue.label, "first": issue.first, "fresh": issue.fresh,
    }  # fmt: skip


def _read_issue(record: Json) -> Issue:
    return Issue(
        id=text(record, "id"),
        situation=sys.intern(text(record, "situation")),
        class_=sys.intern(text(record, "class")),
        title=sys.intern(text(record, "title")),
        split=sys.intern(text(record, "split")),
        status=sys.intern(text(record, "status")),
        level=level_of(record),
        score=number(record, "score", most=100),
        things=number(record, "distinct"),
        label=text(record, "label"),
        first=text(record, "first"),
        fresh=record["fresh"] is True,
    )


def _news(news: News) -> Json:
    return {
        "at_ms": news.at, "scan_id": news.scan_id, "id": news.id, "situation": news.situation, "title": news.title,
        "label": news.label, "score": news.score,
    }  # fmt: skip


def _read_news(record: Json) -> News:
    return News(
        at=number(record, "at_ms", least=-(2**53)),
        scan_id=text(record, "scan_id"),
        id=text(record, "id"),
        situation=sys.intern(text(record, "situation")),
        title=sys.intern(text(record, "title")),
        label=text(record, "label"),
        score=number(record, "score", most=100),
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
