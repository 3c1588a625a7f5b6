"""What a plan consists of: steps that a machine can take, and what is left to a person, with the reason."""

from dataclasses import dataclass
from typing import Literal

from pipeline.finding import Level

# Why there is no step for a finding.
Why = Literal["breaks", "mistaken", "look_first", "by_hand", "unwritable", "settled_elsewhere", "no_remedy"]
WHY_TEXTS: dict[Why, str] = {
    "breaks": "Would break something here, or changes nothing for the better: accept or replace",
    "mistaken": "The scanner is probably mistaken: nothing to change before somebody has looked",
    "look_first": "A person has to look before this is done; then ask for it with --include",
    "by_hand": "Needs a person: there is no command that is right without looking",
    "unwritable": "No command can be written for this",
    "settled_elsewhere": "Another step of the plan covers it",
    "no_remedy": "No remedy is known",
}


@dataclass(slots=True, frozen=True)
class Step:
    """One action on one target.

    Attributes:
        number: its place in the plan, from 1; also how a person asks for it.
        action: id of the remediation.
        command, check, rollback: lines of POSIX sh, as in the finding. The exit status of the check says whether the
            action is in effect.
        caution: what it may break or needs beforehand, or None.
        note: directory in which the command notes what was there; it exists while there is something to take back.
        unit: systemd unit that has to be restarted for it, at the end and once; else None.
        reboots: it takes effect at the next boot.
        findings: how many findings it is for.
        labels, keys: of the first of them: names for people, beginnings of the dedupe keys.
        acceptances: entries for the allow-list, for what the scanner goes on reporting.
    """

    number: int
    action: str
    summary: str
    level: Level
    command: str
    check: str
    rollback: str
    caution: str | None
    note: str
    unit: str | None
    reboots: bool
    findings: int
    labels: tuple[str, ...]
    keys: tuple[str, ...]
    acceptances: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Aside:
    """Findings for which there is no step, all for the same reason.

    Attributes:
        about: in words: what would be done, or what the findings are.
        reason: why not, beyond `WHY_TEXTS`; empty where nothing is to be added.
        check: how to look, a line of POSIX sh of the first of them, or None.
    """

    why: Why
    action: str | None
    about: str
    reason: str
    level: Level
    findings: int
    labels: tuple[str, ...]
    keys: tuple[str, ...]
    check: str | None


@dataclass(slots=True, frozen=True)
class Plan:
    """What to do about one host.

    Attributes:
        scans: (scan id, as_of) of each scan that it is made of.
        asides: the worst first.
        left_out: how many findings are no part of it, by the reason in words.
        missing: what is not known of the scans, a sentence each.
    """

    host: str
    agent: str
    scans: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    asides: tuple[Aside, ...]
    left_out: tuple[tuple[str, int], ...]
    missing: tuple[str, ...]
