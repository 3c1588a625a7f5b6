"""Man pages and shell completion of the three programs, from the command lines' own help.

python -m release.manual [--out dist/man]
"""

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from daemon.cli.app import app as agent
from daemon.fleet import cli as fleet
from daemon.version import VERSION
from release.wheel import ROOT, source_date
from trainer.cli.app import app as train

PROGRAMS = ("sysscan-agent", "sysscan-agent-fleet", "sysscan-train")
_SHELLS = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}  # and how a shell wants the file of a program named
_MODULES = {"sysscan-agent": "daemon.cli", "sysscan-train": "trainer"}
_FILES = {
    "/etc/sysscan-agent/config.toml": "Settings; every one stands in it with its default.",
    "/etc/sysscan-agent/policy.yaml": "Your decisions, where the settings name it.",
    "/var/lib/sysscan-agent": "What the service remembers: the ledger.",
    "/var/log/sysscan-agent": "What the service writes: the enriched findings.",
}


def pages() -> dict[str, str]:
    """Return the page of each program, in the language of man(7)."""
    made = {}
    for program, app in (("sysscan-agent", agent), ("sysscan-train", train)):
        command: Any = typer.main.get_command(app)
        made[program] = "".join(_typer_page(program, command))
    made["sysscan-agent-fleet"] = "".join(_fleet_page())
    return made


def write_pages(directory: Path) -> None:
    """Write the pages as files."""
    directory.mkdir(parents=True, exist_ok=True)
    for program, page in pages().items():
        (directory / f"{program}.1").write_text(page, encoding="utf-8")


def write_completions(directory: Path) -> None:
    """Write what bash, zsh and fish complete the commands with, each in a directory of its name."""
    for shell, name in _SHELLS.items():
        (directory / shell).mkdir(parents=True, exist_ok=True)
        for program, module in _MODULES.items():
            variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
            script = subprocess.run(
                [sys.executable, "-m", module], env={**os.environ, variable: f"source_{shell}"}, cwd=ROOT,
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            (directory / shell / name.format(program)).write_text(f"{script.strip()}\n", encoding="utf-8")
    words = " ".join((*fleet.COMMANDS, "--help", "--version"))
    (directory / "bash" / "sysscan-agent-fleet").write_text(
        f"complete -W '{words}' -o default sysscan-agent-fleet\n", encoding="utf-8"
    )


def _typer_page(program: str, command: Any) -> Iterator[str]:
    yield _head(program, command.help)
    yield f".SH SYNOPSIS\n.B {_text(program)}\nCOMMAND [OPTION]... [ARGUMENT]...\n"
    yield f".SH DESCRIPTION\n{_paragraphs(command.help)}"
    context = command.context_class(command, info_name=program)
    yield ".SH OPTIONS\n"
    yield from _parameters(command, context)
    yield ".SH COMMANDS\n"
    yield from _below(command, context)
    if command.epilog:
        codes = re.sub(r"; (\d)", r"\n.br\n\1", _text(command.epilog.removeprefix("Exit codes: ").rstrip(".")))
        yield f".SH EXIT STATUS\n{codes}\n"
    yield _foot(program)


def _below(command: Any, context: Any) -> Iterator[str]:
    for name in command.list_commands(context):
        one = command.get_command(context, name)
        if one.hidden:
            continue
        within = one.context_class(one, info_name=name, parent=context)
        if not hasattr(one, "list_commands") or one.invoke_without_command:  # it does something by itself
            usage = " ".join([within.command_path, *one.collect_usage_pieces(within)])
            yield f".SS {_text(usage)}\n{_paragraphs(one.help)}"
            yield from _parameters(one, within)
        if hasattr(one, "list_commands"):
            yield from _below(one, within)


def _parameters(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and not record[0].endswith("--help"):
            yield f".TP\n.B {_text(record[0])}\n{_text(record[1]) or '.'}\n"


def _fleet_page() -> Iterator[str]:
    program = "sysscan-agent-fleet"
    first = _help_of()
    yield _head(program, first.partition("\n\n")[2].partition("\n\n")[0])
    yield f".SH SYNOPSIS\n.B {_text(program)}\nCOMMAND [OPTION]...\n"
    yield f".SH DESCRIPTION\n{_as_it_is(first)}"
    for command in fleet.COMMANDS:
        yield f".SH {_text(program)} {command}\n{_as_it_is(_help_of(command))}"
    yield _foot(program)


def _help_of(*command: str) -> str:
    """Return the help of the fleet's program; argparse tells it nowhere but on standard output."""
    said, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "78"
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            fleet.main([*command, "--help"])
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
    return said.getvalue()


def _head(program: str, summary: str) -> str:
    day = datetime.fromtimestamp(source_date(), UTC).date().isoformat()
    first = re.split(r"(?<=\.)\s", " ".join(summary.split()))[0].rstrip(".")
    return (
        f'.TH {program.upper()} 1 {day} "sysscan-agent {VERSION}" "User Commands"\n'
        f".SH NAME\n{_text(program)} \\- {_text(first[0].lower() + first[1:])}\n"
    )


def _foot(program: str) -> str:
    files = "".join(f".TP\n.I {_text(path)}\n{_text(what)}\n" for path, what in _FILES.items())
    others = [f".BR {_text(other)} (1)" for other in PROGRAMS if other != program]
    return f".SH FILES\n{files}.SH SEE ALSO\n" + ",\n".join(others) + "\n"


def _paragraphs(text: str) -> str:
    blocks = re.split(r"\n\s*\n", text.strip())
    return "".join(f".PP\n{_text(block)}\n" for block in blocks)


def _as_it_is(text: str) -> str:
    return ".nf\n" + "".join(f"{_escaped(line)}\n" for line in text.rstrip().splitlines()) + ".fi\n"


def _text(text: str) -> str:
    """Make one line of it, in which nothing is a request or an escape."""
    return _escaped(" ".join(text.split()))


def _escaped(line: str) -> str:
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def main(arguments: Sequence[str] | None = None) -> None:
    """Write all of it."""
    parser = argparse.ArgumentParser(prog="python -m release.manual", description="Write man pages and completion.")
    parser.add_argument("--out", type=Path, default=Path("dist/man"), metavar="DIR", help="default: %(default)s")
    given = parser.parse_args(arguments)
    write_pages(given.out)
    write_completions(given.out / "completion")
    sys.stdout.write(f"{given.out}\n")


if __name__ == "__main__":
    main()
