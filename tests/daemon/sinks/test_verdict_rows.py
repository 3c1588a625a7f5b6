"""A record of a verdict goes through every sink, whatever findings it wants."""

import orjson

from daemon.ports.outbox import OutboxRow
from daemon.sinks.kafka.records import recorder
from daemon.sinks.wanted import wanted

VERDICT = OutboxRow(3, "verdict", "k", "info", True, orjson.dumps({"schema": "sysscan.verdict/1", "host": "web01"}))
EVERYWHERE = OutboxRow(4, "verdict", "l", "info", True, orjson.dumps({"schema": "sysscan.verdict/1"}))
FINDING = OutboxRow(5, "finding", "m", "low", False, b"{}")


def test_it_is_wanted_where_findings_of_its_level_are_not() -> None:
    wants = wanted(changes_only=True, min_level="critical")
    assert wants(VERDICT) and not wants(FINDING)


def test_in_kafka_it_stands_among_the_findings_of_its_host_so_that_it_comes_after_those_that_it_supersedes() -> None:
    record = recorder("findings", "scans", 1_000_000)
    made = record(VERDICT)
    assert (made.topic, made.key) == ("findings", b"web01")
    assert ("ce_type", b"sysscan.verdict.v1") in made.headers
    assert (record(EVERYWHERE).topic, record(EVERYWHERE).key) == ("findings", b"")
