"""What is known of hosts: units, paths, modules and programs."""

from typing import Literal

from pipeline.knowledge.schema.fact import Fact, Id


class UnitFact(Fact):
    """A known systemd unit: its role, its kind, and the directives that would break it, with the reason."""

    role: Id
    kind: Literal["daemon", "oneshot", "template", "socket_activated", "alias", "interactive"] = "daemon"
    breaks: dict[str, str] = {}
    note: str | None = None


class UnitRole(Fact):
    title: str
    breaks: dict[str, str] = {}


class PathFact(Fact):
    """A well-known path: the package that owns it (Debian's name), and what it is for.

    Paths are those of a merged-/usr host. `distros`: the families in which this holds; empty means all.
    """

    package: str
    role: str
    setuid: bool = False
    setgid: bool = False
    capability: str | None = None
    distros: list[Literal["debian", "rhel", "suse", "arch"]] = []
    note: str | None = None


class ModuleFact(Fact):
    family: Id
    note: str | None = None
    blockable: bool = False  # hardening benchmarks ask to block it where it is unused
    file: str | None = None  # name of the .ko file without suffix, where it differs from the module's (dashes)
    large: bool = False  # more than 2 MiB once decompressed, or near it, in stock kernels


class ToolFact(Fact):
    """A process or program name, and the kind of tool it is."""

    kind: Literal[
        "miner", "rootkit", "netcat", "scanner", "shell", "interpreter", "kernel_thread", "service", "desktop",
        "developer", "backup", "container", "monitoring",
    ]  # fmt: skip
    note: str | None = None
