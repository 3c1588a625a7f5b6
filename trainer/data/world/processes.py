"""Findings about processes, program starts, sockets and containers."""

# ruff: noqa: S108 - paths of made-up hosts are written down, never opened.
from collections.abc import Iterator
from typing import Any

from trainer.data.world.host import Host, Raw

_EXECUTABLES = (
    "/usr/sbin/sshd", "/usr/sbin/nginx", "/usr/bin/python3.11", "/usr/bin/bash", "/usr/bin/perl", "/usr/sbin/cron",
    "/usr/lib/postgresql/15/bin/postgres", "/usr/bin/sleep", "/usr/bin/udevadm", "/usr/lib/systemd/systemd-udevd",
    "/opt/vendor/bin/agentd", "/usr/local/bin/app", "/home/alice/dev/app", "/tmp/.x/run", "/dev/shm/a",
    "/var/tmp/job",
    "/memfd:x (deleted)", "/memfd:runc_cloned:/proc/self/exe (deleted)", "/snap/app/1/bin/app",
    "/var/lib/docker/overlay2/x/bin/app", "/usr/bin/containerd", "/tmp/kinsing", "/var/tmp/xmrig",
    "/homes/app/run",
    "/tmpfs/run", "/tmp/a (deleted).sh", "/usr/bin/node", "/srv/app/bin/web", "/dev/shm/.b",
)  # fmt: skip
_COMMANDS = (
    "[kworker/0:1]", "kworker/u8:2", "[kthreadd]", "xmrig", "./minerd", "cryptominer", "chatbot", "bot", "irc bot",
    "/tmp/x", "/home/alice/app", "backdoor", "keylogger", "-bash", "sshd: alice [priv]", "nginx: master process",
    "python3",
    "/usr/bin/robotd", "java",
)  # fmt: skip
_ALSO_CALLED = {
    "/usr/bin/python3.11": "python3", "/usr/bin/node": "nodejs", "/usr/bin/bash": "-bash",
    "/usr/sbin/nginx": "nginx: worker",
    "/usr/sbin/sshd": "sshd: alice [priv]", "/usr/bin/udevadm": "systemd-udevd", "/usr/bin/perl": "perl5.36",
}  # fmt: skip
_PROGRAMS = (
    "sleep", "sshd", "bash", "python3", "perl", "curl", "nc", "ncat", "nmap", "masscan", "xmrig", "minerd", "cron",
    "node",
    "gcc", "rsync", "borg", "zabbix_agentd", "node_exporter", "dockerd", "runc", "firefox", "Xorg", "unknownd", "a b",
    "diamorphine", "postgres", "socat",
)  # fmt: skip
_ADDRESSES = ("127.0.0.1", "10.1.2.3", "192.168.7.9", "203.0.113.9", "8.8.8.8", "169.254.169.254", "224.0.0.251")
_PORTS = (
    "22", "23", "53", "80", "443", "25", "111", "139", "389", "514", "631", "873", "2049", "2375", "3306", "3389",
    "5432",
    "5900", "6000", "6379", "6443", "8080", "9200", "11211", "27017", "69", "123", "161", "500", "1900", "5353",
    "51820",
    "900", "5000", "40000", "67", "137", "21", "143",
)  # fmt: skip


def indicators(host: Host) -> Iterator[Raw]:
    """Indicators of compromise, as the scanner's process checks rate them."""
    rng = host.rng
    for _ in range(12):
        exe, pid = (host.path() if host.chance(0.35) else rng.choice(_EXECUTABLES)), host.pid()
        command = rng.choice(_COMMANDS) if host.chance(0.5) else exe.removesuffix(" (deleted)")
        if exe in _ALSO_CALLED and host.chance(0.6):
            command = _ALSO_CALLED[exe]
        elif host.chance(0.2):
            command = command.rpartition("/")[2]
        metadata: dict[str, str] = {"command": command, "pid": pid}
        kind = rng.choice(("deleted", "writable", "environment", "patterns"))
        if kind == "deleted" and "(deleted)" not in exe:
            exe += " (deleted)"
        if kind == "writable" and not exe.startswith(("/tmp", "/var/tmp", "/dev/shm", "/home")):
            exe = rng.choice(("/tmp/", "/home/bob/", "/dev/shm/", "/var/tmp/", "/homes/")) + exe.rpartition("/")[2]
        flags = {
            "deleted": ("deleted_executable", "critical", "deleted executable"),
            "writable": ("world_writable_executable", "high", "world-writable executable"),
            "environment": ("environment_issue", "medium", "suspicious environment"),
            "patterns": ("pattern_match", "low", "suspicious patterns"),
        }
        key, severity, words = flags[kind]
        metadata[key] = "true"
        if kind in ("deleted", "writable") and host.chance(0.2):
            metadata["environment_issue"] = "true"
        if kind == "deleted" and host.chance(0.15):
            metadata["world_writable_executable"] = "true"
        if kind != "patterns" and host.chance(0.3):
            metadata["pattern_match"] = "true"
        yield Raw("ioc", f"{exe}:{pid}", severity, "Process IOC Detected", f"Process with {words}: {exe}", metadata)  # type: ignore[arg-type]


def inventory(host: Host) -> Iterator[Raw]:
    """Running processes."""
    rng = host.rng
    for _ in range(12):
        pid = host.pid()
        metadata = {"gid": "0", "uid": rng.choice(("0", "33", "1000", "65534"))} if host.chance(0.85) else {}
        if host.chance(0.2):
            metadata["container_id"] = "c5d6e73f4e8a"
        command = rng.choice((*_PROGRAMS, "(no cmdline)", rng.choice(_EXECUTABLES), host.path()))
        if host.chance(0.15):
            metadata |= {"exe_path": command, "sha256": f"{rng.getrandbits(256):064x}"}
        yield Raw("processes", pid, "info", f"Process {pid}", command, metadata)


