"""Filters that name something: what nothing is called is refused, with what was probably meant."""

import difflib
from collections.abc import Callable, Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from daemon.cli.exits import Exit, die
from daemon.review.kept import Kept
from pipeline.analysis.question import UNKNOWN
from pipeline.display import printable
from pipeline.features import load_features
from pipeline.knowledge.load import load_knowledge

_NAMED = 10  # of what there is
_ALIKE = 0.6  # of 1, as difflib measures it


def check_classes(
    patterns: Sequence[str], knowledge_dirs: Sequence[Path], seen: Callable[[], Collection[str]] = frozenset
) -> None:
    """End the program where a pattern of `--class` fits no class, at hand or known.

    A class of which there happens to be no finding is well: a gate may be there for the day on which there is one.

    Args:
        seen: gives the classes of the findings at hand, which a version with other knowledge may have named.

    Raises:
        ConfigError: if the knowledge that would know cannot be read.
    """
    asked = [one for one in patterns if not one.startswith(UNKNOWN)]  # which a scanner that nobody knows ends
    if not asked or all(_fits(one, seen()) for one in asked):
        return
    known = load_knowledge(load_features, knowledge_dirs).classes.keys() | seen()
    whole = {f"{name.partition('.')[0]}.*" for name in known}
    for one in asked:
        if not _fits(one, known):
            meant = _meant(one, known | whole)
            die(
                Exit.USAGE, f"--class {_shown(one)}: no such class;{meant} `sysscan-agent list classes` has all of them"
            )


def check_kept(class_: str | None, host: str | None, scanner: str | None, kept: Kept, dirs: Sequence[Path]) -> None:
    """End the program where a filter of `review` names what is neither kept for reviews nor known.

    Raises:
        ConfigError: if the knowledge that would know cannot be read.
    """
    if class_ is not None:
        pattern = class_.replace("[", "[[]")  # which the ledger takes as it stands
        check_classes([pattern], dirs, lambda: kept.names("class_id"))
    if host is not None and host not in (hosts := kept.hosts()):
        there = among(host, hosts)
        die(Exit.NOT_FOUND, f"--host {_shown(host)}: no scan of this host is kept; there {there or 'is none at all'}")
    if scanner is not None and scanner not in (scanners := kept.names("scanner")):
        known = {name.partition(".")[0] for name in load_knowledge(load_features, dirs).classes}
        if scanner not in known:
            die(Exit.USAGE, f"--scanner {_shown(scanner)}: not one of {', '.join(sorted(known | set(scanners)))}")


def among(given: str, names: Collection[str]) -> str:
    """Say which names there are, those first that are like the one that was given; empty where there are none."""
    alike = difflib.get_close_matches(given, sorted(names), n=_NAMED, cutoff=_ALIKE)
    shown = [printable(one, 60) for one in [*alike, *sorted(set(names) - set(alike))][:_NAMED]]
    more = len(names) - len(shown)
    listed = ", ".join(shown) + (f" and {more:,} more" if more else "")
    return "" if not names else f"is {listed}" if len(names) == 1 else f"are {listed}"


def _fits(pattern: str, names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _meant(given: str, names: Collection[str]) -> str:
    """Ask whether the likeliest was meant; empty where nothing is like it."""
    word = given.strip("*.").lower()
    found = [name for name in sorted(names) if word and word in name]
    found.sort(key=lambda name: (not name.endswith(f".{word}"), not name.startswith(word)))
    found = found or difflib.get_close_matches(given.lower(), sorted(names), n=1, cutoff=_ALIKE)
    return f" did you mean {found[0]}?" if found else ""


def _shown(given: str) -> str:
    return printable(given.replace("[[]", "["), 100) or "''"
