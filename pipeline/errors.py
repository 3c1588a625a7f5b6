"""What can go wrong on purpose.

AgentError
    ConfigError      a person must act: stop at start-up (exit 2)
      KnowledgeError a knowledge file is bad: names file, line and reason
    ReportError      a whole report cannot be used: quarantine it and go on
      Incomplete     not whole yet: wait, and quarantine only when it stays so
    LedgerError      the ledger cannot keep its promise: stop (exit 3)
      LedgerLocked   another daemon owns this state directory
      UnknownSchema  the ledger was written by a newer version
      ScanDamaged    what it holds of one scan cannot be read: set the scan aside and go on
    RegistryError    a model cannot be taken in or made the one that answers: the one before stays (exit 2, or 4)
    RecordError      what was once written cannot be read: say so
    SinkError        full or failing just now: hold and offer again
    SourceError      what was to be read once is not to be had: say so (exit 2)
"""

from typing import Literal

QuarantineReason = Literal[
    "empty",  # nothing but white space
    "not_a_report",  # readable, but neither a report nor a line of one
    "invalid_json",  # not JSON, however long we wait
    "truncated",  # ends in the middle of a document or a line
    "truncated_gzip",  # compressed data ends early
    "corrupt_gzip",  # bad checksum or damaged stream
    "too_large",  # past the size limit, or a decompression bomb
    "line_too_long",  # one NDJSON line past the limit
    "too_deep",  # nested past the limit
    "control_character",  # raw control characters inside strings
    "encoding",  # neither UTF-8 nor an escapable form of it
    "no_results",  # a document without a usable list of results
    "wrong_type",  # a field has a type that the format does not allow
    "missing_field",  # a finding lacks scanner, id or severity
    "duplicate_key",  # a key occurs twice with different values
    "unknown_severity",  # a word outside the scanner's set
    "invalid_number",  # NaN, infinity, or out of range
    "unknown_record",  # an NDJSON line of unknown type
    "log_line",  # the scanner's log mixed into its output
    "trailing_data",  # bytes after a complete document
    "not_regular",  # a FIFO, device, socket or a link out of the watched tree
    "unreadable",  # permission denied, or an input/output error
    "no_key",  # a message that does not say in its key whose it is
    "foreign_host",  # a report of another host than its key names
    "bad_part",  # a part of a report that is none, or does not fit its fellows
    "parts_missing",  # a report of which not all parts came
    "too_costly",  # reading it takes more memory or time than a document may
    "parser_died",  # the process that reads documents ended over it, twice
]


class AgentError(Exception):
    """Base of all errors that are raised on purpose."""


class ConfigError(AgentError):
    """Raised when a person must change something before the program can start."""


class KnowledgeError(ConfigError):
    """Raised when a knowledge file cannot be used; the message names file, line and reason."""


class ReportError(AgentError):
    """Raised when a whole report cannot be used.

    Attributes:
        reason: one of `QuarantineReason`.
        offset: of the first byte at fault in the (decompressed) input, when known.
    """

    def __init__(self, reason: QuarantineReason, detail: str, offset: int | None = None) -> None:
        super().__init__(detail)
        self.reason: QuarantineReason = reason
        self.detail = detail
        self.offset = offset


class Incomplete(ReportError):
    """Raised when a report may still be being written; it is quarantined only if it stays so."""


class LedgerError(AgentError):
    """Raised when the ledger cannot be opened or cannot keep its promise.

    Attributes:
        transient: the cause (a full or failing disk, a lock) may pass by itself, and nothing was changed.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class LedgerLocked(LedgerError):
    """Raised when another daemon owns the state directory."""


class UnknownSchema(LedgerError):
    """Raised when the ledger was written by a version that this one does not know."""


class ScanDamaged(LedgerError):
    """Raised when what the ledger holds of one scan is not what was stored; the others are not concerned.

    Attributes:
        scan_no: its place in the order of closing.
    """

    def __init__(self, scan_no: int, message: str) -> None:
        super().__init__(message)
        self.scan_no = scan_no


class RegistryError(AgentError):
    """Raised when a registry of models, or a model in it, is not as it should be.

    Attributes:
        missing: what was asked for is not there.
    """

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class RecordError(AgentError):
    """Raised when a line is no record of ours; the message says where in it and why."""


class SinkError(AgentError):
    """Raised when a sink cannot take a record just now; it will be offered again.

    Attributes:
        wait_s: the other side wants to be left alone for this long, or asking again sooner is of no use.
    """

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class SourceError(AgentError):
    """Raised when what a run was to read and then end with cannot be had; the message says what and why."""
