"""What a remediation must not do: lose what it cannot restore, or act on what somebody put in its way."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.knowledge.schema import Knowledge, RemediationRef
from pipeline.rules.remediate import Action, render
from tests.depth import examples
from tests.pipeline.remedies.scenarios import Scenario
from tests.pipeline.remedies.test_round_trip import a_root, action_of, knowledge
from tests.pipeline.remedies.throw_away import ThrowAwayRoot, differences

__all__ = ["knowledge"]

# What the scanner looks for in the text of the rule files, without regard to case.
SCANNER = {
    **{name: rf"-S\s+{name}" for name in ("execve", "setuid", "setgid", "chmod", "chown", "capset")},
    "modules": r"-k\s*modules|/s?bin/(insmod|modprobe)",
}


@pytest.fixture
def root() -> Iterator[ThrowAwayRoot]:
    with a_root() as made:
        yield made


def refused(root: ThrowAwayRoot, action: Action, why: str) -> None:
    before = root.snapshot()
    rc, said = root.run(str(action.command))
    assert rc != 0 and why in said, (rc, said)
    assert differences(before, root.snapshot()) == []
    assert root.notes() == []


def test_what_cannot_work_here_is_refused_with_a_line_and_nothing_is_noted(
    knowledge: Knowledge, root: ThrowAwayRoot
) -> None:
    option = Scenario("mount.option", {"mountpoint": "/proc", "option": "nosuid"})
    refused(root, action_of(knowledge, option, root), "no line for /proc in /etc/fstab")
    root.sh("rm /stand-ins/update-grub /stand-ins/augenrules")
    refused(
        root,
        action_of(knowledge, Scenario("kernel.lockdown"), root),
        "add lockdown=integrity to the kernel command line",
    )
    refused(root, action_of(knowledge, Scenario("audit.rules_execve"), root), "install the audit daemon first")


def test_rules_written_by_hand_are_not_overwritten(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    root.sh("echo '-w /etc/passwd -p wa' > /etc/audit/audit.rules")
    refused(root, action_of(knowledge, Scenario("audit.rules_execve"), root), "written by hand")


@pytest.mark.parametrize("name", ["file.remove_setuid", "file.remove_world_write", "file.remove_capability"])
def test_the_way_back_gives_nothing_to_a_file_that_was_put_in_its_place(
    knowledge: Knowledge, root: ThrowAwayRoot, name: str
) -> None:
    root.sh("cp /bin/cat /srv/victim && chmod 755 /srv/victim && cp /srv/victim /srv/x && chmod 6777 /srv/x")
    root.sh("setcap cap_chown+ep /srv/x")
    action = action_of(knowledge, Scenario(name, {"path": "/srv/x"}), root)
    root.sh(str(action.command))
    root.sh("mv /srv/x /srv/away && ln -s victim /srv/x")
    before = root.snapshot()
    rc, said = root.run(str(action.rollback))
    assert rc != 0 and "not the file that was changed" in said
    assert differences(before, root.snapshot()) == []
    root.sh("rm /srv/x && mv /srv/away /srv/x")
    root.sh(str(action.rollback))
    assert root.notes() == []


def test_a_second_run_with_another_value_goes_back_to_the_first_state(
    knowledge: Knowledge, root: ThrowAwayRoot
) -> None:
    before = root.snapshot()
    for value in ("1", "2"):
        action = action_of(knowledge, Scenario("sysctl.set", {"key": "kernel.kptr_restrict", "value": value}), root)
        root.sh(str(action.command))
    root.sh(str(action.rollback))
    assert differences(before, root.snapshot()) == []


def test_turning_forwarding_off_does_not_turn_redirects_on(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    redirects = "cat /proc/sys/net/ipv4/conf/all/accept_redirects"
    assert root.sh(redirects) == "0\n"  # the kernel's own doing, when forwarding was turned on
    root.sh("echo 0 > /proc/sys/net/ipv4/ip_forward")
    assert root.sh(redirects) == "1\n", "the control: the kernel does it"
    root.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")
    action = action_of(knowledge, Scenario("sysctl.ip_forward_off"), root)
    root.sh(str(action.command))
    assert root.sh(redirects) == "0\n"
    assert "accept_redirects = 0" in root.sh("cat /etc/sysctl.d/zz-sysscan-ip-forward.conf")


def test_a_busy_mount_is_changed_and_comes_back(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    root.sh("cd /tmp && { sleep 1000 >/dev/null 2>&1 & }")
    assert root.run("umount /tmp")[0] != 0, "the control: it is busy"
    before = root.snapshot()
    action = action_of(knowledge, Scenario("mount.tmp_noexec", {"mountpoint": "/tmp"}), root)
    root.sh(str(action.command))
    assert differences(before, root.snapshot()) != []
    root.sh(str(action.rollback))
    assert differences(before, root.snapshot()) == []


def test_a_line_of_fstab_changes_in_one_word(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    before = root.sh("cat /etc/fstab")
    root.sh(
        str(action_of(knowledge, Scenario("mount.option", {"mountpoint": "/tmp", "option": "nodev"}), root).command)
    )
    assert root.sh("cat /etc/fstab") == before.replace("defaults,size=9m\t", "defaults,size=9m,nodev\t")


def test_the_scanner_recognises_the_rules_that_are_written(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    for name, pattern in SCANNER.items():
        action = action_of(knowledge, Scenario(f"audit.rules_{name}"), root)
        assert not re.search(pattern, root.sh("cat /etc/audit/rules.d/*"), re.IGNORECASE)
        root.sh(str(action.command))
        assert re.search(pattern, root.sh("cat /etc/audit/rules.d/*"), re.IGNORECASE), name
        root.sh(str(action.rollback))
    root.sh(str(action_of(knowledge, Scenario("audit.rules_all"), root).command))
    for name, pattern in SCANNER.items():
        assert re.search(pattern, root.sh("cat /etc/audit/rules.d/*"), re.IGNORECASE), name


def test_the_notes_are_for_root_alone(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    root.sh(str(action_of(knowledge, Scenario("file.remove_setuid", {"path": "/srv/setuid"}), root).command))
    assert root.sh("stat -c '%a %u' /var/lib/sysscan-undo /var/lib/sysscan-undo/*") == "700 0\n700 0\n"


def test_a_check_says_nothing_of_a_package_manager_that_is_not_here(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    assert root.run("command -v rpm")[0] != 0 or root.run("command -v dpkg")[0] != 0, "both are here"
    slots = {"path": "/srv/setuid", "pid": "1", "exe": "/x", "module": "udf", "package": "x", "pattern": "x"}
    tried = 0
    for name, action in knowledge.remediations.items():
        if "rpm" in action.check:
            ref = RemediationRef.model_validate({"use": name, "with": {one: f"{{{one}}}" for one in action.params}})
            line = render(ref, action, slots, knowledge.expected, "default", None).check
            said = root.run(str(line))[1]
            assert not re.search(r"(rpm|dpkg)\S*: .*not found", said), (name, said)
            tried += 1
    assert tried > 8


def test_any_name_of_a_file_is_changed_and_undone(knowledge: Knowledge, root: ThrowAwayRoot) -> None:
    root.sh("mkdir /srv/any && touch /srv/any/bystander")
    names = ("file.remove_setuid", "file.remove_world_write", "file.remove_capability", "dir.remove_world_write")

    @settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        raw=st.one_of(
            st.binary(min_size=1, max_size=60),
            st.lists(st.sampled_from([*b"'\"\\$`!\n-%{};&|<>*?~# ()=\x1b\xff\xc3", 0x80]), min_size=1, max_size=30).map(
                bytes
            ),
        ).filter(lambda raw: raw not in (b".", b"..") and not {0, 0x2F} & set(raw))
    )
    def tried(raw: bytes) -> None:
        path = b"/srv/any/" + raw
        octal = "".join(f"\\{byte:03o}" for byte in path)
        root.sh(
            f'p=$(printf \'{octal}x\') && p=${{p%x}} && echo x > "$p" && chmod 6777 "$p" && setcap cap_chown+ep "$p"'
        )
        before = root.snapshot()
        text = path.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
        text = re.sub("[\udc80-\udcff]", lambda bad: f"\\x{ord(bad[0]) - 0xDC00:02x}", text)
        actions = []
        for name in names:
            ref = RemediationRef.model_validate({"use": name, "with": {"path": "{path}"}})
            action = render(
                ref, knowledge.remediations[name], {"path": text}, knowledge.expected, "default", None, {"path"}
            )
            if action.command is None:
                assert raw.endswith(b"\n")
            else:
                actions.append(action)
        for action in actions:
            root.sh(str(action.command))
            root.sh(str(action.check))
        assert (differences(before, root.snapshot()) == []) == (actions == [])
        for action in actions:
            root.sh(str(action.rollback))
        assert differences(before, root.snapshot()) == []
        root.sh(f"p=$(printf '{octal}x') && rm -- \"${{p%x}}\"")

    tried()
