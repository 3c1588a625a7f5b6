"""`review approve|correct|accept|false-positive|undo`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from daemon.cli.exits import Exit, die, say
from daemon.cli.filters import check_kept
from daemon.cli.review.opened import open_desk
from daemon.cli.review.shown import print_json, verdict_json
from daemon.cli.review.stopping import Handing
from daemon.cli.terminal import wants_json
from daemon.review.deciding import Decision, Unfit, check, give
from daemon.review.deciding import undo as take_back
from daemon.review.queue import Aim, Wish
from daemon.review.who import author, now
from daemon.review.words import affected, numbered
from pipeline.display import printable
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge
from pipeline.review.standing import undone_by
from pipeline.review.verdict import Kind, Verdict

_SAID: Mapping[Kind, str] = {
    "approve": "approves", "correct": "corrects", "accept": "accepts", "false_positive": "calls a false positive",
}  # fmt: skip


def decide(
    given: Mapping[str, Any], config: Path | None, decision: Decision, wish: Wish, *, yes: bool, as_json: bool
) -> Exit:
    """Give verdicts on what keys or filters name, after asking."""
    kind = decision.kind
    try:
        decision = decision.checked(now())
    except Unfit as error:
        _refuse(error)
    if wish.everywhere and wish.wanted.host is not None:
        die(Exit.USAGE, "--everywhere, --host: contradict each other; give one of them")
    if not wish.keys and wish.wanted == type(wish.wanted)():
        die(Exit.USAGE, f"{kind.replace('_', '-')}: give a key, or a filter such as --class or --level")
    for value, flag in (
        (wish.wanted.class_, "--class"),
        (wish.wanted.level, "--level"),
        (wish.wanted.scanner, "--scanner"),
    ):
        if wish.keys and value is not None:
            die(Exit.USAGE, f"{flag}: has no effect beside a key; give keys or filters")
    handing = Handing()
    with handing.undecided(), open_desk(given, config, to_write=True) as desk:
        wanted = wish.wanted
        check_kept(wanted.class_, wanted.host, wanted.scanner, desk.ledger.reviews, desk.settings.knowledge_dirs)
        if decision.correction is not None:
            try:
                check(decision.correction, load_knowledge(load_features, desk.settings.knowledge_dirs))
            except Unfit as error:
                _refuse(error)
        aims = desk.queue.aims(wish)
        if not aims:
            die(Exit.NOT_FOUND, "nothing that is to be reviewed fits")
        _ask(f"This {_SAID[kind]} {affected(aims)}.", yes=yes)
        with handing.over(desk.writing):
            verdicts = give(desk.queue, desk.writing, decision, aims, at=now(), author=author())
        _tell(verdicts, aims, as_json=as_json)
    return Exit.DONE


def undo(given: Mapping[str, Any], config: Path | None, seq: int, *, reason: str, yes: bool, as_json: bool) -> Exit:
    """Have a verdict not count any more."""
    handing = Handing()
    with handing.undecided(), open_desk(given, config, to_write=True) as desk:
        if seq > len(desk.queue.verdicts):
            die(Exit.NOT_FOUND, f"there is no verdict {seq}; `review history` shows them")
        found = desk.queue.verdicts[seq - 1]
        _ask(f"This undoes verdict {seq}, which {printable(found.author)} gave on {found.at}.", yes=yes)
        try:
            with handing.over(desk.writing):
                verdicts = take_back(desk.queue, desk.writing, [seq], reason=reason, at=now(), author=author())
        except Unfit as error:
            _refuse(error)
        _tell(verdicts, [], as_json=as_json)
        still = undone_by(desk.queue.verdicts).get(found.undoes or 0)
    if still is not None:  # logs of earlier builds hold several
        say(f"sysscan-agent: verdict {found.undoes} stays undone, by verdict {still} too")
    return Exit.DONE


def _refuse(error: Unfit) -> NoReturn:
    die(Exit.USAGE, error.of_option())


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
    if wants_json(as_json):
        for verdict in verdicts:
            print_json(verdict_json(verdict))
        return
    about = f": {affected(aims)}" if aims else ""
    sys.stdout.write(f"{numbered(verdicts)}{about}; `review undo NUMBER` takes one back\n")
