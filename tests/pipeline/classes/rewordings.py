"""Findings of the real scans as another author would have worded them, each written by hand."""

from typing import NamedTuple


class Rewording(NamedTuple):
    """Other words for a finding of a class."""

    class_id: str
    title: str
    description: str


REWORDINGS = [
    Rewording("auditd.chmod", "File mode changes are audited", "No rule watches calls that change file modes"),
    Rewording("auditd.execve", "Program starts are audited", "There is no audit rule for execve"),
    Rewording("auditd.insmod", "Loading of modules is watched", "Nobody would see a module being loaded"),
    Rewording("auditd.rules_missing", "The audit daemon has no rules", "Neither rules.d nor audit.rules could be read"),
    Rewording("containers.container", "A container is running here", "Seen in the control groups of its processes"),
    Rewording("ebpf_exec_trace.disabled", "No eBPF on this host", "Falling back to something slower"),
    Rewording("ebpf_exec_trace.proc_exec_detected", "A process was started", "It appeared while the scan was running"),
    Rewording("integrity.pkg_mismatch", "File is not as packaged", "The package tool complains about it"),
    Rewording("integrity.summary", "Packages and measurements", "What package verification and IMA came to"),
    Rewording("ioc.deleted_executable", "Suspicious process", "The program file of this process is gone"),
    Rewording("ioc.suspicious_environment", "Suspicious process", "Its environment preloads a library"),
    Rewording("ioc.suspicious_patterns", "Suspicious process", "Its command line holds a word from the list"),
    Rewording("ioc.world_writable_executable", "Suspicious process", "It runs from where everybody may write"),
    Rewording("kernel_hardening.lockdown_disabled", "Lockdown is off", "The kernel does not lock root out of itself"),
    Rewording("kernel_hardening.sysctl_accept_redirects", "Redirects", "Routers near by may change our routes"),
    Rewording("kernel_hardening.sysctl_kptr_restrict", "Kernel pointers", "Addresses of the kernel can be read"),
    Rewording("kernel_hardening.tpm_absent", "This host lacks a TPM", "No trusted platform module answers"),
    Rewording("kernel_params.randomize_va_space", "Address space randomisation", "Wanted: value two, in full"),
    Rewording("mac.apparmor", "State of AppArmor", "Whether AppArmor confines programs here"),
    Rewording("mac.selinux", "State of SELinux", "Whether SELinux is on, and enforcing"),
    Rewording("modules.anomaly_missing_file", "Odd module", "Its file is nowhere below the modules directory"),
    Rewording("modules.anomaly_unsigned", "Odd module", "No signature was found in its file"),
    Rewording("modules.loaded", "A module of the kernel", "In use at the time of the scan"),
    Rewording("mounts.tmp_noexec_missing", "Programs can run from /tmp", "The file system was mounted without noexec"),
    Rewording("pci_compliance.7_1", "Requirement 7.1", "Who may read the files of passwords"),
    Rewording("suid_sgid.expected", "Runs as its owner", "This program has a set-id bit, as is usual"),
    Rewording("suid_sgid.usr_local", "Runs as its owner", "This program was installed by hand and has a set-id bit"),
    Rewording("systemd_units.NoNewPrivileges", "May gain privileges", "The unit does not rule out new privileges"),
    Rewording("systemd_units.PrivateTmp", "Shares /tmp", "The unit sees the temporary files of all others"),
    Rewording("world_writable.file_capability", "Privileged without set-id", "Capabilities are attached to this file"),
]
