"""`sysscan-agent kafka verdicts`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from daemon.cli.exits import Exit, die, say
from daemon.cli.kafka import counted, kafka_settings
from daemon.cli.terminal import wants_json
from daemon.compose import open_verdict_writer
from daemon.lane.verdict_copy import advised, how_it_is_mended
from daemon.review.audit import open_log
from pipeline.display import printable
from pipeline.errors import LedgerError, SinkError
from pipeline.review.chain import Head, Row, check
from pipeline.review.log import FILE_NAME


def look_after_verdicts(given: Mapping[str, Any], config: Path | None, *, restore: bool, as_json: bool) -> Exit:
    """Compare the topic of verdicts with the copy in the state directory, and send what the topic lacks if asked to."""
    settings = kafka_settings(given, config)
    path = settings.state_dir / FILE_NAME
    here: list[Row] = []
    with advised(path, settings.kafka.verdicts_topic):
        log = open_log(path)
        if log is not None:
            with log:
                here = list(log.rows())
    for problem in check(here):
        raise LedgerError(f"{path}: {problem}. {how_it_is_mended(settings.kafka.verdicts_topic)}")
    writer = open_verdict_writer(settings)
    try:
        there = writer.rows()
        _compare(path, here, Head(there[-1].seq, there[-1].hash) if there else Head())
        before = len(there)
        if restore and len(here) > before:
            there = writer.append(lambda head: _compare(path, here, head))
        strange = writer.strange
    except SinkError as error:
        die(Exit.REJECTED, str(error))
    finally:
        writer.close()
    said = {
        "topic": settings.kafka.verdicts_topic, "verdicts": len(there), "head": there[-1].hash if there else None,
        "here": len(here), "restored": len(there) - before, "passed_over": strange,
    }  # fmt: skip
    if wants_json(as_json):
        sys.stdout.buffer.write(orjson.dumps(said) + b"\n")
    else:
        restored = f", {said['restored']:,} of them restored now" if restore else ""
        sys.stdout.write(
            f"{settings.kafka.verdicts_topic}: {counted(len(there), 'verdict')}{restored}; {path}: {len(here):,}\n"
        )
        if strange is not None:
            say(f"sysscan-agent: {printable(strange)}")
    return Exit.REJECTED if len(here) > len(there) else Exit.DONE


def _compare(path: Path, here: Sequence[Row], there: Head) -> Sequence[Row]:
    """Give the rows that the topic lacks.

    Raises:
        LedgerError: when one of the two is not the beginning of the other.
    """
    if 0 < there.seq <= len(here) and here[there.seq - 1].hash != there.hash:
        raise LedgerError(
            f"{path}: its verdict {there.seq} is not that of the topic: these are two logs; move the file away, or "
            "name another kafka.verdicts_topic"
        )
    return here[there.seq :]
