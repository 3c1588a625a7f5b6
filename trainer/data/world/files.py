"""Findings of the scanners that walk the file system, and of package verification."""

# ruff: noqa: S108 - paths of made-up hosts are written down, never opened.
from collections.abc import Iterator

from pipeline.finding import Severity
from trainer.data.world.host import Host, Raw

_EXPECTED = frozenset(
    {
        "passwd", "sudo", "chsh", "chfn", "newgrp", "gpasswd", "mount", "umount", "su", "pkexec", "traceroute6.iputils",
        "ping", "ping6", "ssh-agent",
    }
)  # fmt: skip
_WRITABLE = (
    "/etc/passwd", "/etc/shadow", "/etc/sudoers.d/ops", "/etc/ssh/sshd_config", "/etc/ssh/ssh_host_rsa_key",
    "/etc/profile",
    "/etc/cron.d/job", "/etc/systemd/system/app.service", "/etc/ld.so.preload", "/usr/lib/libfoo.so.1",
    "/usr/local/lib/libbar.so", "/usr/local/bin/deploy.sh", "/usr/bin/report.py", "/usr/bin/tool", "/opt/app/app.conf",
    "/etc/app.yaml", "/etc/ssl/private/site.key", "/opt/app/keys/id.pem", "/var/log/app.log", "/srv/share/data.bin",
    "/opt/app/db.sqlite", "/opt/app/site.tar.gz", "/etc/app.conf.bak", "/var/lib/app/x.tmp", "/usr/local/etc/app.ini",
    "/var/spool/cron/crontabs/root", "/etc/init.d/app", "/home/alice/.bashrc", "/boot/config-1", "/srv/www/index.php",
)  # fmt: skip
_SEARCH_PATH = (
    "/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/opt/tools/bin", "/home/alice/bin",
    "/root/bin",
    "bin", ".", "/usr/lib/jvm/bin", "/snap/bin", "/srv/tools", "/tmp/bin", "/usr/games",
    "/var/lib/flatpak/exports/bin",
)  # fmt: skip
_PATTERNS = (
    "usr/bin/perl -w", "#!/bin/sh", "xmrig", "stratum+tcp://", "http://example.test/x", "rule evil {", "strings:",
    "abc",
    "deadbeefcafe", "10.0.0.1", "curl http", "/dev/tcp/", "eval(base64", "backdoor", "wget",
)  # fmt: skip
_PACKAGED = (
    "/usr/bin/sudo", "/usr/sbin/sshd", "/bin/ls", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/security/pam_unix.so",
    "/usr/share/doc/bash/README", "/usr/share/man/man1/ls.1.gz", "/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko",
    "/boot/vmlinuz-6.1.0", "/lib/systemd/system/ssh.service", "/etc/pam.d/common-auth", "/etc/ssh/sshd_config",
    "/etc/crontab", "/etc/default/grub", "/usr/share/zoneinfo/UTC", "/var/lib/dpkg/status", "/opt/vendor/bin/tool",
    "/usr/include/stdio.h", "/srv/site/a.html",
)  # fmt: skip
_FLAGS = (
    "??5??????", "S.5....T.", ".M.......", "..5......", ".....U...", "......G..", ".......T.", "S........", "........P",
    "....L....", "...D.....", "missing  ", ".M...UG..",
)  # fmt: skip
_MESSAGES = (
    "dpkg: package 'libssl1.1' is not installed", "package openssh is not installed", "rpm: warning: cache is stale",
    "Unsatisfied dependencies for app-1.0: libfoo.so.1", "dpkg: warning: files list file missing", "something else",
)  # fmt: skip


def setid(host: Host) -> Iterator[Raw]:
    """Set-id files; the scanner judges by name and place only."""
    paths = {host.path() for _ in range(14)}
    paths.update(f"{place}/{name}" for place, name in _pairs(host))
    for path in sorted(paths):
        metadata: dict[str, str] = {}
        severity: Severity
        if "/usr/local/" in path:
            severity = "high"
        elif "/tmp/" in path:
            severity = "critical"
        elif path.rpartition("/")[2] in _EXPECTED:
            severity, metadata = "low", {"expected": "true"}
        else:
            severity = "medium"
        yield Raw("suid_sgid", path, severity, "SUID/SGID binary", "Binary has SUID or SGID bit set", metadata)


def _pairs(host: Host) -> Iterator[tuple[str, str]]:
    names = (
        "sudo",
        "su",
        "ping",
        "bash",
        "python3",
        "pkexec2",
        ".su",
        "sudo.old",
        "ѕu",
        "crontab",
        "helper",
        "unix_chkpwd",
    )
    places = (
        "/usr/bin",
        "/usr/local/bin",
        "/usr/lib/app/tmp",
        "/usr/libexec",
        "/opt/app/bin",
        "/var/lib/x",
        "/usr/sbin",
    )
    for _ in range(6):
        yield host.rng.choice(places), host.rng.choice(names)