def traces(host: Host) -> Iterator[Raw]:
    """What the scanner saw start and connect, and its own failures."""
    rng = host.rng
    for _ in range(4):
        program, pid = rng.choice(_PROGRAMS), host.pid()
        yield Raw("ebpf_exec_trace", "exec.trace", "info", f"Exec: {program} pid={pid}".replace("Exec", "exec"),
                  "Observed exec event")  # fmt: skip
        yield Raw(
            "ebpf_exec_trace", "net.connect", "info",
            f"connect: {rng.choice(_PROGRAMS)} pid={pid} dst={rng.choice(_ADDRESSES)}:{rng.choice(_PORTS)}",
            "Observed outbound connection attempt",
        )  # fmt: skip
        yield Raw(
            "ebpf_exec_trace", "proc.exec.detected", "info", f"Process execution detected: {program} (PID: {pid})",
            "New process execution detected via /proc monitoring",
            {"comm": program, "detection_method": "proc_polling",
            "pid": pid, "ppid": host.pid(), "source": "proc_fallback"},
        )  # fmt: skip
    yield Raw(
        "ebpf_exec_trace", "proc.monitoring.complete", "info", "Process monitoring completed via /proc filesystem",
        "Alternative process monitoring completed using /proc polling method",
        {"duration_seconds": "3", "method": "filesystem_polling", "source": "proc_fallback"},
    )  # fmt: skip
    yield Raw(
        "ebpf_exec_trace", "ebpf:disabled", "info", "eBPF support not available at runtime",
        "eBPF tools not installed, incompatible kernel, or missing capabilities. Using alternative detection methods.",
        {"alternative_detection": "true", "detection_method": "runtime_check", "source": "ebpf_fallback"},
    )  # fmt: skip
    failures = {
        "open": ("eBPF skeleton open failed", "Failed to open eBPF skeleton"),
        "load": ("eBPF program load failed", "Failed to load eBPF program"),
        "attach": ("eBPF attach failed", "Failed to attach eBPF program"),
        "ringfd": ("eBPF ring buffer fd failed", "Failed to acquire ring buffer file descriptor"),
        "ringbuf": ("eBPF ring buffer create failed", "Failed to create eBPF ring buffer"),
    }
    name = rng.choice(sorted(failures))
    yield Raw("ebpf_exec_trace", f"ebpf:error:{name}", "high", *failures[name])


def containers(host: Host) -> Iterator[Raw]:
    """Containers, a Kubernetes node, or none."""
    rng = host.rng
    draw = rng.random()
    if draw < 0.3:
        yield Raw(
            "containers", "container:none", "info", "No containers detected", "No container cgroup signatures found"
        )
        return
    if draw < 0.5:
        pod = {"cgroup": "0::/kubepods/besteffort/pod1", "pid": host.pid(), "runtime": "unknown"}
        yield Raw(
            "containers", "container:kubepods", "info", "Container detected kubepods", "Container runtime context", pod
        )  # fmt: skip
    for _ in range(2):
        name = f"{rng.getrandbits(48):012x}"
        runtime = rng.choice(("docker", "containerd", "podman", "crio", "unknown"))
        cgroup = rng.choice((f"0::/system.slice/{runtime}-{name}.scope", f"0::/kubepods/pod1/{name}", f"0::/x/{name}"))
        yield Raw("containers", f"container:{name}", "info", f"Container detected {name}", "Container runtime context",
                  {"cgroup": cgroup, "pid": host.pid(), "runtime": runtime})  # fmt: skip


def sockets(host: Host) -> Iterator[Raw]:
    """Listening and connected sockets; the format is known from the scanner's source."""
    rng = host.rng
    local = ("0.0.0.0", "127.0.0.1", "10.0.0.5", "0" * 32, "0" * 24 + "01000000")  # noqa: S104 - a text, never bound
    for _ in range(10):
        protocol, port, inode = rng.choice(("tcp", "tcp6")), rng.choice(_PORTS), str(rng.randint(10000, 99999))
        common: dict[str, str] = {"protocol": protocol, "inode": inode, "uid": "0", "lport": port}
        if host.chance(0.9):
            common["lip"] = rng.choice(local)
        yield Raw("network", f"{protocol}:{port}:{inode}", rng.choice(("low", "medium", "high")),
                  f"{protocol} LISTEN {port}", "TCP socket", {**common, "state": "LISTEN"})  # fmt: skip
    for _ in range(3):
        state = rng.choice(("ESTABLISHED", "SYN_SENT", "CLOSE_WAIT", "UNKNOWN"))
        port, inode = rng.choice(_PORTS), str(rng.randint(10000, 99999))
        yield Raw("network", f"tcp:{port}:{inode}", "info", f"tcp {state} {port}", "TCP socket",
                  {"protocol": "tcp", "state": state, "lport": port, "lip": "10.0.0.5", "rip": rng.choice(_ADDRESSES),
                   "rport": rng.choice(_PORTS), "inode": inode, "uid": "1000"})  # fmt: skip
    for _ in range(8):
        protocol, port, inode = rng.choice(("udp", "udp6")), rng.choice(_PORTS), str(rng.randint(10000, 99999))
        udp: dict[str, Any] = {"protocol": protocol, "inode": inode, "uid": "0", "lport": port}
        if host.chance(0.9):
            udp["lip"] = rng.choice(local)
        yield Raw("network", f"{protocol}:{port}:{inode}", rng.choice(("info", "low", "medium")),
                  f"{protocol} port {port}", "UDP socket", udp)  # fmt: skip
