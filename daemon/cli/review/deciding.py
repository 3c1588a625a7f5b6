"""`review approve|correct|accept|false-positive|undo`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from daemon.cli.exits import Exit, die, say
from daemon.cli.review.opened import Desk, author, now, open_desk
from daemon.cli.review.shown import affected, decided, print_json, verdict_json
from daemon.review.queue import Aim, Ambiguous, Wish
from pipeline.display import printable
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.review.standing import undone_by
from pipeline.review.verdict import MAX_TEXT, Correction, Draft, Kind, Verdict
from pipeline.rules.review import SETTLES

_SAID: Mapping[Kind, str] = {
    "approve": "approves", "correct": "corrects", "accept": "accepts", "false_positive": "calls a false positive",
}  # fmt: skip


def decide(
    given: Mapping[str, Any],
    config: Path | None,
    kind: Kind,
    wish: Wish,
    *,
    reason: str,
    correction: Correction | None = None,
    owner: str | None = None,
    until: str | None = None,
    yes: bool,
    as_json: bool,
) -> Exit:
    """Give verdicts on what keys or filters name, after asking."""
    reason = _text(reason, "--reason")
    if kind != "approve" and not reason:
        die(Exit.USAGE, "--reason: say why in a few words; it stays with the verdict")
    if until is not None:
        until = _day(until)
    if correction is not None and correction.is_empty:
        die(Exit.USAGE, "correct: nothing to correct; give --to-level, --to-class, --action, --control and the like")
    if wish.everywhere and wish.wanted.host is not None:
        die(Exit.USAGE, "--everywhere, --host: contradict each other; give one of them")
    if not wish.keys and wish.wanted == type(wish.wanted)():
        die(Exit.USAGE, f"{kind.replace('_', '-')}: give a key, or a filter such as --class or --level")
    with open_desk(given, config, to_write=True) as desk:
        if correction is not None:
            _check(correction, desk)
        aims = desk.queue.aims(wish)
        if not aims:
            die(Exit.NOT_FOUND, "nothing that is to be reviewed fits")
        _ask(f"This {_SAID[kind]} {affected(aims)}.", yes=yes)
        given_ = give(desk, kind, aims, reason=reason, correction=correction, owner=owner, until=until)
    _tell(given_, aims, as_json=as_json)
    return Exit.DONE


def give(
    desk: Desk,
    kind: Kind,
    aims: Sequence[Aim],
    *,
    reason: str,
    correction: Correction | None = None,
    owner: str | None = None,
    until: str | None = None,
) -> list[Verdict]:
    """Put verdicts into the log, one for each aim, all of them or none."""

    def draft(aim: Aim) -> Draft:
        before = desk.queue.counting(aim) if kind == "approve" else None
        if before is not None and before.kind in SETTLES:  # to approve it would open it again
            raise Ambiguous(f"verdict {before.seq} has settled it ({decided(before)}); undo that first")
        return Draft(kind, reason, aim.target, correction, owner, until, case=desk.queue.case(aim))

    return desk.queue.decide(aims, draft, desk.writing, at=now(), author=author())


def undo(given: Mapping[str, Any], config: Path | None, seq: int, *, reason: str, yes: bool, as_json: bool) -> Exit:
    """Have a verdict not count any more."""
    reason = _text(reason, "--reason")
    with open_desk(given, config, to_write=True) as desk:
        verdicts = [one for one, _ in desk.writing.verdicts()]
        if seq > len(verdicts):
            die(Exit.NOT_FOUND, f"there is no verdict {seq}; `review history` shows them")
        found, undone = verdicts[seq - 1], undone_by(verdicts)
        if seq in undone:
            die(
                Exit.USAGE,
                f"verdict {seq} is undone already, by verdict {undone[seq]}; undo that to have it count again",
            )
        _ask(f"This undoes verdict {seq}, which {printable(found.author)} gave on {found.at}.", yes=yes)
        draft = Draft("undo", reason, replace(found.target), undoes=seq)
        given_ = desk.writing.append([draft], at=now(), author=author())
        still = undone_by([*verdicts, *given_]).get(found.undoes or 0)
    _tell(given_, [], as_json=as_json)
    if still is not None:  # logs of earlier builds hold several
        say(f"sysscan-agent: verdict {found.undoes} stays undone, by verdict {still} too")
    return Exit.DONE


def _check(correction: Correction, desk: Desk) -> None:
    """See that what a reviewer names is there to be named."""
    knowledge = load_knowledge(load_features, desk.settings.knowledge_dirs)
    controls = {f"{one.framework}:{one.control}" for topic in knowledge.topics.values() for one in topic.controls}
    known: tuple[tuple[str, Sequence[str], Callable[[str], bool]], ...] = (
        ("--to-class", [correction.class_id] if correction.class_id else [], knowledge.classes.__contains__),
        ("--action", [correction.action] if correction.action else [], knowledge.remediations.__contains__),
        ("--control", correction.controls or (), controls.__contains__),
        ("--technique", correction.techniques or (), knowledge.techniques.__contains__),
    )
    for option, values, is_known in known:
        for value in values:
            if not is_known(value):
                die(Exit.USAGE, f"{option} {printable(value)}: the knowledge has no such thing")


def _ask(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        die(Exit.USAGE, f"{what} Give --yes to do it without being asked")
    say(what)
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        die(Exit.REJECTED, "nothing was decided")


def _tell(verdicts: Sequence[Verdict], aims: Sequence[Aim], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        for verdict in verdicts:
            print_json(verdict_json(verdict))
        return
    numbers = [verdict.seq for verdict in verdicts]
    which = f"verdict {numbers[0]}" if len(numbers) == 1 else f"verdicts {numbers[0]} to {numbers[-1]}"
    about = f": {affected(aims)}" if aims else ""
    sys.stdout.write(f"{which}{about}; `review undo NUMBER` takes one back\n")


def _day(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        die(Exit.USAGE, f"--until {printable(text)}: not a day such as 2027-01-31")
    if day.isoformat() < now()[:10]:
        die(Exit.USAGE, f"--until {day.isoformat()}: that day is over")
    return day.isoformat()


def _text(text: str, option: str) -> str:
    text = " ".join(text.split())
    if len(text) > MAX_TEXT:
        die(Exit.USAGE, f"{option}: at most {MAX_TEXT:,} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        die(Exit.USAGE, f"{option}: holds bytes that are not UTF-8")
    return text
