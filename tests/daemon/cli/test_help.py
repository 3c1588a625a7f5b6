"""Help that a newcomer can act on, and a handbook that keeps up with it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from daemon.cli.app import app
from tests.daemon.cli.invoke import ROOT, Ended, in_a_process

Cli = Callable[..., Ended]


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = typer.main.get_command(app) if command is None else command
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


COMMANDS = list(commands())


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) or "-" for path, _ in COMMANDS])
def test_every_command_has_help_for_itself_and_each_option(cli: Cli, path: tuple[str, ...], command: Any) -> None:
    ended = cli(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == cli(*path, "-h").out
    assert ended.out.splitlines()[0].startswith(f"Usage: sysscan-agent{''.join(f' {part}' for part in path)}")
    assert command.help
    for option in command.params:
        if option.param_type_name == "option":
            assert option.help, option.name
            assert max(option.opts, key=len) in ended.out


def test_whoever_can_print_json_can_print_text_into_a_pipe() -> None:
    silent = [
        " ".join(path)
        for path, command in COMMANDS
        if "--json" in {name for option in command.params for name in option.opts}
        and "--format" not in {name for option in command.params for name in option.opts}
    ]
    assert silent == []


def test_the_exit_codes_stand_in_the_help(cli: Cli) -> None:
    assert "Exit codes: 0 done" in " ".join(cli("--help").out.split())


def test_without_a_command_the_help_is_shown(cli: Cli) -> None:
    ended = cli()
    assert (ended.code, ended.out) == (2, cli("--help").out)


def test_the_version_is_told(cli: Cli) -> None:
    ended = cli("--version")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("sysscan-agent ")
    assert ended.out.split()[1][0].isdigit()


def test_completion_can_be_shown() -> None:
    words = in_a_process(
        _SYSSCAN_AGENT_COMPLETE="complete_bash", COMP_WORDS="sysscan-agent ledger ", COMP_CWORD="2"
    ).out.split()
    assert {"status", "fsck", "quarantine"} <= set(words)


def test_the_handbook_names_every_command_and_option() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    missing: list[str] = []
    for path, command in COMMANDS:
        section = text.partition(f"## sysscan-agent {' '.join(path)}\n" if path else "## sysscan-agent\n")[2]
        section = section.partition("\n## ")[0]
        names = [name for option in command.params for name in _names(option) if f"`{name}" not in section]
        missing += [f"{' '.join(path)} {name}" for name in names] if section else [" ".join(path) or "sysscan-agent"]
    assert missing == []


def test_every_command_in_the_readme_exists(cli: Cli) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    known = {path for path, _ in COMMANDS}
    used = re.findall(r"(?:^|[`$ /(])sysscan-agent((?: [a-z]+)*)((?: -[^\s`]+)*)", text, re.M)
    assert len(used) > 5
    for words, _ in used:
        path = tuple(words.split())
        while path and path not in known:
            path = path[:-1]
        first = words.split()[:1]
        assert not first or path, words


def _names(option: Any) -> list[str]:
    if option.param_type_name == "argument":
        return [option.metavar or option.name.upper()]
    return [name for name in option.opts if name.startswith("--") and name != "--help"]
