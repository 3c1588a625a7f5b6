"""Reads files that are one whole: JSON, SARIF, and what is not a report at all."""

import os
from collections.abc import Generator, Iterator
from dataclasses import replace

from daemon.ports.inputs import Input
from daemon.sources.directory.admission import Admission
from daemon.sources.directory.content import Content
from daemon.sources.directory.patience import Patience
from daemon.sources.directory.state import Signature
from daemon.sources.directory.tracked import SweepResult, Tracked, signature_of
from daemon.sources.directory.turns import InHand, Turns
from daemon.sources.directory.verify import Verifier
from daemon.sources.documents import LARGE_BYTES, Changed, Delivery, Documents, NoParser, digest_of, read_all
from pipeline.errors import Incomplete, ReportError
from pipeline.finding import EXCERPT_BYTES, Reject
from pipeline.keys import content_digest
from pipeline.report.limits import Limits, too_large
from pipeline.report.read import Document, read_patiently

_RETRY_S = 5.0  # before a document is tried again for which no process could be started
_HOPELESS = frozenset({"too_costly", "parser_died"})  # what waiting does not mend


class DocumentReader:
    """Admits a document when it parses, and refuses it when it has not for as long as that may take.

    A large one takes many steps; of those there is one at a time, and the rest of the tree goes on beside it.
    """

    def __init__(
        self,
        admission: Admission,
        limits: Limits,
        patience: Patience,
        verifier: Verifier,
        documents: Documents,
        turns: Turns,
    ) -> None:
        self._admission = admission
        self._limits = limits
        self._patience = patience
        self._verifier = verifier
        self._documents = documents
        self._turns = turns
        self._steps: Generator[None, None, None] | None = None

    def read(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> Iterator[None]:
        """Read an uncompressed file; yields after a transaction."""
        if signature[0] > LARGE_BYTES:
            yield from self.read_large(file, descriptor, signature, result)
            return
        raw = self.take(file, descriptor, signature, result)
        if raw is not None:
            result.bytes_read += len(raw)
            yield from self.admit(file, descriptor, raw, signature, result)

    def take(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> bytes | None:
        """Give all bytes of a file, or None where it is too large, or changed under our eyes."""
        if self._refuse_size(file, descriptor, signature, result):
            return None
        raw = read_all(descriptor, self._limits.max_bytes + 1)
        if signature_of(descriptor) != signature:  # nothing that was read counts
            self._look_again(file, signature, result)
            return None
        return raw

    def admit(
        self, file: Tracked, descriptor: int, raw: bytes, signature: Signature, result: SweepResult
    ) -> Iterator[None]:
        """Parse and admit what was read, if it is not too much for one step."""
        known = content_digest(raw)
        if self.is_known(file, known, signature):
            return
        bound = self._admission.host(file.path)
        if bound is None and file.names is not None and file.names[0] == known:
            if not self._turns.may_pass(file.names[1]):
                return
        elif not self._turns.may_ask(bound):
            return
        try:
            document = self._parse(file, raw)
        except ReportError as error:
            self.wait_or_refuse(file, descriptor, known, signature, error, result)
            yield
            return
        names = tuple(report.header.host for report in document.reports)
        if not self._turns.may_pass(names if bound is None else (bound,)):
            file.names = known, names
            return
        state = self._admission.register(file, Content(descriptor), "document")
        admitted = replace(state, digest=known)
        self._admission.document(file, admitted, document.reports, document.rejects, result)
        self._finish(file, signature)
        yield

    # Large documents

    def read_large(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> Iterator[None]:
        """Begin to take in what is, or unpacks to, more than one step may have; `go_on` does the rest."""
        if self._refuse_size(file, descriptor, signature, result):
            return
        bound = self._admission.host(file.path)
        if self._turns.in_hand is not None:  # there is one at a time
            self._turns.hold(None if bound is None else (bound,))
            return
        if not self._turns.may_pass(None if bound is None else (bound,)):
            return
        in_hand = InHand(file, result, bound)
        steps = self._take_in(in_hand, os.dup(descriptor), signature)
        next(steps)  # it has to have begun to close its descriptor
        if self._patience.final:  # nobody waits for a turn any more
            yield from steps
            return
        file.taken = True
        self._turns.in_hand, self._steps = in_hand, steps

    def go_on(self, result: SweepResult) -> bool:
        """Make the next step of the document in hand; returns whether there was one."""
        in_hand, steps = self._turns.in_hand, self._steps
        if in_hand is None or steps is None:
            return False
        in_hand.result = result
        going_on = False
        try:
            next(steps)
            going_on = True
        except StopIteration:
            pass
        finally:
            if not going_on:
                self._let_go()
        return True

    def give_up(self) -> None:
        """Leave the document in hand; nothing of it counts, and it is read again."""
        if self._steps is not None:
            self._steps.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._turns.in_hand is not None:
            self._turns.in_hand.file.taken = False
        self._turns.in_hand = self._steps = None

    def _take_in(self, in_hand: InHand, descriptor: int, signature: Signature) -> Generator[None, None, None]:
        """Take a document in; the descriptor is our own, so that it stays open, and is closed in the end."""
        file = in_hand.file
        try:
            yield
            digest = yield from digest_of(descriptor)
            if self.is_known(file, digest, signature):
                return
            final = self._patience.is_over(self._patience.with_document(file, Incomplete("truncated", "")))

            def open_input() -> Input:
                state = self._admission.register(file, Content(descriptor), "document")
                return replace(state, digest=digest).as_input()

            delivery = Delivery(descriptor, signature[0], digest, open_input, final, in_hand.bound)
            delivery.at_once = self._patience.final
            in_hand.delivery = delivery
            try:
                admitted = yield from self._documents.take(delivery)
            except ReportError as error:
                self.wait_or_refuse(file, descriptor, digest, signature, error, in_hand.result)
            except Changed:
                self._look_again(file, signature, in_hand.result)
            except NoParser as error:
                until = self._patience.now() + _RETRY_S
                file.wait(signature, until)
                in_hand.result.waiting += 1
                in_hand.result.expect(until)
                in_hand.result.unparsed = (*in_hand.result.unparsed, (file.path, str(error)))
            else:
                in_hand.result.bytes_read += signature[0]
                in_hand.result.add(admitted)
                state = self._admission.register(file, Content(descriptor), "document")
                file.state = replace(state, digest=digest, anew=False)
                self._finish(file, signature)
        finally:
            os.close(descriptor)

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
        digest: str,
        signature: Signature,
        error: ReportError,
        result: SweepResult,
    ) -> None:
        """Leave the file until its time is over, then put it into quarantine."""
        due = self._patience.with_document(file, error)
        if error.reason not in _HOPELESS and not self._patience.is_over(due):
            file.wait(signature, due)
            result.waiting += 1
            result.expect(due)
            return
        excerpt = os.pread(descriptor, EXCERPT_BYTES, 0)
        reject = Reject(error.reason, error.detail, error.offset, excerpt=excerpt)
        self._quarantine(file, Content(descriptor), digest, reject, result)
        file.finish(signature)

    def _parse(self, file: Tracked, raw: bytes) -> Document:
        # Where nothing more is coming, whole reports in front of a cut one count.
        final = self._patience.is_over(self._patience.with_document(file, Incomplete("truncated", "")))
        return read_patiently(raw, self._limits, final)

    def _finish(self, file: Tracked, signature: Signature) -> None:
        file.finish(signature)
        if file.gone_at is None and not self._verifier.is_settled(signature):
            file.drained = False  # a change within the same tick would not show: look once more

    def _look_again(self, file: Tracked, signature: Signature, result: SweepResult) -> None:
        file.wait(signature, self._patience.now())
        result.again = True

    def _refuse_size(self, file: Tracked, descriptor: int, signature: Signature, result: SweepResult) -> bool:
        """Refuse a file that is too large as it lies there; returns whether it is."""
        if signature[0] <= self._limits.max_bytes:
            return False
        mark = content_digest(f"too_large\0{file.path}".encode(errors="surrogateescape"))
        if file.state is None or file.state.digest != mark:
            reject = Reject("too_large", too_large(self._limits).detail, excerpt=os.pread(descriptor, EXCERPT_BYTES, 0))
            self._quarantine(file, Content(descriptor), mark, reject, result)
        file.finish(signature)
        return True

    def _quarantine(self, file: Tracked, content: Content, known: str, reject: Reject, result: SweepResult) -> None:
        state = replace(self._admission.register(file, content, "document"), digest=known)
        self._admission.document(file, state, [], [reject], result)
