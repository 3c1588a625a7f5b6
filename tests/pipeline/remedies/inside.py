"""Runs inside the namespaces of a throw-away root: builds the tree, enters it, and does what it is asked to.

Started by `throw_away.py` with the directory to build in. One JSON object a line comes in, one goes out. Nothing of the
host can be changed from here: programs and libraries are bound read-only, network settings are those of a network
namespace of its own, and settings of the kernel that have no namespace are files in a directory bound over them.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr")
PATH = "/stand-ins:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_NAMESPACED = ("abi", "debug", "dev", "fs", "kernel", "sunrpc", "user", "vm", "xen")
KERNEL = {
    "kptr_restrict": "0", "dmesg_restrict": "0", "sysrq": "438", "randomize_va_space": "1", "kexec_load_disabled": "0",
}  # fmt: skip
# Left behind by apt, dpkg and augenrules in any case; what they say about packages and rules is compared.
TRACES = (
    "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg/status-old", "/var/lib/dpkg/available",
    "/var/lib/dpkg/available-old", "/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/triggers",
    "/etc/audit/audit.rules.prev", "/run", "/dev", "/applets", "/stand-ins",
)  # fmt: skip
NOTES = "/var/lib/sysscan-undo"


def call(*words: str) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def build(root: Path) -> None:
    call("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
    for name in PROGRAMS:
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
        elif host.is_dir():
            (root / name).mkdir()
            call("mount", "--rbind", str(host), str(root / name))
            call("mount", "-o", "remount,bind,ro", str(root / name))
    for name in ("dev", "proc", "etc", "root", "run", "srv", "var/lib", "stand-ins", "boot/grub", "settings"):
        (root / name).mkdir(parents=True)
    for name in ("null", "zero", "urandom"):
        (root / "dev" / name).touch()
        call("mount", "--bind", f"/dev/{name}", str(root / "dev" / name))
    for name in ("ld.so.cache", "nsswitch.conf"):
        if Path("/etc", name).exists():
            (root / "etc" / name).write_bytes(Path("/etc", name).read_bytes())
    if Path("/etc/alternatives").is_dir():
        (root / "etc/alternatives").mkdir()
        call("mount", "--bind", "/etc/alternatives", str(root / "etc/alternatives"))
    call("mount", "-t", "proc", "proc", str(root / "proc"))
    for name in NOT_NAMESPACED:
        real = root / "proc/sys" / name
        if real.is_dir():
            ours = root / "settings" / name
            ours.mkdir()
            if name == "kernel":
                for key, value in KERNEL.items():
                    (ours / key).write_text(value + "\n")
            call("mount", "--bind", str(ours), str(real))
    os.chroot(root)
    os.chdir("/")
    os.umask(0o022)


def run(line: str, shell: list[str], path: str) -> dict[str, Any]:
    environment = {
        "PATH": path, "HOME": "/root", "LC_ALL": "C", "SYSTEMD_OFFLINE": "1", "DEBIAN_FRONTEND": "noninteractive",
    }  # fmt: skip
    done = subprocess.run(
        [*shell, "-c", line.encode("utf-8", "surrogateescape")], env=environment, cwd="/root",
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return {
        "rc": done.returncode,
        "out": done.stdout.decode(errors="replace"),
        "err": done.stderr.decode(errors="replace"),
    }


def snapshot() -> dict[str, str]:
    """Describe all that the actions may change, by name."""
    found: dict[str, str] = {}
    top = os.lstat("/").st_dev
    walk(b"/", top, found)
    for directory, below, names in os.walk("/proc/sys/net/ipv4"):
        if directory.endswith("/neigh"):
            below.clear()  # nothing here touches the tables of neighbours
        for name in names:
            try:
                found[f"setting {directory}/{name}"] = Path(directory, name).read_text().strip()
            except (OSError, UnicodeDecodeError):
                continue
    with Path("/proc/self/mountinfo").open() as lines:
        for number, line in enumerate(lines):
            fields = line.split()
            found[f"mount {number} {fields[4]}"] = " ".join(fields[5:])
    return found


def walk(path: bytes, top: int, found: dict[str, str]) -> None:
    name = path.decode("utf-8", "surrogateescape")
    if name.startswith(TRACES) or name in (NOTES, "/proc", "/etc/alternatives"):
        return
    about = os.lstat(path)
    said = [f"{about.st_mode:o} {about.st_uid}:{about.st_gid}"]
    if stat.S_ISREG(about.st_mode):
        content = Path(name).read_bytes()
        said.append(
            content.decode() if len(content) < 4096 and content.isascii() else hashlib.sha256(content).hexdigest()
        )
    elif stat.S_ISLNK(about.st_mode):
        said.append(str(Path(name).readlink()))
    said += [
        f"{key}={os.getxattr(path, key, follow_symlinks=False).hex()}"
        for key in sorted(os.listxattr(path, follow_symlinks=False))
        if key != "security.selinux"
    ]
    found[name] = " ".join(said)
    if stat.S_ISDIR(about.st_mode):
        with os.scandir(path) as entries:  # as bytes: a name need not be UTF-8
            inside = sorted(entry.path for entry in entries)
        for below in inside:
            # Programs of the host are on other devices; what the tests mount is tmpfs and looked into.
            if os.lstat(below).st_dev == top or below in (b"/tmp", b"/home", b"/var/tmp", b"/mnt"):
                walk(below, os.lstat(below).st_dev, found)


def notes() -> list[str]:
    return sorted(entry.name for entry in Path(NOTES).iterdir()) if Path(NOTES).is_dir() else []


def main() -> None:
    build(Path(sys.argv[1]))
    print(json.dumps({"ready": True, "mapped": mapped()}), flush=True)
    for asked in sys.stdin:
        request = json.loads(asked)
        answer: Any
        match request["do"]:
            case "run":
                answer = run(request["line"], request["shell"], request["path"])
            case "snapshot":
                answer = snapshot()
            case "notes":
                answer = notes()
        print(json.dumps(answer), flush=True)


def mapped() -> bool:
    """Say whether other ids than our own exist here, so that a file can have another owner."""
    with Path("/proc/self/gid_map").open() as lines:
        return any(int(line.split()[2]) > 1 for line in lines)


if __name__ == "__main__":
    main()
