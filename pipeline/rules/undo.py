"""Puts a command and its way back together, so that what was there is noted before it is changed.

Each action on each target has a directory of its own below `ROOT`, which only root may look into. It appears under its
name when the note is whole, before anything is changed; it is made once, so that a command run twice does not note what
it has changed itself; and it goes when the way back has run to its end. Whoever runs the way back needs nothing but the
line and that directory. What is printed is one subshell, so that neither variables nor the umask stay behind:

    (umask 022; n=ROOT/NAME; LET; [ -d $n ] || { NEEDS && ... NOTE && mv $n.new $n; } && cd $n && COMMAND)
    (umask 022; n=ROOT/NAME; cd $n || exit; LET; ROLLBACK && rm -r $n)
"""

import hashlib
import re
from collections.abc import Mapping

# Not below the agent's own state directory: that belongs to an unprivileged user, who could replace what root reads.
ROOT = "/var/lib/sysscan-undo"

_SLUG = re.compile(r"[A-Za-z0-9._:@=-]{1,120}")
# What a setting is set to is no part of what is set: with another value, the first note is still the one to go back to.
_NO_TARGET = frozenset({"value"})


def note_name(action: str, values: Mapping[str, bytes]) -> str:
    """Name the directory of the note of an action on one target; the same for every value that it may be set to.

    Args:
        values: of the parameters, in their order.

    Two targets share no name: plain ones stand in it as they are, others as 128 bits of their SHA-256, so that nobody
    can find two paths with one note.
    """
    target = [value for name, value in values.items() if name not in _NO_TARGET]
    if not target:
        return action
    plain = ",".join(value.decode("ascii", "replace") for value in target)
    if _SLUG.fullmatch(plain.replace(",", "", len(target) - 1)) and plain.count(",") == len(target) - 1:
        return f"{action}-{plain}"
    parts = b"".join(b"%d:%b" % (len(value), value) for value in target)
    return f"{action}.{hashlib.sha256(parts).hexdigest()[:32]}"


def apply_line(name: str, let: str, needs: str, note: str, command: str) -> str:
    """Write the line that notes what is there, and then changes it."""
    first = f"{needs} && " if needs else ""
    return (
        f"(umask 022; n={ROOT}/{name}; {_assignments(let)}[ -d $n ] || {{ {first}rm -rf $n.new "
        f"&& mkdir -p -m 700 ${{n%/*}} $n.new && cd $n.new && {note} && mv $n.new $n; }} && cd $n && {command})"
    )


def undo_line(name: str, let: str, rollback: str) -> str:
    """Write the line that restores what was noted, and then forgets the note."""
    return f"(umask 022; n={ROOT}/{name}; cd $n || exit; {_assignments(let)}{rollback} && rm -r $n)"


def _assignments(let: str) -> str:
    return f"{let}; " if let else ""
