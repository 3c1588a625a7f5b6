"""The lines of an NDJSON stream on their way into scans.

A scan begins at a `meta` line; findings, or a summary, that come without one begin a scan of their own. Lines up to the
first finding are the header. A scan ends when it has the announced number of findings, at the next `meta` line, when
the source says so, or when it has as many findings, or bytes of them, as one scan may have. Findings that follow a scan
which has ended (more than announced, or after the deadline) begin a continuation: a scan with the same header, noted as
`continued`, never complete.
"""

from dataclasses import dataclass, replace
from sqlite3 import Connection

from daemon.ledger import codec, scans
from daemon.ledger.places import Place
from daemon.ledger.quarantine import NOT_FINDINGS, store_reject
from daemon.ports.inputs import Admitted, Input
from pipeline.finding import Reject
from pipeline.report.records import BadLine, FindingLine, HeaderLine, MetaLine, StreamRecord
from pipeline.report.stream import stream_header

MAX_HEADER_LINES = 10_000  # they are kept together until the scan ends
MAX_HEADER_BYTES = 4 << 20  # of all of them: ten times those of the largest real report
_FLUSH = 5000


class ContextDamaged(Exception):
    """Raised when the header lines kept of an input's latest scan cannot be read."""

    def __init__(self, input_id: int, reason: str) -> None:
        super().__init__(reason)
        self.input_id = input_id


@dataclass(slots=True, frozen=True)
class Bounds:
    """What one scan may hold, None for no bound; `max_bytes` as `codec.weight` counts them."""

    max_findings: int | None = None
    max_bytes: int | None = None


