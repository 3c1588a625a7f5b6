"""`remediate`: a plan from a report, from saved lines, and from the ledger; and what it refuses."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.daemon.cli.invoke import COMMAND, REPORT, ROOT, SCANS, Ended

Cli = Callable[..., Ended]
HARDENING = SCANS / "web01-sysctl-weak.json"


@pytest.mark.parametrize("form", ["bash", "ansible", "markdown"])
def test_report_saved_lines_and_ledger_give_one_plan(cli: Cli, enriched: Path, state: Path, form: str) -> None:
    of_report = cli("remediate", "--format", form, REPORT)
    of_lines = cli("remediate", "--format", form, enriched)
    of_ledger = cli("remediate", "--format", form, "--state-dir", state)
    assert (of_report.code, of_lines.code, of_ledger.code) == (0, 0, 0)
    assert "kernel.kptr_restrict" in of_report.out
    # The ledger knows what waits in quarantine and has another scan id; the steps are the same.
    steps = [line for line in of_report.out.splitlines() if "sysscan-undo" in line]
    assert steps
    for other in (of_lines, of_ledger):
        assert [line for line in other.out.splitlines() if "sysscan-undo" in line] == steps
    assert of_lines.out == of_report.out


def test_a_pipe_is_read_and_a_file_is_written(cli: Cli, tmp_path: Path, enriched: Path) -> None:
    with enriched.open("rb") as lines:
        done = subprocess.run(
            [*COMMAND, "remediate", "--format", "bash", "-"], stdin=lines, capture_output=True, cwd=ROOT, check=True
        )
    target = tmp_path / "plan.sh"
    ended = cli("remediate", "--format", "bash", "--output", target, enriched)
    assert (ended.code, ended.out) == (0, "")
    assert target.read_bytes() == done.stdout


def test_filters_and_what_needs_a_look(cli: Cli) -> None:
    some = cli("remediate", "--format", "markdown", "--class", "kernel_hardening.*", "--level", "medium", HARDENING).out
    assert "### 1. Forbid loading another kernel" in some
    assert "kernel\\_params" not in some
    assert "not of \\-\\-level medium" in some or "not of --level medium" in some
    plain = cli("remediate", "--format", "bash", HARDENING).out
    asked = cli("remediate", "--format", "bash", "--include", "sysctl.ip_forward_off", HARDENING).out
    assert ("zz-sysscan-ip-forward.conf" in plain, "zz-sysscan-ip-forward.conf" in asked) == (False, True)


def test_an_action_to_be_included_that_nothing_asks_for_is_named(cli: Cli) -> None:
    ended = cli("remediate", "--format", "bash", "--include", "sysctl.ip_forward_off", REPORT)
    assert ended.code == 0
    assert ended.err.startswith("sysscan-agent: --include sysctl.ip_forward_off: has no effect; nothing here asks")
    assert cli("remediate", "--format", "bash", "--include", "sysctl.ip_forward_off", HARDENING).err == ""


def test_what_the_operator_accepted_is_no_part_of_it(cli: Cli, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "allow: [{class: kernel_params.kptr_restrict, owner: ops, reason: needed, expires: 2027-06-30}]\n",
        encoding="utf-8",
    )
    ended = cli("remediate", "--format", "bash", "--policy", policy, REPORT)
    assert "kptr_restrict" not in ended.out
    assert "1 accepted" in ended.out


def test_a_playbook_is_yaml_in_which_no_value_is_a_template(cli: Cli) -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!unsafe", lambda _, node: str(node.value))
    first, back = yaml.load(cli("remediate", "--format", "ansible", HARDENING).out, Loader)
    assert [play["hosts"] for play in (first, back)] == ["{{ sysscan_target | default('web01') }}"] * 2
    assert len(first["tasks"]) == len(back["tasks"]) > 5
    assert all(task["vars"]["sysscan_mind"] for task in first["tasks"][1:])
    assert all("never" in task["tags"] for task in back["tasks"][1:])


def test_a_document_has_for_each_step_what_one_agrees_to(cli: Cli) -> None:
    text = cli("remediate", "--format", "markdown", HARDENING).out
    steps = text.count("\n### ")
    assert steps > 5
    for part in ("- What to mind: ", "Check:\n", "Command:\n", "Way back:\n"):
        assert text.count(f"\n{part}") == steps
    asked = text.partition("## What a person has to do or decide")[2]
    assert "A person has to look before this is done" in asked
    assert "The scanner is probably mistaken" in asked


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--format", "bash", str(REPORT), str(SCANS / "db02-default.json")], 2, "a script is for one host"),
        (["--format", "bash", "--include", "sysctl.set", str(REPORT)], 2, "--include sysctl.set: not one of"),
        (["--format", "bash", "--host", "nobody", str(REPORT)], 4, "no finished scan of host nobody"),
        (["--format", "bash", "--policy", "x", "-"], 2, "--policy: has no effect on saved lines"),
        (["--format", "bash", "nowhere.json"], 2, "nowhere.json: cannot be read"),
        (["--format", "docx", str(REPORT)], 2, "docx"),
    ],
)
def test_what_cannot_be_done_is_one_line(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    ended = cli("remediate", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert said in ended.err


def test_a_host_that_calls_itself_all_gets_no_playbook(cli: Cli, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(REPORT.read_text(encoding="utf-8").replace('"web01"', '"all"'), encoding="utf-8")
    assert cli("remediate", "--format", "bash", report).code == 0
    ended = cli("remediate", "--format", "ansible", report)
    assert (ended.code, ended.out) == (2, "")
    assert "all: no name that a playbook can have for one host" in ended.err
