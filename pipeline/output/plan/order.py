"""In which order actions work, and which of them no machine should begin.

An action has its place by its kind: packages come before what configures them (audit rules need the audit daemon), what
is switched off comes before what would be restarted, and what waits for a reboot comes last.
"""

from collections.abc import Mapping
from typing import Final

_KINDS: Final[Mapping[str, int]] = {
    "package": 10, "service": 20, "file_mode": 30, "file_capability": 31, "mount_option": 40, "config_file": 50,
    "sysctl": 60, "modprobe_block": 65, "audit_rule": 70, "systemd_dropin": 80, "process": 85, "kernel_cmdline": 90,
}  # fmt: skip
_BOOT: Final = 90
# Packages whose point is a word on the kernel command line.
_BOOTS: Final = frozenset({"apparmor.enable"})
LATE: Final = 99  # what this version does not know

# Actions with a command that is right only after somebody has looked at something that no report says.
LOOK_FIRST: Final[Mapping[str, str]] = {
    "apparmor.enforce_profiles": "what the profiles would have denied until now, the check lists",
    "kernel.lockdown": "modules without a trusted signature (ZFS, NVIDIA) no longer load after the reboot",
    "logging.install_rsyslog": "where journald with persistent storage is the chosen logging, nothing is missing",
    "module.block": "Docker and Podman need overlay, snap squashfs, the EFI partition vfat",
    "mount.tmp_noexec": "package scripts and Java or Python libraries may run programs from there",
    "package.reinstall": "a changed program is evidence; look at it before it is replaced",
    "package.reinstall_owner": "a changed program is evidence; look at it before it is replaced",
    "process.contain": "the report is a moment in the past; look whether it is still the same process",
    "selinux.enforce": "what SELinux would have denied until now, the check lists",
    "sysctl.ip_forward_off": "routers, VPN gateways and container hosts lose their network at once",
}


def place(action: str, kind: str | None) -> int:
    """Say where an action stands among others; what is smaller comes first."""
    return _BOOT if action in _BOOTS else _KINDS.get(kind or "", LATE)


def reboots(action: str, kind: str | None) -> bool:
    """Say whether an action takes effect at the next boot."""
    return place(action, kind) == _BOOT


def covered_by(action: str) -> str | None:
    """Name the action that does all that this one does; the same audit rule twice is an error of auditctl."""
    return "audit.rules_all" if action.startswith("audit.rules_") and action != "audit.rules_all" else None
