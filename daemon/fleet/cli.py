"""`sysscan-agent-fleet`: the view over a fleet as a program of its own."""

import argparse
import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from types import ModuleType

from daemon.log import configure
from daemon.log_writer import finish
from daemon.notify import Notifier
from daemon.settings import Settings, load_settings
from daemon.version import VERSION
from pipeline.display import printable
from pipeline.engine.extras import how_to_install
from pipeline.errors import ConfigError, SinkError

_EXITS = """exit codes:
  0  done, or told to stop
  1  it had to end, or the brokers do not have what is needed; starting again may help
  2  a person must change an option, a setting or a topic first"""


class Exit(IntEnum):
    """Exit codes; documented in docs/fleet.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end."""
    given = _parser().parse_args(arguments)
    try:
        settings = load_settings(os.environ, {}, given.config)
        if not settings.kafka.brokers:
            raise ConfigError("kafka.brokers is not set; there is nothing to read from")
        code = COMMANDS[given.command](settings, given)
    except ConfigError as error:
        code = _said(Exit.USAGE, str(error))
    except SinkError as error:
        code = _said(Exit.FAILED, str(error).removesuffix("; tried again"))
    except KeyboardInterrupt:
        code = Exit.DONE
    finish()
    sys.stdout.flush()
    # Threads of the libraries may still wait for brokers that do not answer; nothing is left to do that they could do.
    os._exit(code)


def _run(settings: Settings, given: argparse.Namespace) -> Exit:
    os.umask(0o077)
    if given.check:
        found = asyncio.run(_needs("brokers").examine(settings))
        _needs("run")
        policy = found.policy or "not told"
        sys.stdout.write(
            f"{settings.kafka.scans_topic} and {settings.fleet.posture_topic}: {found.partitions} partitions, "
            f"cleanup.policy={policy}; {settings.fleet.alerts_topic} is there\n"
        )
        return Exit.DONE
    configure(settings.log.level, settings.log.format)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = _needs("run")
    notifier = Notifier(os.environ)

    async def program() -> str | None:
        why: str | None = await run.Program(settings, notifier, anew=given.anew).run()
        return why

    why = asyncio.run(program())
    return Exit.DONE if why is None else _said(Exit.FAILED, why)


def _topics(settings: Settings, given: argparse.Namespace) -> Exit:
    made = asyncio.run(_needs("brokers").create(settings, given.replication))
    sys.stdout.write(f"created: {' '.join(made)}\n" if made else "nothing to create\n")
    return Exit.DONE


COMMANDS = {"run": _run, "topics": _topics}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sysscan-agent-fleet", description="Show many hosts side by side, from the scan records in Kafka.",
        epilog=_EXITS, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"sysscan-agent-fleet {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="read scans, serve the page, publish postures and alerts, until stopped")
    run.add_argument("--check", action="store_true", help="only look whether the brokers have what is needed")
    run.add_argument(
        "--anew", action="store_true", help="pass over the postures that were published, and read all scans again"
    )
    topics = commands.add_parser("topics", help="create the topics of postures and alerts, if they are not there")
    topics.add_argument(
        "--replication", type=int, metavar="N", help="replicas of each partition; default: as those of the scans"
    )
    for one in (run, topics):
        one.add_argument(
            "--config", type=Path, metavar="FILE",
            help="settings file (TOML); default: /etc/sysscan-agent/config.toml if it exists",
        )  # fmt: skip
    return parser


def _needs(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"daemon.fleet.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: {how_to_install('fleet')}") from error


def _said(code: Exit, line: str) -> Exit:
    finish()
    sys.stderr.write(f"sysscan-agent-fleet: {printable(' '.join(line.split()), 4000)}\n")
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main()