def world_writable(host: Host) -> Iterator[Raw]:
    """World-writable files and directories, capabilities, setuid interpreters and hard links."""
    rng = host.rng
    for path in sorted({*rng.sample(_WRITABLE, 8), *(host.path() for _ in range(3))}):
        severity = "high" if path.startswith(("/usr", "/etc", "/bin", "/lib")) else "medium"
        yield Raw("world_writable", path, severity, "World-writable file", "File is world writable")  # type: ignore[arg-type]
    for path in sorted(set(rng.sample(_SEARCH_PATH, 2))):
        yield Raw(
            "world_writable", path, "high", "World-writable PATH directory",
            "Executable search path directory is world-writable", {"rule": "path_dir_world_writable"},
        )  # fmt: skip
    for path in sorted(
        {host.path() for _ in range(3)} | {rng.choice(("/usr/bin/ping", "/usr/local/bin/python3", "/opt/a/b"))}
    ):
        yield Raw(
            "world_writable", path, "medium", "File capabilities binary", "Binary has file capabilities set",
            {"rule": "file_capability"},
        )  # fmt: skip
    for path in rng.sample(
        ("/usr/local/bin/bash", "/usr/bin/perl", "/bin/sh", "/opt/x/run.sh", "/usr/local/bin/.py"), 2
    ):
        yield Raw(
            "world_writable", path, "critical", "Setuid interpreter", "Setuid shell or script interpreter",
            {"rule": "setuid_interpreter"},
        )  # fmt: skip
    path = rng.choice((host.path(), "/usr/bin/sudo", "/usr/bin/passwd"))
    yield Raw(
        "world_writable", f"{path}:dangling_suid_link", "high", "Dangling SUID hardlink",
        "SUID binary hardlinked into temporary/untrusted location",
        {"rule": "dangling_suid_hardlink", "paths": f"{path},/tmp/.keep", "paths_count": "2"},
    )  # fmt: skip


def signatures(host: Host) -> Iterator[Raw]:
    """Matches of the scanner's list of plain texts."""
    for _ in range(4):
        path, pattern = host.path(), host.rng.choice(_PATTERNS)
        yield Raw(
            "yara", f"{path}:yara:{pattern}", "medium", "Pseudo-YARA pattern match", "Pattern found in file prefix",
            {"path": path, "pattern": pattern},
        )  # fmt: skip


def packages(host: Host) -> Iterator[Raw]:
    """Deviations of packaged files, and the roll-up."""
    rng = host.rng
    tool = rng.choice(("dpkg", "rpm"))
    lines: list[str] = []
    only_messages = host.chance(0.2)
    for number in range(rng.choice((0, 2, 8))):
        path = rng.choice(_PACKAGED) if host.chance(0.8) else host.path()
        kind = "c " if path.startswith("/etc") and host.chance(0.7) else ""
        draw = rng.random()
        if draw < 0.2 or only_messages:
            line, shown = rng.choice(_MESSAGES), ""
        elif draw < 0.28:
            line, shown = f"missing   {kind}{path} (Permission denied)", path
        else:
            line, shown = f"{rng.choice(_FLAGS)} {kind}{path}", path
        lines.append(line)
        yield Raw(
            "integrity", f"pkg_mismatch:{number}", "medium", "Package file mismatch", f"{tool} verification mismatch",
            {"path": shown or line, "raw": line},
        )  # fmt: skip
        if shown and host.chance(0.4):
            yield Raw(
                "integrity", f"pkg_rehash:{shown}", "info", "Package mismatch file hash",
                "Recomputed SHA256 for mismatched file", {"sha256": f"{rng.getrandbits(256):064x}"},
            )  # fmt: skip
    metadata = {"pkg_mismatch_count": str(len(lines)), "scan_mode": rng.choice(("full", "quick"))}
    if lines or host.chance(0.5):
        metadata["pkg_tool"] = tool
    if lines:
        metadata["pkg_mismatch_sample"] = ",".join(line[:40] for line in lines[:10])
    severity: Severity = "medium" if lines else "info"
    if host.chance(0.6):
        metadata["ima_entries"] = rng.choice(("0", "1", "2041"))
        if metadata["ima_entries"] == "2041" and host.chance(0.5):
            metadata["ima_fail"] = "3"
            severity = "high"
    yield Raw(
        "integrity", "integrity_summary", severity, "Integrity summary", "Package / integrity verification",
        metadata,
    )  # fmt: skip
