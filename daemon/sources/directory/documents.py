"""Reads files that are one whole: JSON, SARIF, and what is not a report at all."""

import os
from collections.abc import Iterator
from dataclasses import replace

from daemon.sources.directory.admission import Admission
from daemon.sources.directory.content import Content
from daemon.sources.directory.identity import read_all
from daemon.sources.directory.patience import Patience
from daemon.sources.directory.state import Signature
from daemon.sources.directory.tracked import SweepResult, Tracked, signature_of
from daemon.sources.directory.verify import Verifier
from pipeline.errors import Incomplete, ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.limits import Limits, too_large
from pipeline.report.read import Document, read_document


class DocumentReader:
    """Admits a document when it parses, and refuses it when it has not for as long as that may take."""

    def __init__(self, admission: Admission, limits: Limits, patience: Patience, verifier: Verifier) -> None:
        self._admission = admission
        self._limits = limits
        self._patience = patience
        self._verifier = verifier

    def read(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> Iterator[None]:
        """Read an uncompressed file; yields after a transaction."""
        raw = self.take(file, descriptor, signature, result)
        if raw is not None:
            result.bytes_read += len(raw)
            yield from self.admit(file, descriptor, raw, signature, result)

    def take(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> bytes | None:
        """Give all bytes of a file, or None where it is too large, or changed under our eyes."""
        if signature[0] > self._limits.max_bytes:
            self._refuse_size(file, descriptor, signature, result)
            return None
        raw = read_all(descriptor, self._limits.max_bytes + 1)
        if signature_of(descriptor) != signature:  # nothing that was read counts
            file.wait(signature, self._patience.now())
            result.again = True
            return None
        return raw

    def admit(
        self, file: Tracked, descriptor: int, raw: bytes, signature: Signature, result: SweepResult
    ) -> Iterator[None]:
        """Parse and admit what was read."""
        known = content_digest(raw)
        if self.is_known(file, known, signature):
            return
        try:
            document = self._parse(file, raw)
        except ReportError as error:
            self.wait_or_refuse(file, descriptor, raw, signature, error, result)
            yield
            return
        state = self._admission.register(file, Content(descriptor), "document")
        admitted = replace(state, digest=known)
        self._admission.document(file, admitted, document.reports, document.rejects, result)
        self._finish(file, signature)
        yield

    def is_known(self, file: Tracked, known: str, signature: Signature) -> bool:
        """Say whether these very bytes were dealt with before; then there is nothing more to do."""
        if file.state is None or file.state.digest != known:
            return False
        self._finish(file, signature)
        return True

    def wait_or_refuse(
        self,
        file: Tracked,
        descriptor: int,
        raw: bytes,
        signature: Signature,
        error: ReportError,
        result: SweepResult,
    ) -> None:
        """Leave the file until its time is over, then put it into quarantine."""
        due = self._patience.with_document(file, error)
        if not self._patience.is_over(due):
            file.wait(signature, due)
            result.waiting += 1
            result.expect(due)
            return
        reject = Reject(error.reason, error.detail, error.offset, excerpt=raw[:EXCERPT_BYTES])
        self._quarantine(file, Content(descriptor), content_digest(raw), reject, result)
        file.finish(signature)

    def _parse(self, file: Tracked, raw: bytes) -> Document:
        try:
            return read_document(raw, self._limits)
        except Incomplete as error:
            if not self._patience.is_over(self._patience.with_document(file, error)):
                raise
        # Nothing more is coming: whole reports in front of the cut one count.
        return read_document(raw, self._limits, final=True)

    def _finish(self, file: Tracked, signature: Signature) -> None:
        file.finish(signature)
        if file.gone_at is None and not self._verifier.is_settled(signature):
            file.drained = False  # a change within the same tick would not show: look once more

    def _refuse_size(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> None:
        mark = content_digest(f"too_large\0{file.path}".encode(errors="surrogateescape"))
        if file.state is None or file.state.digest != mark:
            reject = Reject("too_large", too_large(self._limits).detail, excerpt=os.pread(descriptor, EXCERPT_BYTES, 0))
            self._quarantine(file, Content(descriptor), mark, reject, result)
        file.finish(signature)

    def _quarantine(self, file: Tracked, content: Content, known: str, reject: Reject, result: SweepResult) -> None:
        state = replace(self._admission.register(file, content, "document"), digest=known)
        self._admission.document(file, state, [], [reject], result)
