"""A plan as a script, run for real: check, apply, check, undo, check; and with names that want to be commands."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.output.plan.bash import bash
from pipeline.output.plan.steps import Plan
from pipeline.rules.undo import ROOT
from tests.depth import examples
from tests.pipeline.output.formats.exported import real_scans
from tests.pipeline.output.plan.planned import finding_with, plan_for, plan_of
from tests.pipeline.remedies.scenarios import HOSTILE, populate
from tests.pipeline.remedies.test_round_trip import not_here
from tests.pipeline.remedies.throw_away import NoRoot, ThrowAwayRoot, differences

BASH = shutil.which("bash") or "bash"


def script(plan: Plan) -> str:
    return b"".join(bash(plan)).decode()


def parsed(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BASH, "-n"], input=text, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def root() -> Iterator[ThrowAwayRoot]:
    try:
        made = ThrowAwayRoot()
    except NoRoot as reason:
        not_here(f"no plan was tried: this machine lets us make no throw-away root ({reason})")
    with made:
        populate(made)
        yield made


def ran(root: ThrowAwayRoot, text: str, arguments: str) -> tuple[int, str]:
    root.write("/root/plan.sh", text)
    return root.run(f"bash /root/plan.sh --any-host {arguments}")


@pytest.mark.parametrize("name", [name for name, _ in real_scans()])
def test_every_script_of_a_real_scan_is_one(name: str) -> None:
    text = script(plan_of(name))
    done = parsed(text)
    assert (done.returncode, done.stderr) == (0, "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)


def test_a_plan_is_checked_applied_and_taken_back(root: ThrowAwayRoot) -> None:
    findings = [
        finding_with("file.remove_world_write", {"path": "/srv/open"}, 1),
        finding_with("file.remove_world_write", {"path": HOSTILE}, 2),
        finding_with("file.remove_setuid", {"path": "/srv/setuid"}, 3),
        finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "0"}, 4),
        finding_with("systemd.dropin", {"unit": "a.service", "directive": "PrivateTmp", "value": "yes"}, 5),
        finding_with("systemd.dropin", {"unit": "a.service", "directive": "ProtectHome", "value": "yes"}, 6),
        finding_with("audit.rules_execve", {}, 7),
        finding_with("kernel.cmdline_add", {"argument": "init_on_alloc=1"}, 8),
        finding_with("mount.option", {"mountpoint": "/tmp", "option": "nosuid"}, 9),
    ]
    plan = plan_for(*findings)
    assert len(plan.steps) == len(findings)
    text = script(plan)
    before = {name: said for name, said in root.snapshot().items() if name != "/root/plan.sh"}

    def now() -> dict[str, str]:
        return {name: said for name, said in root.snapshot().items() if name != "/root/plan.sh"}

    rc, said = ran(root, text, "--check")
    assert (rc, differences(before, now())) == (1, []), said
    assert said.count("to be done") == len(findings) + 1
    listed = ran(root, text, "--list")[1]
    assert all(step.summary in listed and str(step.caution)[:40] in listed for step in plan.steps)
    rc, said = ran(root, text, "--apply")
    assert rc == 0, said
    assert "9 done, 0 in effect before, 0 failed" in said
    assert "1 of them take effect at the next boot" in said
    root.sh("[ ! -e /pwned ] && [ ! -e /root/pwned ] && [ ! -e /srv/pwned ]")
    applied = now()
    assert differences(before, applied) != []
    rc, said = ran(root, text, "--check")
    assert (rc, said.count("in effect")) == (0, len(findings)), said
    rc, said = ran(root, text, "--apply")
    assert (rc, differences(applied, now())) == (0, []), said
    assert "0 done, 9 in effect before" in said
    rc, said = ran(root, text, "--undo")
    assert rc == 0, said
    assert "9 taken back, 0 failed" in said
    assert differences(before, now()) == []
    assert root.notes() == []
    assert ran(root, text, "--check")[0] == 1
    rc, said = ran(root, text, "--undo")
    assert (rc, said.count("nothing noted")) == (0, len(findings))


def test_one_step_is_taken_where_one_is_named(root: ThrowAwayRoot) -> None:
    text = script(
        plan_for(
            finding_with("file.remove_world_write", {"path": "/srv/open"}, 1),
            finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "0"}, 2),
        )
    )
    assert ran(root, text, "--apply 1")[0] == 0
    rc, said = ran(root, text, "--check")
    assert (rc, said.count("in effect"), said.count("to be done")) == (1, 1, 2)
    assert ran(root, text, "--undo")[0] == 0


def test_a_step_that_fails_is_named_and_the_others_go_on(root: ThrowAwayRoot) -> None:
    text = script(
        plan_for(
            finding_with("file.remove_world_write", {"path": "/srv/not there"}, 1),
            finding_with("sysctl.set", {"key": "kernel.sysrq", "value": "0"}, 2),
        )
    )
    rc, said = ran(root, text, "--apply")
    assert rc == 1
    assert "1 done, 0 in effect before, 1 failed" in said
    assert "FAILED" in said and "/srv/not there" in said
    assert ran(root, text, "--undo")[0] == 0
    assert root.run("ls -A /var/lib/sysscan-undo 2>/dev/null")[1] == "", "nothing that was begun is left"


def test_a_unit_is_restarted_once_for_all_its_steps(root: ThrowAwayRoot) -> None:
    directives = ("PrivateTmp", "ProtectHome", "RestrictRealtime")
    plan = plan_for(
        *(
            finding_with("systemd.dropin", {"unit": "a.service", "directive": name, "value": "yes"}, number)
            for number, name in enumerate(directives)
        )
    )
    root.write("/root/systemctl", '#!/bin/sh\necho "$*" >> /root/calls\n', 0o755)
    root.write("/root/plan.sh", script(plan))
    rc, said = root.run("PATH=/root:$PATH bash /root/plan.sh --any-host --apply")
    assert rc == 0, said
    calls = root.sh("cat /root/calls").splitlines()
    assert calls.count("try-restart -- a.service") == calls.count("daemon-reload") == 1
    root.sh("rm /root/systemctl /root/calls")
    assert ran(root, script(plan), "--undo")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code"), [("", 2), ("--check --apply", 2), ("--check 99", 2), ("--applx", 2), ("--help", 0)]
)
def test_it_does_nothing_that_it_was_not_told_to(root: ThrowAwayRoot, arguments: str, code: int) -> None:
    text = script(plan_for(finding_with("file.remove_world_write", {"path": "/srv/open"}, 1)))
    before = root.snapshot()
    root.write("/root/plan.sh", text)
    assert root.run(f"bash /root/plan.sh {arguments}")[0] == code
    assert differences({**before, "/root/plan.sh": ""}, {**root.snapshot(), "/root/plan.sh": ""}) == []


def test_it_refuses_another_host(root: ThrowAwayRoot) -> None:
    root.write("/root/plan.sh", script(plan_for(finding_with("file.remove_world_write", {"path": "/srv/open"}, 1))))
    rc, said = root.run("bash /root/plan.sh --check")
    assert rc == 2
    assert "made for the host web01" in said


def test_any_name_is_one_word_and_no_command(tmp_path: Path) -> None:
    """In a directory of the test: the script is the real one, the notes of its commands lie elsewhere."""

    @settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.one_of(
            st.text(min_size=1, max_size=40),
            st.lists(st.sampled_from("'\"\\$`!\n-%{};&|<>*?~# ()=\x1b\u202eé\t"), min_size=1, max_size=30).map("".join),
        ).filter(lambda name: name not in (".", "..") and not {"\0", "/"} & set(name) and name.isascii() is not None)
    )
    def tried(name: str) -> None:
        try:
            raw = name.encode()
        except UnicodeEncodeError:
            return
        if len(raw) > 200:
            return
        place = tmp_path / "files"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / "bystander").touch(0o644)
        target = place / name
        if target.name == "bystander":
            return
        target.touch()
        target.chmod(0o666)
        plan = plan_for(finding_with("file.remove_world_write", {"path": str(target)}))
        text = script(plan)
        assert parsed(text).returncode == 0
        if not plan.steps:
            assert name.endswith("\n") or plan.asides[0].why == "unwritable"
            return
        text = text.replace(ROOT, str(tmp_path / "notes"))
        for argument, code, mode in (("--check", 1, 0o666), ("--apply", 0, 0o664), ("--undo", 0, 0o666)):
            done = subprocess.run(
                [BASH, "-s", "--", "--any-host", argument], input=text, capture_output=True, text=True, cwd=tmp_path,
                check=False,
            )  # fmt: skip
            assert (done.returncode, target.stat().st_mode & 0o777) == (code, mode), (done.stdout, done.stderr)
        assert {one.name for one in place.iterdir()} == {"bystander", name}
        assert {one.name for one in tmp_path.iterdir()} <= {"files", "notes"}

    tried()
