"""Findings about kernel settings, boot, audit rules, access control, mounts, and the scanner's own checks."""

# ruff: noqa: S108 - paths of made-up hosts are written down, never opened.
from collections.abc import Iterator

from trainer.data.world.host import Host, Raw

# id word, title, path below /proc/sys, wanted value, description when it is and when it is not, severity.
_HARDENING = (
    ("kptr_restrict", "kptr_restrict", "kernel/kptr_restrict", "1", "Kernel pointers restricted",
     "Kernel pointers not restricted", "low", ("0", "1", "2", "7")),
    ("dmesg_restrict", "dmesg_restrict", "kernel/dmesg_restrict", "1", "dmesg restricted", "dmesg not restricted",
    "low",
     ("0", "1", "5")),
    ("rp_filter", "rp_filter", "net/ipv4/conf/all/rp_filter", "1", "rp_filter strict", "rp_filter not strict", "low",
     ("0", "1", "2", "9")),
    ("accept_redirects", "accept_redirects", "net/ipv4/conf/all/accept_redirects", "0", "ICMP redirects blocked",
     "ICMP redirects accepted", "low", ("0", "1", "3")),
    ("accept_source_route", "accept_source_route", "net/ipv4/conf/all/accept_source_route", "0",
     "Source routed packets blocked", "Source routed packets accepted", "low", ("0", "1", "-1")),
    ("tcp_syncookies", "tcp_syncookies", "net/ipv4/tcp_syncookies", "1", "tcp_syncookies on", "tcp_syncookies off",
    "low",
     ("0", "1", "2", "4")),
    ("sysrq", "sysrq controls", "kernel/sysrq", "0", "sysrq disabled", "sysrq not fully disabled", "low",
     ("0", "1", "16", "176", "438", "8", "9999")),
    ("kexec_disabled", "kexec disabled", "kernel/kexec_load_disabled", "1", "kexec disabled", "kexec not disabled",
    "medium",
     ("0", "1", "6")),
)  # fmt: skip
_PARAMS = (
    ("/proc/sys/kernel/randomize_va_space", "ASLR should be full (2)", "2", "medium", ("0", "1", "2", "3")),
    ("/proc/sys/kernel/kptr_restrict", "Kernel pointer addresses restricted", "1", "low", ("0", "1", "2", "8")),
    ("/proc/sys/net/ipv4/conf/all/rp_filter", "Reverse path filtering", "1", "low", ("0", "1", "2", "4")),
    ("/proc/sys/net/ipv4/ip_forward", "IP forwarding disabled unless a router", "0", "info", ("0", "1", "x")),
)
_AUDIT = ("execve", "setuid", "setgid", "chmod", "chown", "capset")
_PLACES = (
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/home",
    "/home/alice",
    "/var",
    "/boot",
    "/boot/efi",
    "/data",
    "/srv",
    "/var/log",
)
_TYPES = ("tmpfs", "ext4", "xfs", "btrfs", "nfs4", "vfat", "fuse.sshfs", "zfs", "overlay", "weird")
_MOUNTS = {
    "tmp-noexec-missing": ("medium", "/tmp style mount missing noexec",
        "Temporary directory mount lacks noexec which can allow execution from world-writable space"),
    "tmp-nosuid-missing": ("medium", "/tmp style mount missing nosuid",
                           "Temporary directory mount lacks nosuid lowering barrier to SUID exploitation"),
    "tmp-nodev-missing": ("low", "/tmp style mount missing nodev",
                          "Temporary directory mount lacks nodev allowing device nodes"),
    "sensitive-nosuid-missing": ("low", "Sensitive mount missing nosuid", "Expected nosuid on sensitive mount"),
    "sensitive-nodev-missing": ("low", "Sensitive mount missing nodev", "Expected nodev on non-device mount"),
    "bind-generic": ("info", "Bind mount present", "Non-standard bind mount; review necessity"),
    "home-exec": ("info", "/home mounted exec",
    "Home directory allows execution; consider noexec for stricter hardening"),
}  # fmt: skip
_CHECKS = {
    "10.2": ("medium", "Logging configuration present (/etc/rsyslog.conf or /etc/syslog.conf)"),
    "2.2.4": ("medium", "Critical system file permissions restrictive (/etc/ssh/sshd_config)"),
    "3.4": ("medium", "Sensitive data encryption configurations present (approximation)"),
    "7.1": ("high", "Access control files have expected permissions (/etc/passwd, /etc/shadow)"),
}
_ERRORS = (
    "filesystem error: status: Permission denied [etc/audit/audit.rules]",
    "filesystem error: directory iterator cannot open directory: Not a directory [etc/audit/rules.d]",
    "filesystem error: No such file or directory [x]", "stoi", "std::bad_alloc", "Too many open files",
    "Input/output error", "Too many levels of symbolic links", "regex_error", "something odd",
    "Operation not permitted",
)  # fmt: skip


