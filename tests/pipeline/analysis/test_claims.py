"""What a sentence says of a case has to be so in the case; what is true is let through."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.analysis.claims import unsupported
from pipeline.analysis.critique import critique
from pipeline.analysis.prompt import Case
from pipeline.analysis.question import Answer
from pipeline.scorecard.holdouts import read_holdouts


def case(class_id: str, status: str = "open", **features: str) -> Case:
    title = class_id.partition(".")[2].replace("_", " ")
    return Case(class_id, "host", title, status, "low", features, placeholders=("unit", "module", "path", "pid"))  # type: ignore[arg-type]


POINTERS = case("kernel_params.kptr_restrict", value="0")
SELINUX = case("mac.selinux", mode="absent", platform="apparmor")
APPARMOR = case("mac.apparmor", mode="on")
MODULE = case("modules.loaded", family="graphics")
UNIT = case("systemd_units.ProtectHome", role="core", advice="set")
SETID = case("suid_sgid.unexpected", place="srv", owner="none")
MOUNT = case("mounts.tmp_nosuid_missing", missing="nosuid+nodev")

FALSE: list[tuple[str, Case, str]] = [
    ("value", POINTERS, "Kernel pointers are hidden from users (value 1), but the policy asks for more."),
    ("value", POINTERS, "The setting kernel.kptr_restrict is 2 on this host."),
    ("value", case("kernel_params.rp_filter"), "The value of net.ipv4.conf.all.rp_filter is 0, the kernel's default."),
    ("role", UNIT, "{unit} runs the network interfaces and may reach /home."),
    ("role", UNIT, "{unit} is no unit of our list and does not set ProtectHome=yes."),
    ("place", SETID, "{path} is set-id and lies in a temporary directory."),
    ("place", SETID, "{path} lies below /etc, where programs are not expected."),
    ("family", MODULE, "{module} is a common module (network card)."),
    ("family", MODULE, "{module} drives a network card."),
    ("family", case("processes.inventory", program="shell"), "It is for a file system."),
    ("program", case("processes.inventory", program="shell"), "Process {pid}, a backup tool, was running."),
    ("runtime", case("containers.container", runtime="docker"), "The container runs under containerd."),
    ("setting", UNIT, "PrivateTmp=yes is missing from {unit}."),
    ("setting", MOUNT, "The options noexec and nosuid are not set."),
    ("state", SELINUX, "AppArmor is absent and off, so nothing confines services."),
    ("state", SELINUX, "SELinux is on and enforces."),
    ("state", APPARMOR, "AppArmor is off although this distribution starts it."),
    ("state", SETID, "SELinux is disabled on this host."),
    ("state", case("kernel_params.ip_forward", value="1"), "IPv4 forwarding is off."),
    ("state", replace(UNIT, status="passed"), "ProtectHome=yes is missing from {unit}."),
    ("state", UNIT, "{unit} sets ProtectHome=yes as it should."),
    ("unit", UNIT, "The unit nginx.service does not set ProtectHome=yes."),
    ("count", SETID, "There are three programs like {path} on the host."),
    ("count", SETID, "It concerns 12 files in all."),
]


@pytest.mark.parametrize(("dimension", "of", "text"), FALSE, ids=range(len(FALSE)))
def test_what_the_case_does_not_support_is_refused(dimension: str, of: Case, text: str) -> None:
    assert unsupported(of, text) == dimension
    answer = Answer(assessment=text, impact="Look at it.", level="low")
    assert critique(of, answer) is not None


TRUE: list[tuple[Case, str]] = [
    (POINTERS, "With kernel.kptr_restrict at 0, any user can read kernel addresses (value 0). The policy asks for 2."),
    (UNIT, "{unit} is part of the system's core and may reach /home; ProtectHome=yes is not set."),
    (SETID, "{path} is set-id and lies in a directory for served data."),
    (MODULE, "{module} is a common module (graphics)."),
    (MOUNT, "The options nosuid and nodev are missing. All three options would mend it with noexec."),
    (SELINUX, "SELinux is absent and AppArmor is off, so nothing confines services."),
    (SELINUX, "Neither SELinux nor AppArmor is active."),
    (APPARMOR, "AppArmor is on, but {pid} processes run unconfined."),
    (case("kernel_params.tcp_syncookies", value="0"), "SYN cookies are off; the kernel's default is on."),
    (replace(UNIT, status="passed"), "{unit} sets ProtectHome=yes: it cannot see home directories."),
    (SETID, "The scanner hashes only the first 128 KiB, and few such files are legitimate."),
]


@pytest.mark.parametrize(("of", "text"), TRUE, ids=range(len(TRUE)))
def test_what_the_case_supports_is_let_through(of: Case, text: str) -> None:
    assert unsupported(of, text) is None


def test_hardly_a_true_sentence_of_the_frozen_holdouts_is_refused() -> None:
    golds = [gold for cases in read_holdouts().cases.values() for gold in cases]
    said: list[tuple[Any, ...]] = []
    for gold in golds:
        wrong = unsupported(gold.case, f"{gold.answer.assessment} {gold.answer.impact}")
        if wrong is not None:
            said.append((wrong, gold.case.class_id, gold.case.features, gold.answer.assessment))
    assert len(golds) == 800 and len(said) < 0.01 * len(golds), said
    # What is refused there is false: a value that the case does not have.
    assert {wrong for wrong, *_ in said} <= {"value"}
