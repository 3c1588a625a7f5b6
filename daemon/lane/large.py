"""Takes a large document of a record into the ledger of its partition: in pieces that count with the last of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from daemon.ledger.documents import StagedDocument
from daemon.ledger.lane import LaneStore
from daemon.ledger.lane_admission import Taken
from daemon.parser import DocumentParser
from daemon.ports.inputs import Admitted, Input
from daemon.ports.lane import Arrival, Whole
from daemon.sources.documents import Documents, NoParser, Spool
from daemon.sources.kafka.messages import foreign, is_foreign
from pipeline.errors import LedgerError
from pipeline.finding import ParsedReport, Reject, ScanHeader
from pipeline.report.limits import Limits


async def take_large(
    store: LaneStore, arrival: Arrival, value: bytes, limits: Limits, parser: DocumentParser | None,
    tell: Callable[[], None],
) -> Taken:  # fmt: skip
    """Take a record in whose value is a large document; others run meanwhile.

    Args:
        arrival: of which only the content is not known.
        tell: called between the steps; what it raises ends it, and nothing of the record counts.

    Raises:
        LedgerError: when nothing can be stored, or read, just now; nothing of the record counts.
    """
    place = _Place(store, arrival)
    source = store.document_source(arrival.key)
    if arrival.joined is not None:
        source = replace(source, part_set=arrival.joined.part_set)
    with Spool() as spool:
        spool.spill()  # whatever its size: it is not to be read here
        for start in range(0, len(value), _SLICE_BYTES):
            spool.write(value[start : start + _SLICE_BYTES])
        try:
            await Documents(place, limits, parser).admit(spool, source, arrival.host, arrival.received, tell)
        except NoParser as error:
            raise LedgerError(str(error), transient=True) from error
    assert place.taken is not None
    return place.taken


_SLICE_BYTES = 4 << 20


class _Place:
    """Implements `daemon.ports.inputs.Admitting` for one record."""

    def __init__(self, store: LaneStore, arrival: Arrival) -> None:
        self.taken: Taken | None = None
        self._store = store
        self._arrival = arrival

    def admit_document(
        self,
        source: Input,
        digest: str,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        host_key: str | None = None,
        as_of: str | None = None,
    ) -> Admitted:
        """Take what is no large document after all, or refuse it."""
        content: Whole | Reject = Whole(digest, reports, rejects)
        if not reports and self._arrival.joined is None:
            content = rejects[0]
        self.taken = self._store.admit([replace(self._arrival, content=content)])
        return self.taken.admitted

    def stage(self, source: Input, host_key: str | None = None, as_of: str | None = None) -> "_Staging":
        """Begin to take it in pieces."""
        return _Staging(self, self._store, self._store.stage(source, self._arrival), self._arrival)


class _Staging:
    """Implements `daemon.ports.inputs.Staging`: each report is of the host of the record's key, and its end is that of
    the record."""

    def __init__(self, place: _Place, store: LaneStore, staged: StagedDocument, arrival: Arrival) -> None:
        self._place = place
        self._store = store
        self._staged = staged
        self._arrival = arrival
        self.add = staged.add
        self.reject = staged.reject
        self.end = staged.end
        self.drop = staged.drop

    def begin(self, header: ScanHeader, digest: str) -> bool:
        """Begin the next report.

        Raises:
            ReportError: when it is another host's: then nothing of the document counts.
        """
        host = self._arrival.host
        if host is not None and is_foreign(header.host, host):
            raise foreign(header.host, host)
        return self._staged.begin(header, digest)

    def finish(self, source: Input, digest: str) -> Admitted:
        """Let all of it count."""
        taken = self._store.count_staged(self._arrival, self._staged, source, digest)
        self._place.taken = taken
        return taken.admitted
