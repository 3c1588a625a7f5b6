import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.features.process import (
    command_match,
    command_relation,
    deleted_executable,
    flags_set,
    pattern_kind,
    prefix_only,
    tool_kind,
)
from pipeline.features.registry import FeatureContext
from pipeline.finding import ScanHeader
from pipeline.knowledge.schema import Knowledge, ToolFact

HERE = FeatureContext(
    ScanHeader("json"),
    Knowledge(
        tools={
            "bash": ToolFact(kind="shell"),
            "python": ToolFact(kind="interpreter"),
            "sshd": ToolFact(kind="service"),
            "kworker": ToolFact(kind="kernel_thread"),
        }
    ),
    "default",
)


@pytest.mark.parametrize(
    ("exe", "kind"),
    [
        ("/memfd:payload (deleted)", "memfd"),
        ("/memfd:cut off at 255 bytes", "memfd"),
        ("/memfd:runc_cloned:/proc/self/exe (deleted)", "runtime_memory"),
        ("/memfd:runc_cloned (deleted)", "memfd"),
        ("/usr/bin/udevadm (deleted)", "early_udev"),
        ("/lib/systemd/systemd-udevd (deleted)", "early_udev"),
        ("/tmp/udevadm (deleted)", "temporary"),
        ("/dev/shm/x (deleted)", "temporary"),
        ("/usr/sbin/atd (deleted)", "distribution"),
        ("/usr/local/bin/agentd (deleted)", "local"),
        ("/home/a/x (deleted)", "home"),
        ("/var/lib/docker/overlay2/x/y (deleted)", "container"),
        ("/srv2/x (deleted)", "other"),
        ("/usr/bin/tool (deleted) copy", "mark_in_name"),
        ("/usr/bin/tool(deleted)", "mark_in_name"),
    ],
)
def test_deleted_executables_are_told_apart(exe: str, kind: str) -> None:
    assert deleted_executable(HERE, exe) == kind


@pytest.mark.parametrize(
    ("command", "match"),
    [
        ("xmrig", "miner"),
        ("/opt/x/minerd", "miner"),
        ("[kworker/u8:3]", "kernel_name"),
        ("bot", "bot"),
        ("my-bot", "bot"),
        ("chatbot-relay", "bot_inside"),
        ("certbot", "bot_inside"),
        ("/tmp/.x", "temporary_path"),
        ("/home/a/x", "home_path"),
        ("tail", "unseen"),
        (None, None),
    ],
)
def test_what_the_word_list_hit_is_told_most_telling_first(command: str | None, match: str | None) -> None:
    assert command_match(HERE, command) == match


@pytest.mark.parametrize(
    ("exe", "command", "relation"),
    [
        ("/usr/bin/sleep", "sleep", "same"),
        ("/usr/bin/sleep", "/bin/sleep", "same"),
        ("/usr/bin/sleep", "xmrig", "different"),
        ("/usr/bin/sleep", "[kworker/u8:3]", "kernel_thread"),
        ("/usr/bin/sleep", "kworker/0:1", "kernel_thread"),
        ("/usr/bin/bash", "-bash", "login_shell"),
        ("/usr/sbin/sshd", "sshd: alice [priv]", "title"),
        ("/usr/bin/python3.11", "python3", "alias"),
        ("/usr/bin/dash", "sh", "alias"),
        ("/usr/bin/udevadm (deleted)", "/lib/systemd/systemd-udevd", "alias"),
        ("/usr/lib/systemd/systemd", "(sd-pam)", "alias"),
        ("/usr/bin/7", "8", "different"),
    ],
)
def test_a_name_is_compared_with_its_executable(exe: str, command: str, relation: str) -> None:
    assert command_relation(HERE, exe, command) == relation


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("/usr/bin/bash", "shell"),
        ("-bash", "shell"),
        ("/usr/bin/python3.11", "interpreter"),
        ("sshd: alice [priv]", "service"),
        ("[kworker/0:1-events]", "kernel_thread"),
        ("/tmp/implant", None),
    ],
)
def test_tools_are_known_by_any_of_their_names(value: str, kind: str | None) -> None:
    assert tool_kind(HERE, value) == kind


def test_the_prefix_test_of_the_scanner_lacks_a_slash() -> None:
    assert prefix_only(HERE, "/homes/a") == prefix_only(HERE, "/tmpfs/x") == "true"
    assert prefix_only(HERE, "/home/a") is prefix_only(HERE, "/tmp/x") is None


def test_flags_are_joined_in_the_order_of_their_names() -> None:
    assert flags_set(HERE, "true", "true", names="a,b") == "a+b"
    assert flags_set(HERE, None, "true", names="a,b") == "b"
    assert flags_set(HERE, "false", None, names="a,b") is None


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("usr/bin/perl -w", "interpreter_line"),
        ("#!/bin/sh", "interpreter_line"),
        ("https://evil.exam", "url"),
        ("wget -q http", "shell_command"),
        ("deadbeefdeadbeef", "hex"),
        ("198.51.100.7", "address"),
        ("rule Miner {", "yara_syntax"),
        ("abc", "short"),
        ("backup-exfil", "word"),
        ("perlite", "word"),
    ],
)
def test_signatures_are_classed_by_what_they_look_like(pattern: str, kind: str) -> None:
    assert pattern_kind(HERE, pattern) == kind


WORDS = {
    None, "memfd", "runtime_memory", "early_udev", "temporary", "home", "local", "distribution", "container",
    "app_bundle", "other", "mark_in_name", "miner", "malware_word", "kernel_name", "bot", "bot_inside",
    "temporary_path", "home_path", "unseen", "same", "alias", "title", "login_shell", "kernel_thread",
    "different", "shell", "interpreter", "service", "true", "url", "interpreter_line", "shell_command", "hex",
    "address", "path", "yara_syntax", "short", "word",
}  # fmt: skip


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_part_of_a_name_comes_out(exe: str, command: str) -> None:
    assert {
        deleted_executable(HERE, exe), command_match(HERE, command), command_relation(HERE, exe, command),
        tool_kind(HERE, exe), tool_kind(HERE, command), prefix_only(HERE, exe), pattern_kind(HERE, command),
    } <= WORDS  # fmt: skip
