"""What `doctor` looks at on a worker: the ledgers of its partitions, and its copy of the log of verdicts."""

from contextlib import ExitStack

from daemon.cli.ledger_check import check_ledger
from daemon.cli.review.opened import open_kept
from daemon.lane.rebuild import ledger_dirs
from daemon.lane.verdict_copy import advised, how_it_is_mended
from daemon.review.audit import open_log, verify
from daemon.settings import Settings
from pipeline.checks import Check
from pipeline.errors import LedgerError
from pipeline.review.log import FILE_NAME as VERDICTS


def check_ledgers(settings: Settings) -> list[Check]:
    """Look at the ledger of each partition that this state directory has."""
    topic = settings.kafka.input_topic
    found = ledger_dirs(settings.state_dir, topic)
    if not found:
        return [Check("ledger", "ok", f"none yet of {topic} in {settings.state_dir}; the worker makes them")]
    return [check_ledger(path, f"ledger {number}") for number, path in found.items()]


def check_verdicts(settings: Settings) -> Check:
    """Look whether the copy of the log is what the ledgers noted of it; there is nothing to restore where it is not."""
    topic = settings.kafka.verdicts_topic
    try:
        with ExitStack() as stack:
            with advised(settings.state_dir / VERDICTS, topic):
                log = open_log(settings.state_dir / VERDICTS)
            if log is not None:
                stack.enter_context(log)
            if not ledger_dirs(settings.state_dir, settings.kafka.input_topic):
                return Check("verdicts", "ok", "none judged with yet")
            checked = verify(log, open_kept(settings, stack))
    except LedgerError as error:
        return Check("verdicts", "problem", str(error))
    if checked.problems:
        return Check("verdicts", "problem", checked.problems[0], f"{how_it_is_mended(topic)}: no backup is needed")
    return Check("verdicts", "ok", f"{checked.head.seq:,}, all as they were written; a copy of kafka {topic}")


def check_inputs(settings: Settings) -> list[Check]:
    """Say where reports come from, and name what has no effect."""
    checks = [Check("input", "ok", f"reports come from kafka {settings.kafka.input_topic}")]
    if settings.watch.roots:
        detail = f"watch.roots has no effect with kafka.consume: {', '.join(map(str, settings.watch.roots))}"
        advice = "remove it, or watch the directory with an agent of its own"
        checks.append(Check("watch", "warning", detail, advice))
    return checks
