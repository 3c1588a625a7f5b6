"""What is done with one file in a sweep: read on, waited for, closed, or forgotten when it is gone."""

from collections.abc import Callable, Iterator, Sequence

from daemon.log import get_logger
from daemon.ports.files import Files
from daemon.ports.inputs import Inputs
from daemon.sources.directory.copies import is_copy
from daemon.sources.directory.descriptors import DescriptorPool
from daemon.sources.directory.lineage import Lineage
from daemon.sources.directory.opening import Opener
from daemon.sources.directory.predecessors import Predecessors
from daemon.sources.directory.reading import Reader
from daemon.sources.directory.settings import WatchSettings
from daemon.sources.directory.tracked import SweepResult, Tracked, signature_of
from pipeline.shortage import is_shortage

logger = get_logger(__name__)


class Advancer:
    """Takes files on, one after the other.

    Attributes:
        streams: those that were partly read before this sweep.
        predecessors: finds what comes before a new file.
    """

    def __init__(
        self,
        inputs: Inputs,
        files: Files,
        settings: WatchSettings,
        lineage: Lineage,
        reader: Reader,
        opener: Opener,
        pool: DescriptorPool,
        clock: Callable[[], float],
        forget: Callable[[Tracked], None],
    ) -> None:
        """Args: `forget`: called with a file that is gone for good."""
        self._inputs = inputs
        self._files = files
        self._settings = settings
        self._lineage = lineage
        self._reader = reader
        self._opener = opener
        self._pool = pool
        self._clock = clock
        self._forget = forget
        self.streams: Sequence[Tracked] = ()
        self.predecessors = Predecessors(lineage, opener)

    def advance(self, file: Tracked, result: SweepResult) -> Iterator[None]:
        """Read of a file what is to be read now; yields after each transaction, and sees when all of it is done."""
        now = self._clock()
        if file.taken:
            return
        if file.gone_at is not None:
            yield from self._finish_gone(file, result)
            return
        if file.unreadable:
            return
        if file.state is not None and file.state.path != file.path:
            file.state = self._lineage.renamed(file)
        if file.due(now) or (self._reader.final and not file.drained):
            due = file.first_seen + self._settings.rotate_wait_s
            copy = yield from is_copy(file, self.streams, now - self._settings.stream_idle_s)
            if copy and now < due and not self._reader.final:
                result.waiting += 1
                result.expect(due)
                return
            if file.state is None and file.copied is not None and file.descriptor is not None:
                signature, end = file.copied
                if signature_of(file.descriptor) == signature:
                    yield from self._reader.skip(file, file.descriptor, end, result)
                    logger.info("source.copy_skipped", path=file.path)
            if file.state is None:
                file.after = yield from self.predecessors.of(file, result)
            elif file.state.kind == "stream" and not file.state.offset and not file.compressed:
                # It was empty when it was found, perhaps before what was rotated out of its way was read.
                self._files.follow(file.state.input_id, (yield from self.predecessors.of(file, result)))
            yield from self._read(file, result)
        elif file.retry_at is not None:
            result.waiting += 1
            result.expect(file.retry_at)
        yield from self._reader.settle(file, result)
        if file.drained and (file.state is None or file.state.kind == "document" or file.compressed):
            self._pool.close(file)

    def _read(self, file: Tracked, result: SweepResult) -> Iterator[None]:
        descriptor = self._opener.open(file, result)
        if descriptor is None:
            return
        try:
            yield from self._reader.read(file, descriptor, result)
        except OSError as error:
            logger.warning("source.read_failed", path=file.path, error=str(error))
            result.again = True
            if not is_shortage(error):
                self._opener.refuse(file, f"{error.strerror}; it is tried again", result)

    def _finish_gone(self, file: Tracked, result: SweepResult) -> Iterator[None]:
        now = self._clock()
        assert file.gone_at is not None
        if file.descriptor is not None:
            file.note(signature_of(file.descriptor), now)
            if file.due(now) or self._reader.final:
                yield from self._read(file, result)
        yield from self._reader.settle(file, result)
        until = max(file.changed_at, file.gone_at) + self._settings.rotate_wait_s
        if file.descriptor is not None:
            if now < until:
                result.expect(until)
            elif file.drained and not file.open_scan:
                self._pool.close(file)
        if now >= file.gone_at + self._settings.forget_after_s and file.descriptor is None:
            if file.state is not None:
                self._inputs.drop(file.state.input_id)
            self._forget(file)
