"""Each rule on findings of real scans: that it fires, and that it does not when a side is missing or another matter."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pipeline.finding import LEVELS
from pipeline.knowledge.predicates import compile_all
from pipeline.knowledge.schema import Selection
from tests.pipeline.composed import SCANS, Piece, correlator, groups, indexed, knowledge, real

WORDS = {
    "deleted_executable": ("critical", "deleted executable"),
    "world_writable_executable": ("high", "world-writable executable"),
    "environment_issue": ("medium", "suspicious environment"),
    "pattern_match": ("low", "suspicious patterns"),
}


def ioc(exe: str, kind: str, pid: int = 509, command: str | None = None) -> Piece:
    severity, word = WORDS[kind]
    made = real("web01-ioc.json", "ioc", "/tmp/.cache-helper:509").but(
        id=f"{exe}:{pid}", severity=severity, description=f"Process with {word}: {exe}"
    )
    made.finding["metadata"] = {"pid": str(pid), "command": command or exe.removesuffix(" (deleted)"), kind: "true"}
    return made


def process(pid: int, uid: int = 0, command: str = "/tmp/.cache-helper", **metadata: str) -> Piece:
    found = real("db02-users.json", "processes", "251")
    return found.but(id=str(pid), title=f"Process {pid}", description=command, metadata={"uid": str(uid), **metadata})


def setid(path: str) -> Piece:
    example = (
        "/usr/local/bin/logcat"
        if "/usr/local/" in path
        else "/usr/bin/sudo"
        if path.endswith("/su")
        else "/usr/bin/expiry"
    )
    return real("web01-fs-hygiene.json", "suid_sgid", example).but(id=path)


def writable(path: str) -> Piece:
    return real("web01-fs-hygiene.json", "world_writable", "/etc/app.conf").but(id=path)


def altered(path: str, flags: str = "??5??????") -> Piece:
    found = real("web01-wk2-integrity-full.json", "integrity", "pkg_mismatch:0")
    return found.but(metadata={"path": f"   {path}", "raw": f"{flags}   {path}"})


def matched(path: str) -> Piece:
    found = real("web01-wk2-rules.json", "yara", "/usr/local/bin/nightly-copy:yara:backup-exfil")
    return found.but(id=f"{path}:yara:backup-exfil", metadata={"path": path})


def started(pid: int, comm: str = ".cache-helper") -> Piece:
    found = real("web01-exec-watch.json", "ebpf_exec_trace", "proc.exec.detected")
    return found.but(title=f"Process execution detected: {comm} (PID: {pid})", metadata={"comm": comm, "pid": str(pid)})


def mount(what: str, place: str) -> Piece:
    tail = "tmp" if what.startswith("tmp") else "sensitive"
    source = real("web01-wk2-mounts-weak.json", "mounts", f"mount:{what}:{'/tmp' if tail == 'tmp' else '/home'}")
    return source.but(id=f"mount:{what}:{place}", metadata={"mount": place})


def nnp(unit: str, **changes: str) -> Piece:
    found = real("web01-base-full.json.gz", "systemd_units", "systemd:NoNewPrivileges:nullmailer.service")
    return found.but(
        id=f"systemd:NoNewPrivileges:{unit}", title=f"{unit} NoNewPrivileges", metadata={"unit": unit}, **changes
    )


def module(name: str, description: str, **metadata: str) -> Piece:
    found = real("web01-wk2-modules-anomalies.json", "modules", "veth")
    made = found.but(id=name, title=f"Module anomaly: {name}", description=description)
    made.finding["metadata"] = metadata
    return made


DROPPED = real("web01-ioc.json", "ioc", "/tmp/.cache-helper:509")
DISGUISED = real("web01-ioc.json", "ioc", "/usr/bin/sleep:513")
MINER = real("web01-ioc.json", "ioc", "/usr/bin/sleep:512")
PRELOADED = real("web01-ioc.json", "ioc", "/usr/bin/sleep:510")
ROBOT = real("web01-ioc.json", "ioc", "/usr/bin/sleep:514")
IN_ARGUMENT = real("web01-ioc.json", "ioc", "/usr/bin/tail:518")
UPGRADED = real("web01-wk2-rules.json", "ioc", "/usr/sbin/atd (deleted):354")
ALICE = real("db02-users.json", "ioc", "/home/alice/tool:587")

NO_EXECVE = real("micro-nolsm.json", "auditd", "auditd:execve")
EXECVE = real("web01-audit-partial.json", "auditd", "auditd:execve")
NO_RULES = real("micro-hardening.json", "auditd", "auditd:rules:missing")
INSMOD = real("web01-audit-partial.json", "auditd", "auditd:insmod")
NO_INSMOD = real("micro-nolsm.json", "auditd", "auditd:insmod")
NO_MAC = real("micro-nolsm.json", "mac", "mac_none")
PERMISSIVE = real("micro-selinux-permissive.json", "mac", "selinux")
APPARMOR = real("web01-ioc.json", "mac", "apparmor")
FAILED = real("web01-audit-error.json", "auditd", "auditd:error")
REFUSED = real("web01-unpriv.json", "auditd", "auditd:error")
HALF_SEEN = real("web01-unpriv.json", "mac", "apparmor")

PATH_DIR = real("web01-fs-hygiene.json", "world_writable", "/opt/tools/bin")
CAPABLE = real("web01-fs-hygiene.json", "world_writable", "/usr/local/bin/netprobe")
SETID_SHELL = real("web01-fs-hygiene.json", "world_writable", "/usr/local/bin/bash")
SETID_SCRIPT = real("web01-fs-hygiene.json", "world_writable", "/usr/local/bin/report-gen")
LIBRARY = real("web01-fs-hygiene.json", "world_writable", "/usr/local/bin/libhelper.so.1")
HOOK = real("web01-fs-hygiene.json", "world_writable", "/usr/local/bin/deploy-hook.sh")
SUDO = real("web01-ioc.json", "suid_sgid", "/usr/bin/sudo")
PING = real("web01-ioc.json", "world_writable", "/bin/ping")

UNSIGNED = real("web01-wk2-modules-anomalies.json", "modules", "veth")
FOREIGN = real("web01-wk2-modules-anomalies.json", "modules", "dummy")
MISREAD = real("web01-wk2-modules-anomalies.json", "modules", "kvm_amd")
CUT_SHORT = real("db02-modules-anomalies.json", "modules", "ext4")
HIDDEN = module("veth", "Module in /proc but not /sys", hidden_sysfs="true")
LOCKDOWN_OFF = real("web01-sysctl-weak.json", "kernel_hardening", "kernel:lockdown:disabled")
LOCKDOWN_ON = real("db02-full.json.gz", "kernel_hardening", "kernel:lockdown:integrity")
KEXEC = real("web01-sysctl-weak.json", "kernel_hardening", "kernel:sysctl:kexec_disabled")
NO_KEXEC = real("web01-sysctl-strong.json", "kernel_hardening", "kernel:sysctl:kexec_disabled")
EFI = real("db02-full.json.gz", "kernel_hardening", "kernel:secureboot:efi")

WEAK, STRONG = "web01-sysctl-weak.json", "web01-sysctl-strong.json"
ASLR = real(WEAK, "kernel_params", "/proc/sys/kernel/randomize_va_space")
ASLR_FULL = real("web01-base-default.json", "kernel_params", "/proc/sys/kernel/randomize_va_space")
KPTR = real(WEAK, "kernel_params", "/proc/sys/kernel/kptr_restrict")
DMESG = real(WEAK, "kernel_hardening", "kernel:sysctl:dmesg_restrict")
NO_DMESG = real(STRONG, "kernel_hardening", "kernel:sysctl:dmesg_restrict")
FORWARD = real(WEAK, "kernel_params", "/proc/sys/net/ipv4/ip_forward")
NO_FORWARD = real("web01-base-default.json", "kernel_params", "/proc/sys/net/ipv4/ip_forward")
SOURCE_ROUTE = real(WEAK, "kernel_hardening", "kernel:sysctl:accept_source_route")
NO_SOURCE_ROUTE = real("web01-base-full.json.gz", "kernel_hardening", "kernel:sysctl:accept_source_route")
CONTAINER = real("web01-containers.json", "containers", "container:c5d6e73f4e8a")
ACCOUNTS = real("db02-compliance-fail.json", "pci_compliance", "pci_dss_4_0:7.1")
ACCOUNTS_FINE = real("db02-full.json.gz", "pci_compliance", "pci_dss_4_0:7.1")
SSHD = real("db02-compliance-fail.json", "pci_compliance", "pci_dss_4_0:2.2.4")
SSHD_FINE = real("db02-full.json.gz", "pci_compliance", "pci_dss_4_0:2.2.4")
SYSLOG = real("db02-compliance-fail.json", "pci_compliance", "pci_dss_4_0:10.2")
SYSLOG_FINE = real("db02-full.json.gz", "pci_compliance", "pci_dss_4_0:10.2")


@dataclass(frozen=True)
class Case:
    """Findings for which a rule holds.

    Attributes:
        pieces: one for each side that the rule needs.
        raised: positions in `pieces` of those that the rule raises.
        instead: pieces to put in the place of another, each of which ends the pattern.
        beside: pieces whose presence ends the pattern.
        meta: fields of the report's header.
    """

    rule: str
    pieces: tuple[Piece, ...]
    raised: tuple[int, ...] = ()
    instead: tuple[tuple[int, Piece], ...] = ()
    beside: tuple[Piece, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)


ORDINARY = {"euid": "1001", "uid": "1001"}

CASES = [
    Case("process.runs_where_mount_lets_it", (DROPPED, mount("tmp-noexec-missing", "/tmp")), (0, 1),
         ((0, ALICE), (0, ioc("/var/tmp/x", "world_writable_executable")), (1, mount("tmp-noexec-missing", "/var/tmp")),
          (1, mount("tmp-nosuid-missing", "/tmp")))),
    Case("process.runs_where_mount_lets_it",
         (ioc("/dev/shm/a/b (deleted)", "deleted_executable"), mount("tmp-noexec-missing", "/dev/shm")), (0, 1),
         ((0, ioc("/dev/shmx/b (deleted)", "deleted_executable")),)),
    Case("process.service_account_runs_dropped_program", (DROPPED, process(509, 33)), (0,),
         ((0, ROBOT.but(id="/usr/bin/sleep:509")), (0, ALICE.but(id="/home/alice/tool:509")),
          (0, ioc("/tmpfs/.x", "world_writable_executable")), (1, process(509, 1000)), (1, process(50, 33)))),
    Case("process.service_account_runs_dropped_program",
         (ioc("/memfd:x (deleted)", "deleted_executable"), process(509, 998)), (0,),
         ((0, ioc("/usr/sbin/atd (deleted)", "deleted_executable")),)),
    Case("process.root_runs_dropped_program", (DISGUISED, process(513, 0)), (0,),
         ((0, IN_ARGUMENT.but(id="/usr/bin/tail:513")), (1, process(514, 0)), (1, process(513, 33)))),
    Case("process.dropped_program_in_container", (DROPPED, CONTAINER.but(metadata={"pid": "509"})), (0,),
         ((0, UPGRADED.but(id="/usr/sbin/atd (deleted):509")), (1, CONTAINER), (1, process(509)))),
    Case("process.dropped_program_in_container", (DROPPED, process(509, 0, container_id="c5d6e73f4e8a")), (0,)),
    Case("process.dropped_program_just_started", (DROPPED, started(509)), (0,), ((1, started(510)), (0, ALICE))),
    Case("process.disguise_beside_dropped_program", (DISGUISED, DROPPED), (0, 1), ((0, ROBOT), (1, UPGRADED))),
    Case("process.miner_beside_dropped_program", (MINER, DROPPED), (0, 1), ((0, ROBOT), (1, ALICE), (1, UPGRADED))),
    Case("process.preload_beside_dropped_program", (PRELOADED, DROPPED), (0,),
         ((0, ioc("/opt/vendor/java", "environment_issue")), (1, ioc("/opt/x (deleted)", "deleted_executable")),
          (1, ioc("/tmpfs/.x", "world_writable_executable")))),
    Case("process.start_not_recorded", (DROPPED, NO_EXECVE), (1,), ((0, IN_ARGUMENT), (1, EXECVE))),
    Case("process.start_not_recorded", (DROPPED, NO_RULES), (1,), ((1, NO_INSMOD),)),
    Case("process.nothing_confines_it", (DROPPED, NO_MAC), (1,), ((0, ROBOT), (1, APPARMOR))),
    Case("process.nothing_confines_it", (DROPPED, PERMISSIVE), (1,),
         ((1, PERMISSIVE.but(metadata={"enforcing": "true", "permissive": "false"}, severity="info")),)),
    Case("process.program_not_as_packaged", (UPGRADED, altered("/usr/sbin/atd")), (0, 1),
         ((0, UPGRADED.but(id="/usr/sbin/cron (deleted):354")), (1, altered("/usr/sbin/cron")),
          (1, altered("/usr/sbin/atd", "missing ")))),
    Case("process.program_matches_signature", (DROPPED, matched("/tmp/.cache-helper")), (0, 1),
         ((1, matched("/tmp/other")), (0, ALICE))),
    Case("process.program_writable_for_all", (HOOK, process(77, 0, "/usr/local/bin/deploy-hook.sh")), (0,),
         ((0, LIBRARY), (1, process(77, 0, "deploy-hook.sh")))),
    Case("process.program_writable_for_all",
         (writable("/usr/sbin/cron"), process(77, 0, "cron", exe_path="/usr/sbin/cron (deleted)")), (0,)),
    Case("process.program_writable_for_all",
         (writable("/bin/sleep"), PRELOADED), (0,), ((1, DROPPED),)),
    Case("process.program_writable_for_all_may_have_started", (HOOK, started(643, "deploy-hook.sh")), (),
         ((0, LIBRARY), (1, started(643, "deploy-hook")))),
    Case("process.runs_from_writable_search_path", (process(77, 0, "/opt/tools/bin/backup"), PATH_DIR), (1,),
         ((0, process(77, 0, "/opt/tools/binary/backup")), (1, PATH_DIR.but(id="/opt/other/bin")))),
    Case("process.runs_from_writable_search_path",
         (process(77, 0, "/opt/tools/bin/backup"), PATH_DIR.but(id="/opt/tools/bin/")), (1,)),
    Case("files.privileged_and_writable", (writable("/usr/bin/sudo"), SUDO), (0,),
         ((0, writable("/usr/bin/sudoedit")), (1, setid("/usr/local/bin/logcat")))),
    Case("files.privileged_and_writable", (writable("/usr/bin/ping"), PING), (0,)),
    Case("files.privileged_in_writable_search_path", (setid("/opt/tools/bin/runas"), PATH_DIR), (1,),
         ((0, setid("/usr/local/bin/logcat")), (1, PATH_DIR.but(id="/opt/tools/bin/sub")))),
    Case("files.setid_beside_writable_code", (setid("/usr/local/bin/logcat"), LIBRARY), (1,),
         ((0, setid("/usr/local/sbin/lsroot")), (0, SUDO), (1, writable("/usr/local/bin/notes.txt.bak")))),
    Case("files.setid_beside_writable_code", (CAPABLE, HOOK), (1,), ((0, PING),)),
    Case("files.setid_shell_seen_twice", (setid("/usr/local/bin/bash"), SETID_SHELL), (0,),
         ((0, setid("/usr/local/bin/zsh")), (1, SETID_SCRIPT))),
    Case("files.setid_script_seen_twice", (setid("/usr/local/bin/report-gen"), SETID_SCRIPT), (),
         ((0, setid("/usr/local/bin/bash")), (1, SETID_SHELL))),
    Case("files.setid_on_mount_that_honours_it", (setid("/home/alice/.cache/su"),
         mount("sensitive-nosuid-missing", "/home")), (0, 1),
         ((0, SUDO), (1, mount("sensitive-nosuid-missing", "/boot")), (1, mount("sensitive-nodev-missing", "/home")))),
    Case("files.privileged_not_as_packaged", (SUDO, altered("/usr/bin/sudo")), (1,),
         ((0, setid("/usr/bin/su")), (1, altered("/usr/bin/sudoreplay")), (1, altered("/usr/bin/sudo", "missing ")))),
    Case("files.privileged_matches_signature", (matched("/usr/local/bin/logcat"), setid("/usr/local/bin/logcat")), (0,),
         ((0, matched("/usr/local/bin/nightly-copy")),
          (0, real("web01-wk2-rules.json", "yara", "/usr/bin/debconf:yara:usr/bin/perl -w")))),
    Case("files.privileged_matches_signature", (matched("/usr/local/bin/deploy-hook.sh"), HOOK), (0,)),
    Case("files.program_changed_unrecorded", (altered("/usr/bin/login"), NO_EXECVE), (0,),
         ((0, altered("/etc/motd", "??5?????? c")), (0, altered("/usr/share/doc/x/copyright")), (1, EXECVE))),
    Case("files.account_file_writable", (writable("/etc/passwd"), ACCOUNTS), (0, 1),
         ((0, writable("/etc/app.conf")), (1, ACCOUNTS_FINE))),
    Case("files.ssh_configuration_open", (SSHD, writable("/etc/ssh/sshd_config")), (0, 1),
         ((0, SSHD_FINE), (1, writable("/etc/sshd_config")))),
    Case("files.ssh_configuration_open", (SSHD, altered("/usr/sbin/sshd")), (0, 1),
         ((1, altered("/usr/sbin/sshd", "missing ")),)),
    Case("files.foreign_setid_reachable_from_services", (setid("/usr/local/bin/logcat"), nnp("nullmailer.service")),
         (0,),
         ((0, SUDO), (1, nnp("ssh.service")), (1, nnp("kmod.service")),
          (1, nnp("nullmailer.service", description="NoNewPrivileges enforced", severity="info").but(
              metadata={"value": "yes"})))),
    Case("files.foreign_setid_beside_dropped_program", (setid("/usr/local/bin/logcat"), DROPPED), (0,),
         ((0, SUDO), (1, UPGRADED))),
    Case("mounts.tmp_mounted_with_defaults", tuple(
        mount(f"tmp-{option}-missing", "/var/tmp") for option in ("noexec", "nosuid", "nodev")), (),
         ((2, mount("tmp-nodev-missing", "/tmp")), (1, mount("tmp-nosuid-missing", "/tmp")))),
    Case("kernel.unsigned_module_unrestrained", (UNSIGNED, LOCKDOWN_OFF), (0, 1),
         ((0, MISREAD), (0, CUT_SHORT), (1, LOCKDOWN_ON))),
    Case("kernel.unsigned_module_unrestrained", (FOREIGN, LOCKDOWN_OFF), (0, 1)),
    Case("kernel.module_load_unrecorded", (FOREIGN, NO_INSMOD), (0,), ((0, MISREAD), (1, INSMOD), (1, NO_EXECVE))),
    Case("kernel.module_load_unrecorded", (HIDDEN, NO_RULES), (0,)),
    Case("kernel.rootkit_signs", (HIDDEN, DROPPED), (0, 1), ((0, UNSIGNED), (1, ROBOT))),
    Case("kernel.rootkit_signs",
         (real("web01-ioc.json", "modules", "kvm_amd").but(id="diamorphine", title="Module diamorphine"), DROPPED),
         (0, 1), ((0, real("web01-ioc.json", "modules", "kvm_amd")),)),
    Case("kernel.exploits_made_easy", (ASLR, KPTR, DMESG), (0,),
         ((0, ASLR_FULL), (1, real(STRONG, "kernel_params", "/proc/sys/kernel/kptr_restrict").but(
             metadata={"current": "1"})), (2, NO_DMESG))),
    Case("kernel.efi_without_lockdown", (EFI, LOCKDOWN_OFF, KEXEC), (), ((1, LOCKDOWN_ON), (2, NO_KEXEC))),
    Case("network.router_believes_senders", (FORWARD, SOURCE_ROUTE), (0, 1),
         ((0, NO_FORWARD), (1, NO_SOURCE_ROUTE)), (CONTAINER,)),
    Case("network.containers_explain_forwarding", (FORWARD, CONTAINER), (),
         ((0, NO_FORWARD), (1, real("web01-base-full.json.gz", "containers", "container:none")))),
    Case("containers.nothing_confines_them", (CONTAINER, NO_MAC), (1,), ((1, APPARMOR),)),
    Case("visibility.neither_confined_nor_recorded", (NO_MAC, NO_RULES), (1,), ((0, APPARMOR), (1, EXECVE))),
    Case("visibility.neither_logged_nor_audited", (SYSLOG, NO_EXECVE), (0, 1), ((0, SYSLOG_FINE), (1, EXECVE))),
    Case("visibility.scanner_failed_on_suspicious_host", (FAILED, DROPPED), (1,), ((1, IN_ARGUMENT),)),
    Case("visibility.scan_without_root", (REFUSED, HALF_SEEN), (), ((0, FAILED), (1, NO_MAC)), (),
         ORDINARY),
]  # fmt: skip

# All sides are there, and one of them is not what the rule means.
NEVER = [
    Case("files.setid_beside_writable_code", (setid("/usr/bin/crontab"), writable("/usr/bin/helper"))),
    Case("files.setid_script_seen_twice", (setid("/usr/local/bin/bash"), SETID_SHELL)),
    Case("files.setid_shell_seen_twice", (setid("/usr/local/bin/report-gen"), SETID_SCRIPT)),
    Case("files.privileged_matches_signature",
         (real("web01-wk2-rules.json", "yara", "/usr/bin/debconf:yara:usr/bin/perl -w"), writable("/usr/bin/debconf"))),
    Case("files.program_changed_unrecorded", (altered("/usr/bin/login", "missing "), NO_EXECVE)),
    Case("files.program_changed_unrecorded", (altered("/usr/bin/login"), NO_EXECVE), meta=ORDINARY),
    Case("files.foreign_setid_reachable_from_services",
         (setid("/usr/local/bin/logcat"), nnp("systemd-networkd-wait-online.service"))),
    Case("files.foreign_setid_reachable_from_services", (setid("/usr/local/bin/logcat"), nnp("exim4.service"))),
    Case("kernel.unsigned_module_unrestrained",
         (module("x", "Out-of-tree kernel module", out_of_tree="true", path="updates/dkms/x.ko"), LOCKDOWN_OFF)),
    Case("kernel.unsigned_module_unrestrained",
         (module("x", "Unsigned kernel module detected", unsigned="true", path="kernel/drivers/x/x.ko.xz"),
          LOCKDOWN_OFF)),
    Case("kernel.module_load_unrecorded", (FOREIGN, NO_INSMOD), meta=ORDINARY),
    Case("process.start_not_recorded", (DROPPED, NO_EXECVE), meta=ORDINARY),
    Case("process.program_matches_signature",
         (ioc("/usr/bin/debconf", "environment_issue"),
          real("web01-wk2-rules.json", "yara", "/usr/bin/debconf:yara:usr/bin/perl -w"))),
    Case("process.program_writable_for_all_may_have_started", (writable("/etc/app.conf"), started(643, "app.conf"))),
]  # fmt: skip

# What the corpora hold by construction; every other real scan is of a host on which no rule may hold.
ON_REAL_SCANS = {
    "micro-hardening.json": {
        "visibility.neither_confined_nor_recorded", "visibility.neither_logged_nor_audited",
    },
    "micro-nolsm.json": {"visibility.neither_confined_nor_recorded"},
    "web01-fs-extradirs.json": {"files.setid_beside_writable_code", "files.setid_script_seen_twice"},
    "web01-fs-hygiene.json": {"files.setid_beside_writable_code", "files.setid_script_seen_twice"},
    "web01-fs-hygiene.ndjson": {"files.setid_script_seen_twice"},
    "web01-ioc.json": {
        "process.disguise_beside_dropped_program", "process.miner_beside_dropped_program",
        "process.preload_beside_dropped_program",
    },
    "web01-ioc.ndjson": {"process.preload_beside_dropped_program"},
    "web01-sysctl-weak.json": {"kernel.exploits_made_easy", "network.router_believes_senders"},
    "web01-unpriv.json": {"visibility.scan_without_root"},
    "web01-weird-names.json": {
        "process.disguise_beside_dropped_program", "process.miner_beside_dropped_program",
        "process.preload_beside_dropped_program", "process.root_runs_dropped_program",
    },
    "web01-weird-names-pretty.json": {
        "process.disguise_beside_dropped_program", "process.miner_beside_dropped_program",
        "process.preload_beside_dropped_program", "process.root_runs_dropped_program",
    },
    "web01-wk2-mounts-weak.json": {"mounts.tmp_mounted_with_defaults"},
}  # fmt: skip


def names(case: Case) -> str:
    return f"{case.rule}:{case.pieces[0].finding['id']}"


def holds(case: Case, pieces: tuple[Piece, ...]) -> bool:
    return any(group.rule == case.rule for group in groups(pieces, **case.meta))


def lookups() -> Iterator[tuple[str, Selection]]:
    for key, named in knowledge().selections.items():
        yield from ((key, selection) for selection in named)
    for key, rule in knowledge().correlations.items():
        for member in (*rule.members.values(), *rule.absent):
            own = [member] if member.classes else []
            yield from ((key, selection) for selection in (*own, *member.or_))


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == set(knowledge().correlations)


@pytest.mark.parametrize("case", CASES, ids=names)
def test_a_rule_holds_for_the_findings_it_speaks_of(case: Case) -> None:
    (group,) = [group for group in groups(case.pieces, **case.meta) if group.rule == case.rule]
    assert group.members == tuple(range(len(case.pieces)))
    assert group.raised == frozenset(case.raised)
    assert (group.raises is None) == (not case.raised)


@pytest.mark.parametrize("case", CASES, ids=names)
def test_a_rule_does_not_hold_when_a_side_is_missing(case: Case) -> None:
    for left_out in range(len(case.pieces)):
        rest = case.pieces[:left_out] + case.pieces[left_out + 1 :]
        assert not holds(case, rest), left_out


@pytest.mark.parametrize("case", [case for case in CASES if case.instead or case.beside], ids=names)
def test_a_rule_does_not_hold_when_a_side_is_fine_or_about_something_else(case: Case) -> None:
    for position, other in case.instead:
        pieces = (*case.pieces[:position], other, *case.pieces[position + 1 :])
        assert not holds(case, pieces), (position, other.finding["id"])
    for other in case.beside:
        assert not holds(case, (*case.pieces, other)), other.finding["id"]


@pytest.mark.parametrize("case", NEVER, ids=names)
def test_a_rule_does_not_hold_for_what_only_looks_like_it(case: Case) -> None:
    assert not holds(case, case.pieces)


def test_every_rule_has_a_case_that_another_matter_ends() -> None:
    assert {case.rule for case in CASES if case.instead} == set(knowledge().correlations)


@pytest.mark.parametrize(
    "name", sorted(path.name for path in SCANS.iterdir() if path.is_file() and path.name != "index.json")
)
def test_on_real_scans_only_what_is_true_of_the_host_holds(name: str) -> None:
    found = correlator().correlate(indexed((SCANS / name).read_bytes()))
    assert {group.rule for group in found} == ON_REAL_SCANS.get(name, set())


def test_an_optional_member_is_listed_where_it_is() -> None:
    found = groups((UNSIGNED, LOCKDOWN_OFF, KEXEC))
    (group,) = [group for group in found if group.rule == "kernel.unsigned_module_unrestrained"]
    assert group.members == (0, 1, 2)
    assert group.raised == {0, 1}


def test_what_a_rule_asks_for_can_be_known_of_the_classes_it_names() -> None:
    for key, selection in lookups():
        compile_all(selection.when, knowledge().expected, "default")
        for predicate in selection.when:
            scope, _, name = predicate.what.partition(".")
            for class_id in selection.classes:
                spec = knowledge().classes[class_id]
                known = {"slot": set(spec.slots), "feature": set(spec.features)}.get(scope, {name})
                assert name in known, (key, class_id, predicate.what)


def test_every_selection_says_which_status_it_means() -> None:
    inventory = {"processes.inventory", "containers.container", "containers.kubepods"}
    for key, selection in lookups():
        stands_for_itself = all(
            class_id in inventory or {rule.status for rule in knowledge().classes[class_id].status} == {"info"}
            for class_id in selection.classes
        )
        asks = any(p.what in ("status", "feature.sees_all", "feature.rights") for p in selection.when)
        assert asks or stands_for_itself, (key, selection.classes)


def test_a_rule_crosses_classes_and_tells_an_operator_what_and_why() -> None:
    for key, rule in knowledge().correlations.items():
        assert len(rule.members) >= 2, key
        for text in (rule.title, rule.why, rule.first):
            assert text and "{" not in text and "\n" not in text, key
        assert len(rule.title) <= 120 and len(rule.why) <= 420 and len(rule.first) <= 260, key
        assert rule.raises is None or rule.raises in LEVELS[1:], key
        assert "TODO" not in rule.why + rule.first


def test_the_documentation_lists_every_rule_in_its_own_words() -> None:
    table = (SCANS.parents[2] / "docs" / "correlations.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line.split(" | ") for line in table.splitlines() if line.startswith("| `")}
    assert set(rows) == set(knowledge().correlations)
    for key, rule in knowledge().correlations.items():
        named, joins, raises, why, first = rows[key]
        assert named == f"| `{key}`<br>{rule.title}"
        assert joins
        assert raises == (f"{rule.raises}: {', '.join(rule.raise_members)}" if rule.raises else "nothing")
        assert (why, first) == (rule.why, f"{rule.first} |")
