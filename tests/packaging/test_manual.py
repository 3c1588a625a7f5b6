"""Man pages and completion say what the programs' own help says."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from daemon.cli.app import app as agent
from release.manual import PROGRAMS, pages, write_completions
from trainer.cli.app import app as train

PAGES = pages()


def options(command: Any) -> Iterator[tuple[str, str]]:
    """Give every option and argument below a command that the help shows, with its words."""
    for name, below in getattr(command, "commands", {}).items():
        assert name
        yield from options(below)
    for one in command.params:
        if one.help and not getattr(one, "hidden", False):
            yield max(one.opts, key=len) if one.param_type_name == "option" else "", one.help


def words(page: str) -> str:
    """Return the text of a page without its requests."""
    page = re.sub(r"^\.(?:TP|PP|br|nf|fi)$|^\.(?:B|I|BR|SH|SS) ", "", page, flags=re.M)
    return " ".join(page.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\").split())


@pytest.mark.parametrize(("program", "app"), [("sysscan-agent", agent), ("sysscan-train", train)])
def test_every_command_and_option_stands_in_the_page_with_its_words(program: str, app: typer.Typer) -> None:
    page = words(PAGES[program])
    command: Any = typer.main.get_command(app)
    missing = [
        (name, text) for name, text in options(command) if name not in page or " ".join(text.split()) not in page
    ]
    assert missing == []
    assert len(list(options(command))) > 40


def test_every_command_of_the_fleet_stands_in_its_page() -> None:
    page = words(PAGES["sysscan-agent-fleet"])
    assert "usage: sysscan-agent-fleet run [-h]" in page and "usage: sysscan-agent-fleet topics [-h]" in page
    assert "--anew" in page and "exit codes:" in page


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_page_is_set_without_a_warning(program: str, tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("needs groff")
    source = tmp_path / f"{program}.1"
    for text, fine in ((PAGES[program], True), (f"{PAGES[program]}.SH\n.no-such-request\n", False)):
        source.write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-Kutf8", "-ww", source], capture_output=True, text=True, check=True
        )
        assert (done.stderr == "") == fine, done.stderr
    assert done.stdout.startswith(program.upper()) or program.upper() in done.stdout.splitlines()[0]


def test_bash_completes_the_commands(tmp_path: Path) -> None:
    write_completions(tmp_path)
    for program in PROGRAMS:
        script = tmp_path / "bash" / program
        asked = subprocess.run(
            ["bash", "-c", f". {script} && complete -p {program}"], capture_output=True, text=True, check=True
        )
        assert asked.stdout.rstrip().endswith(f" {program}")
    assert {path.name for path in (tmp_path / "zsh").iterdir()} == {"_sysscan-agent", "_sysscan-train"}
    assert (tmp_path / "fish" / "sysscan-agent.fish").read_text(encoding="utf-8").startswith("complete ")