def kernel(host: Host) -> Iterator[Raw]:
    """Kernel parameters, hardening settings and boot."""
    rng = host.rng
    for word, title, path, wanted, good, bad, severity, values in _HARDENING:
        value = rng.choice(values)
        fine = value == wanted
        yield Raw(
            "kernel_hardening", f"kernel:sysctl:{word}",
            "info" if fine else severity, title, good if fine else bad,  # type: ignore[arg-type]
            {"expected": wanted, "path": f"/proc/sys/{path}", "value": value},
        )  # fmt: skip
    for path, description, wanted, severity, values in _PARAMS:
        value = rng.choice(values)
        metadata = {"current": value, "desired": wanted}
        if value != wanted:
            metadata["status"] = "mismatch"
        yield Raw("kernel_params", path, "info" if value == wanted else severity, path, description, metadata)  # type: ignore[arg-type]
    modes = {
        "disabled": ("medium", "Kernel lockdown inactive",
                     "Kernel lockdown not enforced; consider integrity or confidentiality mode"),
        "integrity": ("info", "Kernel lockdown integrity mode", "Kernel lockdown integrity mode active"),
        "confidentiality": ("info", "Kernel lockdown confidentiality mode",
        "Kernel lockdown confidentiality mode active"),
    }  # fmt: skip
    mode = rng.choice(sorted(modes))
    level, title, text = modes[mode]
    yield Raw("kernel_hardening", f"kernel:lockdown:{mode}", level, title, text, {"raw": f"[{mode}]"})  # type: ignore[arg-type]
    if host.chance(0.6):
        yield Raw("kernel_hardening", "kernel:secureboot:efi", "info", "EFI firmware detected",
                  "System booted with EFI (secure boot state heuristic)", {"efi": "present"})  # fmt: skip
        yield Raw("kernel_hardening", "kernel:secureboot:dbx-missing", "low", "EFI dbx revocation list not detected",
                  "Could not locate dbx revocation entries (heuristic)")  # fmt: skip
    if host.chance(0.5):
        yield Raw("kernel_hardening", "kernel:tpm:absent", "low", "No TPM device",
                  "TPM not detected (may reduce attestation options)")  # fmt: skip
    else:
        yield Raw(
            "kernel_hardening", "kernel:tpm:present", "info", "TPM device present", "Trusted Platform Module detected"
        )
    if host.chance(0.5):
        appraise = host.chance(0.5)
        yield Raw("kernel_hardening", "kernel:ima:policy", "info", "IMA policy present",
                  "IMA policy includes appraisal" if appraise else "IMA policy lacks explicit appraisal",
                  {"appraise": "yes" if appraise else "no"})  # fmt: skip


def audit(host: Host) -> Iterator[Raw]:
    """Audit rules."""
    if host.chance(0.3):
        yield Raw(
            "auditd", "auditd:rules:missing", "medium", "No auditd rules detected", "Could not read auditd rules files"
        )
        return
    for call in _AUDIT:
        there = host.chance(0.4)
        good = "Execve syscall auditing present" if call == "execve" else f"{call} syscall auditing present"
        yield Raw("auditd", f"auditd:{call}", "info" if there else "medium", f"Audit {call} present",
                  good if there else f"Audit {call} present missing")  # fmt: skip
        if call == "execve" and not there:
            yield Raw("auditd", "auditd:execve:absent", "high", "Execve auditing missing",
                      "Audit rules lack -S execve; process execution coverage incomplete")  # fmt: skip
    there = host.chance(0.4)
    yield Raw("auditd", "auditd:insmod", "info" if there else "medium", "Module load auditing",
              "Module load operations likely audited" if there else "Module load auditing missing")  # fmt: skip