class StreamAdmission:
    """Takes the lines of one input inside one transaction of the caller.

    Attributes:
        scan: row of the open scan, or None.
        opened: rows of the scans that were begun, in order, to be taken out by the caller.
        now: when the next line came in.
        host_key: that the place of the input stands for, or None.
    """

    def __init__(
        self,
        connection: Connection,
        source: Input,
        now: str,
        host_key: str | None,
        host_option: str | None,
        bounds: Bounds,
    ) -> None:
        self._connection = connection
        self._source = source
        self._place = Place(connection, source.kind, source.name)
        self.now = now
        self.host_key = host_key
        self._host_option = host_option
        self._bounds = bounds
        self._meta: MetaLine | None = None
        self._headers: list[HeaderLine] = []
        self._header_bytes = 0
        self.scan: int | None = None
        self.opened: list[int] = []
        self._header_read = False  # of the open scan
        self._continued = False
        self._held = False  # may yet turn out to be a redelivery, so its findings are not counted before its end
        self._emitted: int | None = None
        self._host: str | None = None  # whose scan it is, and what its header hashes to, as first read
        self._header_hash: str | None = None
        self._findings = 0
        self._bytes = 0
        self._rejected = 0
        self._had_scan = False  # `_meta` and `_headers` are those of a scan that ended
        self._buffer: list[tuple[int, int, bytes]] = []
        self._new_scans = self._new_findings = 0
        self._old_scans = self._old_findings = 0
        self._quarantined = 0
        self._resume()

    def take(self, offset: int, record: StreamRecord) -> None:
        """Take one line."""
        if isinstance(record, FindingLine):
            if self.scan is None:
                self._open(continued=self._had_scan)
            if not self._header_read:
                self._fix_header()
            scan = self.scan
            assert scan is not None
            encoded = codec.encode_finding(record.finding)
            self._buffer.append((scan, self._findings, encoded))
            self._findings += 1
            self._bytes += codec.weight(encoded)
            self._new_findings += not self._held
            if self._findings == self._emitted or self._is_full():
                self.close()
            elif len(self._buffer) >= _FLUSH:
                self._flush()
        elif isinstance(record, MetaLine):
            if self.scan is not None and self._meta is None and not self._header_read and not self._rejected:
                self._meta = record  # header lines in front of their meta line
                return
            self.close()
            self._forget_header()
            self._open(continued=False)
            self._meta = record
        elif isinstance(record, HeaderLine):
            self._take_header(offset, record)
        elif isinstance(record, BadLine):
            self._reject(record.reject, offset)

    def close(self) -> None:
        """End the open scan, if there is one."""
        if self.scan is None:
            return
        self._fix_header(ended=True)
        self._flush()
        self._store_counts()
        self._connection.execute("UPDATE inputs SET open_scan = NULL WHERE input_id = ?", (self._source.input_id,))
        if scans.close_stream_scan(self._connection, self.scan, self._place, self._source.input_id):
            self._new_scans += 1
            self._new_findings += self._findings if self._held else 0
        else:
            self._old_scans += 1
            self._old_findings += self._findings
        self.scan = None
        self._had_scan = True

    def begin_anew(self) -> None:
        """Forget what the file has shown so far: it is read from the start again, or was rewritten in place."""
        self.close()
        self._forget_header()
        self._place.begin_anew(self._source.input_id)

    def finish(self) -> Admitted:
        """Store what goes on in a later transaction; returns the counts of this one."""
        self._flush()
        if self.scan is not None:
            self._store_counts()
        self._connection.execute(
            "UPDATE inputs SET open_scan = ?, context = ? WHERE input_id = ?",
            (self.scan, self.context(), self._source.input_id),
        )
        return Admitted(self._new_scans, self._new_findings, self._old_scans, self._old_findings, self._quarantined)

    def context(self) -> bytes | None:
        """Give what the next line is read with: the header lines of the open scan, or of the last one."""
        if self.scan is None and not self._had_scan:
            return None
        return codec.encode_header_lines(self._meta, self._headers)

    def _resume(self) -> None:
        context, scan = self._connection.execute(
            "SELECT context, open_scan FROM inputs WHERE input_id = ?", (self._source.input_id,)
        ).fetchone()
        if context is not None:
            self._meta, self._headers = self._header_lines(context)
            self._header_bytes = sum(len(line.line) for line in self._headers)
            self._had_scan = scan is None
        if scan is None:
            return
        self.scan = scan
        row = self._connection.execute(
            "SELECT findings, bytes, rejected, emitted, host, header_hash, n IS NULL, continued FROM scans"
            " WHERE scan = ?",
            (scan,),
        ).fetchone()
        self._findings, self._bytes, self._rejected, self._emitted = row[:4]
        self._host, self._header_hash, held, self._continued = row[4:]
        self._header_read = self._header_hash is not None
        self._held = bool(held) and self._header_read

    def _header_lines(self, context: bytes) -> tuple[MetaLine | None, list[HeaderLine]]:
        try:
            return codec.decode_header_lines(context)
        except codec.DAMAGE as error:
            raise ContextDamaged(self._source.input_id, str(error)) from error

    def _open(self, *, continued: bool) -> None:
        self.scan = scans.open_scan(self._connection, self._source, self.now, continued=continued)
        self.opened.append(self.scan)
        self._header_read = self._held = False
        self._continued = continued
        self._emitted = self._host = self._header_hash = None
        self._findings = self._bytes = 0
        self._rejected = 0
        self._had_scan = False

    def _forget_header(self) -> None:
        self._meta, self._headers, self._had_scan = None, [], False
        self._header_bytes = 0

    def _fix_header(self, *, ended: bool = False) -> None:
        """Fix what the scan's header says and with it whose scan it is.

        Header lines that come after findings change neither the number of findings that is waited for nor, until the
        scan has ended, anything else: where the transactions are cut must not matter.
        """
        assert self.scan is not None
        header = stream_header(self._meta, self._headers)
        notes = list(header.notes)
        if self._continued:
            header = replace(header, emitted=None)
            notes.append("continued")
        elif ended and header.emitted is not None and header.emitted != self._findings + self._rejected:
            notes.append("count_mismatch")
        header = replace(header, notes=tuple(notes))
        host, host_source = scans.resolve_host(header, self.host_key, self._host_option)
        scans.set_header(self._connection, self.scan, header, host, host_source)
        hashed = scans.header_hash(header)
        if (host, hashed) != (self._host, self._header_hash):
            self._held = not scans.number_stream(
                self._connection, self.scan, self._place, self._source.input_id, hashed
            )
        if not self._header_read:
            self._emitted, self._host, self._header_hash = header.emitted, host, hashed
        self._header_read = True

    def _take_header(self, offset: int, line: HeaderLine) -> None:
        if self.scan is None and (line.kind == "summary" or not self._had_scan):  # its meta line is lost, or late
            self._forget_header()
            self._open(continued=False)
        if self.scan is None:
            self._reject(Reject("unknown_record", f"a {line.kind} line after its scan", excerpt=line.line), offset)
        elif len(self._headers) >= MAX_HEADER_LINES:
            self._reject(Reject("too_large", f"more than {MAX_HEADER_LINES} header lines", excerpt=line.line), offset)
        elif self._header_bytes + len(line.line) > MAX_HEADER_BYTES:
            detail = f"more than {MAX_HEADER_BYTES} bytes of header lines"
            self._reject(Reject("too_large", detail, excerpt=line.line), offset)
        else:
            self._headers.append(line)
            self._header_bytes += len(line.line)
            # The last line of a header: a scan without findings ends here.
            if (
                line.kind == "summary_extension"
                and not self._header_read
                and self._meta is not None
                and stream_header(self._meta, self._headers).emitted == 0
            ):
                self.close()

    def _reject(self, reject: Reject, offset: int) -> None:
        if reject.offset is None:
            reject = replace(reject, offset=offset)
        store_reject(self._connection, self._source, reject, digest=None, scan=self.scan, now=self.now)
        self._quarantined += 1
        if self.scan is not None and reject.reason not in NOT_FINDINGS:
            self._rejected += 1

    def _is_full(self) -> bool:
        most, most_bytes = self._bounds.max_findings, self._bounds.max_bytes
        return (most is not None and self._findings >= most) or (most_bytes is not None and self._bytes >= most_bytes)

    def _flush(self) -> None:
        if self._buffer:
            self._connection.executemany("INSERT INTO inbox (scan, seq, finding) VALUES (?, ?, ?)", self._buffer)
            self._buffer.clear()

    def _store_counts(self) -> None:
        self._connection.execute(
            "UPDATE scans SET findings = ?, bytes = ?, rejected = ? WHERE scan = ?",
            (self._findings, self._bytes, self._rejected, self.scan),
        )
