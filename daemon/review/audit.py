"""Whether the log of verdicts is what was written, and the log as a file that others can check."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from daemon.review.kept import HasKept
from pipeline.engine.extras import how_to_install
from pipeline.engine.reading import read_regular
from pipeline.errors import ConfigError, LedgerError
from pipeline.review.chain import Head, check
from pipeline.review.log import MISSING, RESTORE, VerdictLog
from pipeline.unreadable import why_unreadable

SCHEMA = "sysscan.audit/1"
_KEY_BYTES = 64 << 10


@dataclass(slots=True, frozen=True)
class Checked:
    """What a check of the log found.

    Attributes:
        problems: one line for each row that is not what was written, and for each part of the file that is not ours.
        anchors: how many notes outside of the log it was held to.
        given_up: verdicts that are not in it and were given up, a sentence each.
    """

    head: Head
    anchors: int
    problems: tuple[str, ...]
    given_up: tuple[str, ...] = ()


def verify(log: VerdictLog | None, ledger: HasKept) -> Checked:
    """Check every row, and hold the log to what the ledger noted of it."""
    anchors = ledger.reviews.anchors()
    rows = log.rows() if log is not None else iter(())
    problems = (*(log.strange() if log is not None else ()), *check(rows, anchors))
    gone = tuple(one.words() for one in ledger.reviews.given_up())
    return Checked(log.head() if log is not None else Head(), len(anchors), problems, gone)


def lacking(path: Path, ledger: HasKept) -> str | None:
    """Say in words what is wrong with the log beside a ledger, so that no verdict counts; None where all is well."""
    seen = ledger.reviews.anchors()
    try:
        log = open_log(path)
        if log is None:
            return f"{path}: {MISSING}; {RESTORE}" if seen else None
        with log:
            said = log.lacking(seen)
    except LedgerError as error:
        return str(error)
    return None if said is None else f"{path}: {said}; no verdict counts. {RESTORE}"


def exported(log: VerdictLog | None, ledger: HasKept, at: str) -> Iterator[bytes]:
    """Give the log as lines of JSON: each row with its hash, then one line that says how far it goes.

    Whoever has it can compute the chain anew: SHA-256 over the line ``sysscan-review/1``, the line ``BEFORE SEQ
    LENGTH`` and the text of `body`, where BEFORE is the hash of the row before, and 64 zeros for the first.
    """
    last = Head()
    for row in log.rows() if log is not None else ():
        last = Head(row.seq, row.hash)
        said = {"seq": row.seq, "hash": row.hash, "body": row.body.decode("utf-8", "backslashreplace")}
        yield orjson.dumps(said, option=orjson.OPT_SORT_KEYS) + b"\n"
    end: dict[str, Any] = {
        "schema": SCHEMA, "exported_at": at, "count": last.seq, "head": last.hash,
        "anchors": [{"seq": one.head.seq, "head": one.head.hash, "seen_by": one.where}
                    for one in ledger.reviews.anchors()],
    }  # fmt: skip
    gone = ledger.reviews.given_up()
    if gone:
        end["given_up"] = gone
    yield orjson.dumps(end, option=orjson.OPT_SORT_KEYS) + b"\n"


def sign(content: bytes, key_file: Path) -> bytes:
    """Sign with an Ed25519 key, as `openssl pkeyutl -sign -rawin` does.

    Args:
        key_file: PEM, PKCS #8, not encrypted: what `openssl genpkey -algorithm ed25519` writes.

    Raises:
        ConfigError: when there is no such key, or the package for it is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigError(f"to sign needs a package that is not installed: {how_to_install('sign')}") from error
    try:
        key = load_pem_private_key(read_regular(key_file, _KEY_BYTES), password=None)
    except OSError as error:
        raise ConfigError(f"{key_file}: cannot be read: {why_unreadable(error)}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key_file}: no private key in PEM form, or an encrypted one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{key_file}: not an Ed25519 key; `openssl genpkey -algorithm ed25519` makes one")
    signature: bytes = key.sign(content)
    return signature


def open_log(path: Path) -> VerdictLog | None:
    """Open the log to read; None where there is none.

    Raises:
        LedgerError: when it cannot be read.
    """
    try:
        empty = not path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    return None if empty else VerdictLog.open(path, read_only=True)
