"""`sysscan-agent audit show|verify|export`."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die, say
from daemon.cli.ledger import open_to_read
from daemon.cli.review.listing import show_history
from daemon.cli.review.opened import open_kept
from daemon.cli.review.shown import print_json
from daemon.cli.terminal import wants_json
from daemon.lane.verdict_copy import advised, how_it_is_mended
from daemon.ledger import Ledger
from daemon.review.audit import exported, open_log, sign, verify
from daemon.review.deciding import Unfit
from daemon.review.giving_up import Refused, go_on_after
from daemon.review.kept import HasKept
from daemon.review.who import author, now
from daemon.settings import Settings, load_settings
from pipeline.display import printable
from pipeline.review.log import FILE_NAME, VerdictLog

_MODE = 0o640


def show_audit(given: Mapping[str, Any], config: Path | None, *, limit: int, as_json: bool) -> Exit:
    """Print who decided what, the latest first."""
    return show_history(given, config, limit=limit, as_json=as_json)


def verify_audit(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Say which rows of the log are not what was written."""
    with _opened(given, config) as (settings, ledger, log):
        checked = verify(log, ledger)
    if checked.problems and settings.kafka.consumes:
        say(f"sysscan-agent: {how_it_is_mended(settings.kafka.verdicts_topic)}")
    if wants_json(as_json):
        print_json(
            {
                "verdicts": checked.head.seq, "head": checked.head.hash, "anchors": checked.anchors,
                "problems": list(checked.problems), "given_up": list(checked.given_up),
            }
        )  # fmt: skip
    else:
        for problem in checked.problems:
            sys.stdout.write(f"{printable(problem, 1000)}\n")
        if not checked.problems:
            sys.stdout.write(
                f"{checked.head.seq:,} verdicts, all as they were written; head {checked.head.hash}; held to "
                f"{checked.anchors:,} notes of the ledger\n"
            )
        for sentence in checked.given_up:
            sys.stdout.write(f"{printable(sentence, 1000)}\n")
    return Exit.LEDGER if checked.problems else Exit.DONE


def give_up_audit(given: Mapping[str, Any], config: Path | None, after: int, *, reason: str, as_json: bool) -> Exit:
    """Go on with a log that lacks its end, which is lost for good."""
    settings = load_settings(os.environ, given, config)
    if settings.kafka.consumes:
        die(Exit.USAGE, "the log of a worker is a copy of its topic of verdicts, and comes back from there by itself")
    with ExitStack() as stack:
        open_to_read(settings).close()  # where there is no ledger, none is to be made
        ledger = stack.enter_context(Ledger.open(settings.state_dir, clock=time.time))
        log = open_log(settings.state_dir / FILE_NAME)
        if log is not None:
            stack.enter_context(log)
        try:
            gone = go_on_after(ledger, log, after, reason=reason, at=now(), author=author())
        except Unfit as error:
            die(Exit.USAGE, error.of_option())
        except Refused as error:
            die(Exit.USAGE, f"{settings.state_dir / FILE_NAME}: {error}")
    if wants_json(as_json):
        print_json(
            {"first": gone.first, "last": gone.last, "at": gone.at, "author": gone.author, "reason": gone.reason}
        )
    else:
        sys.stdout.write(f"{printable(gone.words(), 1000)}\nThe next verdict is number {gone.first}.\n")
    return Exit.DONE


def export_audit(given: Mapping[str, Any], config: Path | None, *, output: Path | None, key: Path | None) -> Exit:
    """Hand the log out, with a signature beside it where there is a key."""
    with _opened(given, config) as (settings, ledger, log):
        key = key or settings.review.sign_key
        if key is not None and output is None:
            die(Exit.USAGE, "--output: name a file, so that the signature can stand beside it (FILE.sig)")
        content = b"".join(exported(log, ledger, now()))
        problems = verify(log, ledger).problems
    signature = sign(content, key) if key is not None else None
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        _write(output, content)
        if signature is not None:
            _write(output.with_name(output.name + ".sig"), signature)
    if problems:
        say(f"sysscan-agent: the log is not what was written: {printable(problems[0])}; see `audit verify`")
        return Exit.LEDGER
    return Exit.DONE


@contextmanager
def _opened(given: Mapping[str, Any], config: Path | None) -> Iterator[tuple[Settings, HasKept, VerdictLog | None]]:
    settings = load_settings(os.environ, given, config)
    with ExitStack() as stack:
        ledger = open_kept(settings, stack)
        path = settings.state_dir / FILE_NAME
        with advised(path, settings.kafka.verdicts_topic if settings.kafka.consumes else None):
            log = open_log(path)
        if log is not None:
            stack.enter_context(log)
        yield settings, ledger, log


def _write(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        die(Exit.USAGE, f"{path}: cannot be written: {error.strerror}")
