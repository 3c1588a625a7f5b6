"""A made-up host: what its scans have in common, and the few actors that its findings share."""

import random

# ruff: noqa: S108 - paths of made-up hosts are written down, never opened.
from dataclasses import dataclass, field
from typing import Literal

from pipeline.finding import Severity
from pipeline.knowledge.schema import Knowledge

Format = Literal["json", "ndjson", "sarif"]

_SCORES: dict[Severity, int] = {"info": 10, "low": 30, "medium": 50, "high": 70, "critical": 90, "error": 80}
_SYSTEMS = (
    ("debian", "12", "Debian GNU/Linux 12 (bookworm)", "6.1.0-50-amd64"),
    ("debian", "13", "Debian GNU/Linux 13 (trixie)", "6.12.8-amd64"),
    ("ubuntu", "22.04", "Ubuntu 22.04.5 LTS", "5.15.0-130-generic"),
    ("ubuntu", "24.04", "Ubuntu 24.04.2 LTS", "6.8.0-52-generic"),
    ("rhel", "9.5", "Red Hat Enterprise Linux 9.5 (Plow)", "5.14.0-503.el9.x86_64"),
    ("rocky", "9.5", "Rocky Linux 9.5 (Blue Onyx)", "5.14.0-503.el9.x86_64"),
    ("fedora", "41", "Fedora Linux 41 (Server Edition)", "6.12.9-200.fc41.x86_64"),
    ("opensuse-leap", "15.6", "openSUSE Leap 15.6", "6.4.0-150600.21-default"),
    ("arch", "", "Arch Linux", "6.12.9-arch1-1"),
    ("", "", "", ""),
)
_DIRECTORIES = (
    "/tmp", "/var/tmp", "/dev/shm", "/home/alice", "/home/bob/bin", "/root", "/usr/local/bin",
    "/usr/local/sbin",
    "/opt/agent/bin", "/srv/exchange", "/var/lib/app", "/usr/bin", "/usr/sbin", "/usr/lib/app", "/etc",
    "/run/user/1000",
    "/var/spool/job", "/mnt/usb", "/tmpfs/a", "/homes/x", "/var/lib/docker/overlay2/l/bin", "/snap/tool/12/bin",
)  # fmt: skip
_NAMES = (
    "updater", "helper", "agent", "collector", "backup-tool", "dbus-helper", "runner", "sync", "maint", "report",
    ".cache", ".x", "...", "kworker", "my tool", "tööl", "a\u200bb", "bad\x01name", "$(id)", "bad\\xffname",
    "xmrig", "minerd", "diamorphine", "bash", "python3", "perl", "nc", "nmap", "sudo", "su", "suud", "sudo.bak",
    "passwd1",
    "ѕudo", "mount.old", "ping", "pkexec-new", "chatbot", "robotd", "bot", "sshd", "nginx", "postgres",
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Raw:
    """One finding as the scanner would write it."""

    scanner: str
    id: str
    severity: Severity
    title: str
    description: str
    metadata: dict[str, str] = field(default_factory=dict)
    score: int | None = None

    @property
    def points(self) -> int:
        """Give `base_severity_score`."""
        return _SCORES[self.severity] if self.score is None else self.score


@dataclass(slots=True)
class Host:
    """What the findings of one scan agree on.

    Attributes:
        bold: the share of findings that are out of the ordinary.
        paths, pids: actors that several scanners meet, so that correlations have something to hold.
    """

    rng: random.Random
    knowledge: Knowledge
    number: int
    format: Format
    os_id: str
    os_version: str
    os_pretty: str
    kernel: str
    root: bool
    rules: bool
    bold: float
    paths: list[str]
    pids: list[str]

    def chance(self, share: float) -> bool:
        """Say yes with a probability."""
        return self.rng.random() < share

    def path(self) -> str:
        """Give a path: an actor's, a new one, or one that distributions have."""
        draw = self.rng.random()
        if draw < 0.3:
            return self.rng.choice(self.paths)
        if draw < 0.3 + 0.4 * (1 - self.bold):
            return self.rng.choice(_known_paths(self.knowledge))
        return new_path(self.rng)

    def pid(self) -> str:
        """Give a process id, an actor's at times."""
        return self.rng.choice(self.pids) if self.chance(0.5) else str(self.rng.randint(300, 60000))


def make_host(knowledge: Knowledge, seed: int, number: int) -> Host:
    """Make host `number`; the same for the same seed."""
    rng = random.Random(f"host/{seed}/{number}")  # noqa: S311 - variety that can be repeated, not secrecy
    os_id, os_version, os_pretty, kernel = rng.choice(_SYSTEMS)
    format_: Format = "json" if rng.random() < 0.75 else rng.choice(("ndjson", "ndjson", "sarif"))
    return Host(
        rng=rng,
        knowledge=knowledge,
        number=number,
        format=format_,
        os_id=os_id,
        os_version=os_version,
        os_pretty=os_pretty,
        kernel=kernel,
        root=rng.random() < 0.8,
        rules=rng.random() < 0.08,
        bold=rng.choice((0.2, 0.5, 0.9)),
        paths=[new_path(rng) for _ in range(6)] + rng.sample(_known_paths(knowledge), 2),
        pids=[str(rng.randint(300, 60000)) for _ in range(6)],
    )


def new_path(rng: random.Random) -> str:
    """Make a path up."""
    return f"{rng.choice(_DIRECTORIES)}/{rng.choice(_NAMES)}"


def _known_paths(knowledge: Knowledge) -> list[str]:
    return list(knowledge.paths)
