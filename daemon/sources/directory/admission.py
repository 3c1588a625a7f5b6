"""Hands what was read of a file to the ledger, and keeps with the file what the ledger knows of it from then on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from daemon.ports.files import FileIdentity, FileKind, Files
from daemon.ports.inputs import Inputs
from daemon.sources.bindings import Bindings
from daemon.sources.directory.content import Content, identify
from daemon.sources.directory.state import FileState, file_state
from daemon.sources.directory.tracked import SweepResult, Tracked
from pipeline.errors import QuarantineReason
from pipeline.finding import ParsedReport, Reject
from pipeline.keys import content_digest
from pipeline.report.records import StreamRecord


class Admission:
    """The ledger, from the side of a file that is being read."""

    def __init__(self, inputs: Inputs, files: Files, bind: Mapping[str, str]) -> None:
        """`bind` gives the host that everything below a directory belongs to."""
        self._inputs = inputs
        self._files = files
        self._bindings = Bindings(bind)

    def register(self, file: Tracked, content: Content, kind: FileKind) -> FileState:
        """Make the file known to the ledger under its present identity."""
        state = file.state
        if state is not None and state.kind != kind:
            self._inputs.drop(state.input_id)
            state = None
        if state is None:
            state = file_state(self._files.add(file.path, identify(content), kind, file.after))
            file.state = state
            file.verified = None
            file.searched = 0
        return state

    def document(
        self,
        file: Tracked,
        state: FileState,
        reports: Sequence[ParsedReport],
        rejects: Sequence[Reject],
        result: SweepResult,
    ) -> None:
        """Admit a document; `state` carries its digest."""
        assert state.digest is not None
        source, host = state.as_input(), self.host(file.path)
        result.add(self._inputs.admit_document(source, state.digest, reports, rejects, host))
        file.state = replace(state, anew=False)

    def records(
        self, file: Tracked, state: FileState, records: Iterable[tuple[int, StreamRecord]], result: SweepResult
    ) -> FileState:
        """Admit lines of a stream; `state` carries the position behind them. Returns it as the ledger has it now."""
        result.add(self._inputs.admit_records(state.as_input(), records, self.host(file.path)))
        file.state = state = replace(state, anew=False)
        return state

    def refuse(self, file: Tracked, reason: QuarantineReason, detail: str, result: SweepResult) -> None:
        """Put a file into quarantine that was not even opened, once."""
        mark = content_digest(f"{reason}\0{file.path}".encode(errors="surrogateescape"))
        if file.state is not None and file.state.digest == mark:
            return
        state = file.state
        if state is None:
            state = file_state(self._files.add(file.path, FileIdentity(file.device, file.inode), "document"))
        self.document(file, replace(state, digest=mark), [], [Reject(reason, detail)], result)

    def forget(self, file: Tracked) -> None:
        """Make the file unknown, to be read from its start as a new one."""
        if file.state is not None:
            self._inputs.drop(file.state.input_id)
        file.restart()

    def close_scan(self, file: Tracked) -> None:
        """Close the file's open scan."""
        assert file.state is not None
        self._inputs.close_scan(file.state.input_id)
        file.open_scan = False

    def host(self, path: str) -> str | None:
        """Give the host that the place of a file stands for."""
        return self._bindings.host_of(path)
