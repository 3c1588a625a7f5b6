"""What a row of the outbox is as a record of Kafka."""

from collections.abc import Callable, Sequence

import orjson

from daemon.log import get_logger
from daemon.ports.outbox import OutboxRow
from daemon.sinks.kafka.connection import Record
from pipeline.errors import RecordError
from pipeline.output.lines import within

logger = get_logger(__name__)

# CloudEvents in the binary mode of its Kafka binding, 1.0.
_TYPES = {"finding": b"sysscan.finding.enriched.v1", "scan": b"sysscan.scan.v1", "verdict": b"sysscan.verdict.v1"}
_HOST, _FINGERPRINT = b'","host":"', b'"fingerprint":"'
_BEFORE = len(_FINGERPRINT) + 32
_OVERHEAD_BYTES = 512  # of a record beside key, value and headers, with room to spare


def recorder(findings: str, scans: str, most: int) -> Callable[[OutboxRow], Record]:
    """Give the function from a row to its record, for these two topics.

    Args:
        most: bytes of a record with all that belongs to it. A host that makes up a larger one must not keep those of
            others waiting behind it: it is cut, and says so.
    """

    def record(row: OutboxRow) -> Record:
        host = host_of(row)
        headers = (
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", row.key.encode()),
            ("ce_type", _TYPES[row.kind]),
            ("ce_source", b"sysscan-agent"),
            ("ce_subject", host),
            ("sysscan-level", row.level.encode()),
        )
        room = most - size_of(host, b"", headers)
        value = row.line if len(row.line) <= room else _within(row, room)
        return Record(row.position, row.key, scans if row.kind == "scan" else findings, host, value, headers)

    return record


def size_of(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
    """Count the bytes of a record before compression, with what the client puts around it and some to spare."""
    named = sum(len(name.encode("utf-8", "surrogatepass")) + len(text) for name, text in headers)
    return len(key or b"") + len(value or b"") + named + _OVERHEAD_BYTES


def _within(row: OutboxRow, most: int) -> bytes:
    try:
        cut = within(row.kind, row.line, most)
    except RecordError as error:  # only a fault of ours; that it is too large is said when it is sent
        logger.warning("sink.record_left_as_it_is", key=row.key, kind=row.kind, error=str(error))
        return row.line
    logger.warning("sink.record_cut", key=row.key, kind=row.kind, bytes=len(row.line), kept=len(cut))
    return cut


def host_of(row: OutboxRow) -> bytes:
    """Give the host that a row is of.

    To read all of a line for it costs a tenth of what the whole way does. The keys of a finding stand in order, so its
    host follows its fingerprint; where those words are in the line once, nothing inside of it can be meant.
    """
    if row.kind == "finding":
        line = row.line
        at = line.find(_HOST)
        if at >= _BEFORE and line.startswith(_FINGERPRINT, at - _BEFORE) and line.find(_HOST, at + 1) < 0:
            begin = at + len(_HOST)
            host = line[begin : line.find(b'"', begin)]
            if b"\\" not in host:
                return host
    return str(orjson.loads(row.line).get("host", "")).encode()