def access_control(host: Host) -> Iterator[Raw]:
    """SELinux and AppArmor."""
    rng = host.rng
    selinux = rng.choice(("enforcing", "permissive", "absent", "absent", "unreadable"))
    apparmor = rng.choice(("on", "on", "off", "N"))
    if host.chance(0.25):
        selinux, apparmor = "absent", "off"
    metadata = {"present": "false" if selinux == "absent" else "true"}
    if selinux in ("enforcing", "permissive"):
        metadata[selinux] = "true"
        if host.chance(0.8):
            metadata["config_mode"] = rng.choice(("enforcing", "permissive", "disabled", "odd"))
    neither = selinux == "absent" and apparmor == "off"
    severity = {"enforcing": "info", "permissive": "medium"}.get(
        selinux, rng.choice(("high", "low")) if neither else "low"
    )
    yield Raw("mac", "selinux", severity, "SELinux status", "SELinux detection", metadata)  # type: ignore[arg-type]
    metadata = {"enabled": "false" if apparmor == "off" else "true"}
    bad = False
    if apparmor != "off":
        metadata["mode_line"] = "N" if apparmor == "N" else "Y"
        metadata["profiles_seen"] = "95"
        metadata["complain_count"] = rng.choice(("0", "0", "3", "17"))
        metadata["unconfined_critical"] = rng.choice(("0", "2", "9"))
        bad = metadata["unconfined_critical"] != "0"
    severity = "high" if apparmor == "off" else "medium" if bad else "info"
    if apparmor == "off" and host.chance(0.3):
        severity = "info"
    yield Raw("mac", "apparmor", severity, "AppArmor status", "AppArmor detection", metadata)  # type: ignore[arg-type]
    if neither:
        yield Raw("mac", "mac_none", rng.choice(("high", "low")), "No MAC enforcement",
                  "Neither SELinux nor AppArmor appears active")  # fmt: skip
    if selinux != "absent" and apparmor != "off":
        yield Raw("mac", "mac_dual", "info", "Dual MAC layers",
                  "Both SELinux and AppArmor appear present (double-check for conflicts)")  # fmt: skip


def mounts(host: Host) -> Iterator[Raw]:
    """Mounts without protective options."""
    rng = host.rng
    for _ in range(4):
        place, fstype = "/home" if host.chance(0.2) else rng.choice(_PLACES), rng.choice(_TYPES)
        given = [option for option in ("nosuid", "nodev", "noexec") if host.chance(0.4)]
        metadata = {
            "device": "/dev/sda1",
            "fstype": fstype,
            "mount": place,
            "options": ",".join(["rw", *given, "relatime"]),
        }
        temporary = place in ("/tmp", "/var/tmp", "/dev/shm")
        missing = [option for option in ("noexec", "nosuid", "nodev") if option not in given]
        kinds = [f"tmp-{option}-missing" for option in missing] if temporary else []
        kinds += [f"sensitive-{option}-missing" for option in missing if option != "noexec"]
        if place == "/home" and "noexec" in missing:
            kinds.append("home-exec")
        if host.chance(0.2):
            kinds.append("bind-generic")
        for kind in kinds:
            severity, title, text = _MOUNTS[kind]
            yield Raw("mounts", f"mount:{kind}:{place}", severity, title, text, metadata)  # type: ignore[arg-type]


def compliance(host: Host) -> Iterator[Raw]:
    """The scanner's PCI checks."""
    for number, (severity, requirement) in _CHECKS.items():
        metadata = {"control_id": number, "requirement": requirement, "standard": "pci_dss_4_0"}
        draw = host.rng.random()
        metadata["passed"] = "true" if draw < 0.4 else "false"
        if draw > 0.9:
            metadata["not_applicable"] = "true"
        elif draw > 0.8:
            metadata["rationale"] = "test_exception"
        yield Raw("pci_compliance", f"pci_dss_4_0:{number}", severity, f"pci_dss_4_0 control {number}", requirement,  # type: ignore[arg-type]
                  metadata, score=0)  # fmt: skip


def errors(host: Host) -> Iterator[Raw]:
    """Scanners that gave up, and findings of scanners that nobody here knows."""
    rng = host.rng
    scanners = sorted({spec.scanner for spec in host.knowledge.classes.values()} - {"*"})
    for name in rng.sample(scanners, 3):
        yield Raw(name, f"{name}:error", "error", "Scanner error", rng.choice(_ERRORS))
    for name in rng.sample(("usb_devices", "cloud_init", "ssh_keys", "dns_config"), 2):
        yield Raw(name, f"{name}:{rng.randint(1, 99)}", rng.choice(("info", "low", "medium", "high", "critical")),
                  "Something of a scanner to come", "Words that no class knows")  # fmt: skip
