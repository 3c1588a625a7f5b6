"""What a row of the outbox is as a record of Kafka."""

from collections.abc import Callable

import orjson

from daemon.ports.outbox import OutboxRow
from daemon.sinks.kafka.connection import Record

# CloudEvents in the binary mode of its Kafka binding, 1.0.
_TYPES = {"finding": b"sysscan.finding.enriched.v1", "scan": b"sysscan.scan.v1", "verdict": b"sysscan.verdict.v1"}


def recorder(findings: str, scans: str) -> Callable[[OutboxRow], Record]:
    """Give the function from a row to its record, for these two topics."""

    def record(row: OutboxRow) -> Record:
        host = str(orjson.loads(row.line).get("host", "")).encode()
        headers = (
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", row.key.encode()),
            ("ce_type", _TYPES[row.kind]),
            ("ce_source", b"sysscan-agent"),
            ("ce_subject", host),
            ("sysscan-level", row.level.encode()),
        )
        return Record(row.position, row.key, scans if row.kind == "scan" else findings, host, row.line, headers)

    return record
