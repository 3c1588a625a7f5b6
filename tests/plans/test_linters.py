"""Every plan of a real scan is clean to shellcheck and to ansible-lint, and Ansible runs one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.output.plan.ansible import ansible
from pipeline.output.plan.bash import bash
from pipeline.output.plan.order import LOOK_FIRST
from pipeline.output.plan.steps import Plan
from pipeline.rules.undo import ROOT
from tests.pipeline.output.formats.exported import real_scans
from tests.pipeline.output.plan.planned import finding_with, plan_for, plan_of

BIN = Path(os.environ["PLANS_BIN"])
NASTY = "a {{ 7919 * 7907 }} {% raw %} {# x #} b'\"$(touch pwned)`touch pwned`; #: - \u00fc\\"


def tool(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / words[0]), *words[1:]], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", **environment},
    )  # fmt: skip


def real_plans() -> dict[str, Plan]:
    """Those that differ, with all that can be asked for."""
    found: dict[str, tuple[str, Plan]] = {}
    for name, _ in real_scans():
        plan = plan_of(name, None, *LOOK_FIRST)
        found.setdefault(str([(step.command, step.summary) for step in plan.steps]), (name, plan))
    return dict(found.values())


def test_the_linters_would_say_so(tmp_path: Path) -> None:
    """The control: what is wrong is found with the same call."""
    (tmp_path / "plan.sh").write_text("#!/usr/bin/env bash\nrm $1/*\n", encoding="utf-8")
    assert tool("shellcheck", "plan.sh", cwd=tmp_path).returncode == 1
    (tmp_path / "plan.yml").write_text("- hosts: all\n  tasks:\n  - shell: rm x\n", encoding="utf-8")
    assert tool("ansible-lint", "--offline", "--profile", "production", "plan.yml", cwd=tmp_path).returncode != 0


def test_shellcheck_is_content(tmp_path: Path) -> None:
    nasty = plan_for(finding_with("file.remove_world_write", {"path": f"/srv/{NASTY}"}))
    plans = {**real_plans(), "nasty": nasty}
    for name, plan in plans.items():
        (tmp_path / f"{name}.sh").write_bytes(b"".join(bash(plan)))
    done = tool("shellcheck", "--norc", *(f"{name}.sh" for name in plans), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


def test_ansible_lint_is_content(tmp_path: Path) -> None:
    plans = real_plans()
    # The linter takes what is tagged `!unsafe` for templates all the same; what Ansible makes of these is tried below.
    quotes = NASTY.replace("{% raw %} {# x #}", "")
    plans["nasty"] = plan_for(finding_with("file.remove_world_write", {"path": f"/srv/{quotes}"}))
    for name, plan in plans.items():
        (tmp_path / f"{name}.yml").write_bytes(b"".join(ansible([plan])))
    done = tool(
        "ansible-lint", "--offline", "--profile", "production", *(f"{name}.yml" for name in plans), cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"in {len(plans)} files" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["plain", NASTY])
def test_ansible_checks_applies_and_takes_back(tmp_path: Path, name: str) -> None:
    place = tmp_path / "files"
    place.mkdir()
    target = place / name
    target.touch()
    target.chmod(0o666)
    plan = plan_for(finding_with("file.remove_world_write", {"path": str(target)}))
    text = b"".join(ansible([plan])).decode().replace(ROOT, str(tmp_path / "notes"))
    (tmp_path / "plan.yml").write_text(text, encoding="utf-8")
    (tmp_path / "hosts").write_text(
        f"web01 ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}\n",
        encoding="utf-8",
    )

    def played(*options: str) -> tuple[int, int, int, str]:
        done = tool("ansible-playbook", "-i", "hosts", "plan.yml", *options, cwd=tmp_path, HOME=str(tmp_path))
        counted = re.search(r"changed=(\d+)", done.stdout)
        assert counted, done.stdout + done.stderr
        return done.returncode, int(counted[1]), target.stat().st_mode & 0o777, done.stdout

    assert played("--check")[:3] == (0, 1, 0o666)
    assert played()[:3] == (0, 1, 0o664)
    assert played("--check")[:3] == played()[:3] == (0, 0, 0o664)
    code, changed, mode, said = played("--tags", "undo")
    assert (code, changed, mode) == (0, 1, 0o666), said
    assert played("--tags", "undo")[:3] == (0, 0, 0o666)
    assert {one.name for one in place.iterdir()} == {name}
    assert str(7919 * 7907) not in said


def test_ansible_refuses_a_host_that_the_plan_is_not_for(tmp_path: Path) -> None:
    plan = plan_for(finding_with("file.remove_world_write", {"path": "/srv/x"}))
    (tmp_path / "plan.yml").write_bytes(b"".join(ansible([plan])))
    (tmp_path / "hosts").write_text(
        f"[web01]\nother ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}\n",
        encoding="utf-8",
    )
    done = tool("ansible-playbook", "-i", "hosts", "plan.yml", cwd=tmp_path, HOME=str(tmp_path))
    assert done.returncode != 0
    assert "Assertion failed" in done.stdout
    assert "Take step" not in done.stdout
