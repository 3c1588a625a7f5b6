"""Reads one file as far as it can be read now, whatever it is."""

import os
import time
from collections.abc import Callable, Generator, Iterator

from daemon.log import get_logger
from daemon.ports.files import Files
from daemon.ports.inputs import Inputs
from daemon.sources.directory.admission import Admission
from daemon.sources.directory.content import Content
from daemon.sources.directory.documents import DocumentReader
from daemon.sources.directory.names import named_as_stream
from daemon.sources.directory.patience import Patience
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.state import Signature
from daemon.sources.directory.streams import StreamReader
from daemon.sources.directory.tracked import SweepResult, Tracked, signature_of
from daemon.sources.directory.turns import Turns
from daemon.sources.directory.verify import Verifier
from daemon.sources.documents import LARGE_BYTES, Documents
from pipeline.errors import QuarantineReason, ReportError
from pipeline.keys import content_digest
from pipeline.report.decompress import MAGIC_BYTES, beginning, is_compressed, unpack
from pipeline.report.limits import Limits
from pipeline.report.read import is_stream

logger = get_logger(__name__)

KIND_BYTES = 1 << 16  # enough to tell a stream from a document
_DOCUMENT_STARTS = (b"{", b"\xff\xfe", b"\xfe\xff")


class Reader:
    """Admits the content of files; knows nothing of directories.

    A document is read whole and admitted when it parses; a stream is read by whole lines. What is not whole waits for
    `incomplete_after_s`.
    """

    def __init__(
        self,
        inputs: Inputs,
        files: Files,
        limits: Limits,
        settings: WatchSettings,
        clock: Callable[[], float] = time.monotonic,
        verifier: Verifier | None = None,
        documents: Documents | None = None,
    ) -> None:
        """Args: `documents`: takes large ones in; default: here."""
        self._limits = limits
        self.turns = Turns()
        self._patience = Patience(settings, clock)
        self._admission = Admission(inputs, files, settings.bind)
        self._verifier = verifier or Verifier()
        self._documents = DocumentReader(
            self._admission,
            limits,
            self._patience,
            self._verifier,
            documents or Documents(inputs, limits),
            self.turns,
        )
        self._streams = StreamReader(
            self._admission, limits, self._patience, self._verifier, settings.chunk_bytes, self.turns
        )

    @property
    def final(self) -> bool:
        """Say that nothing is waited for any more: the program ends."""
        return self._patience.final

    @final.setter
    def final(self, final: bool) -> None:
        self._patience.final = final

    def read(self, file: Tracked, descriptor: int, result: SweepResult) -> Iterator[None]:
        """Read on; yields after each transaction. The caller has made sure that `file.state` still fits the content."""
        signature = signature_of(descriptor)
        file.note(signature, self._patience.now())
        content = Content(descriptor)
        file.compressed = is_compressed(content.read(MAGIC_BYTES, 0))
        if file.compressed:
            yield from self._read_compressed(file, descriptor, signature, result)
        elif self._is_stream(file, content):
            yield from self._streams.read(file, content, signature, result)
        else:
            yield from self._documents.read(file, descriptor, signature, result)

    def go_on(self, result: SweepResult) -> bool:
        """Make the next step of the large document that is being taken in; returns whether there was one."""
        try:
            return self._documents.go_on(result)
        except OSError as error:  # it cannot be read just now
            logger.warning("source.read_failed", error=str(error))
            result.again = True
            return True

    def give_up(self) -> None:
        """Leave the large document that is being taken in to the next start."""
        self._documents.give_up()

    def settle(self, file: Tracked, result: SweepResult) -> Iterator[None]:
        """Close the scan of a stream that has stopped growing for as long as that may take."""
        yield from self._streams.settle(file, result)

    def refuse(self, file: Tracked, reason: QuarantineReason, detail: str, result: SweepResult) -> None:
        """Put a file into quarantine that was not even opened, once."""
        self._admission.refuse(file, reason, detail, result)

    def skip(self, file: Tracked, descriptor: int, end: int, result: SweepResult) -> Iterator[None]:
        """Make a stream known as read up to `end`; see `StreamReader.skip`."""
        yield from self._streams.skip(file, Content(descriptor), end, result)

    def _read_compressed(
        self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult
    ) -> Iterator[None]:
        if signature[0] > LARGE_BYTES and not self._has_stream(file):
            head = os.pread(descriptor, LARGE_BYTES, 0)
            try:
                data, _ = beginning(head, self._limits, LARGE_BYTES, cut=True)
                is_stream = self._is_stream(file, Content(descriptor, data))
            except ReportError:  # said of the whole file, once all of it was read
                is_stream = False
            if not is_stream:
                yield from self._documents.read_large(file, descriptor, signature, result)
                return
        raw = self._documents.take(file, descriptor, signature, result)
        if raw is None:
            return
        known = content_digest(raw)
        if self._documents.is_known(file, known, signature):
            return
        result.bytes_read += len(raw)
        try:
            data, whole = beginning(raw, self._limits, LARGE_BYTES)
            if not whole and not self._is_stream(file, Content(descriptor, data)):
                yield from self._documents.read_large(file, descriptor, signature, result)
                return
            if not whole:
                data = yield from _unpack(raw, self._limits)
        except ReportError as error:
            self._documents.wait_or_refuse(file, descriptor, known, signature, error, result)
            yield
            return
        content = Content(descriptor, data)
        state = file.state
        if state is not None and state.kind == "stream" and not (yield from self._verifier.check(file, state, content)):
            self._admission.forget(file)
        if self._is_stream(file, content):
            yield from self._streams.read(file, content, signature, result, known)
        else:
            yield from self._documents.admit(file, descriptor, raw, signature, result)

    def _has_stream(self, file: Tracked) -> bool:
        return file.state is not None and file.state.kind == "stream" and file.state.offset > 0

    def _is_stream(self, file: Tracked, content: Content) -> bool:
        if self._has_stream(file):
            return True
        start = content.skip_hole(0)
        if start is None:
            return file.was_stream or named_as_stream(file.path)
        head = content.read(KIND_BYTES, start)
        answer = is_stream(head, self._limits)
        if answer is None and len(head) == KIND_BYTES:  # a very long first line
            answer = is_stream(content.read(2 * self._limits.max_line_bytes, start), self._limits)
        if not answer and not head.lstrip().startswith(_DOCUMENT_STARTS):
            # The end of a line whose beginning was cut away with the old content (copytruncate), or rubbish.
            return file.was_stream or bool(is_stream(head[head.find(b"\n") + 1 :], self._limits))
        return bool(answer)


def _unpack(raw: bytes, limits: Limits) -> Generator[None, None, bytes]:
    """Decompress a piece at each step."""
    parts: list[bytes] = []
    for part in unpack(raw, limits):
        parts.append(part)
        yield
    return b"".join(parts)
