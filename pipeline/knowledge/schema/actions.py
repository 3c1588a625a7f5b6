"""What to do about a finding: remediations, and first looks at what nobody knows."""

from typing import Literal

from pydantic import model_validator

from pipeline.knowledge.schema.fact import Fact


class Remediation(Fact):
    """A typed action. In all shell texts every ``{param}`` is quoted for the shell by the renderer; in `summary` it is
    shown as text. A manual action may have no command; to `accept` is to change nothing.

    An action that changes something has a `note`: shell that runs in an empty directory of its own before anything is
    changed, and writes down there what is needed to restore it; `command` and `rollback` run in that directory, and the
    rollback is one that reads it. `needs` fails, with a line on standard error, where the command could not work; then
    nothing is noted or changed. `let` are assignments that stand before each of these. All of them are lists joined
    with ``&&``, and a text in the middle must not be one that hides a failure.
    `unseen`: why the scanner goes on reporting the finding after the action has taken effect.
    """

    kind: Literal[
        "sysctl", "file_mode", "file_capability", "mount_option", "systemd_dropin", "package", "service",
        "modprobe_block", "audit_rule", "kernel_cmdline", "config_file", "process", "manual", "accept",
    ]  # fmt: skip
    params: list[str] = []
    summary: str
    let: str | None = None
    needs: str | None = None
    note: str | None = None
    command: str | None = None
    check: str
    rollback: str
    caution: str | None = None
    unseen: str | None = None

    @model_validator(mode="after")
    def _parts_of_a_note(self) -> "Remediation":
        if self.note is None and (self.let is not None or self.needs is not None):
            raise ValueError("`let` and `needs` come with a `note`")
        if self.note is not None and self.command is None:
            raise ValueError("a `note` comes with a `command`")
        return self


class Look(Fact):
    """A first look at what an unknown finding may be about: a command that changes nothing.

    It holds no placeholder, so that no text of a finding can reach it. `topics` are beginnings of topic ids; of several
    looks the one with the longest beginning is offered. `subject` is the kind of thing that is looked at.
    """

    subject: Literal[
        "account", "audit", "boot", "container", "file", "firewall", "logging", "mac", "module", "mount", "network",
        "package", "process", "service", "sysctl", "unit",
    ]  # fmt: skip
    summary: str
    command: str
    topics: list[str]
