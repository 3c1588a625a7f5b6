"""Commands on a terminal: broken between words only, so that what is copied is the same command."""

from rich.text import Text

from pipeline.display import printable

_MOST = 65536  # characters; what is copied into a shell must not be cut


def command_lines(command: str, width: int) -> list[str]:
    """Break a line of shell at blanks outside of quotation marks, each piece but the last ending in a backslash.

    A word that is longer than `width` stays whole.
    """
    lines: list[str] = []
    current = ""
    for word in _words(command):
        if current and len(current) + 1 + len(word) + 2 > width:
            lines.append(f"{current} \\")
            current = word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current]


def command_text(command: str, indent: int, width: int, mark: str = "$") -> Text:
    """Show a command, broken to `width` columns, the first line behind a mark."""
    first, *more = command_lines(printable(command, _MOST), width - indent - len(mark) - 1)
    hang = " " * (indent + len(mark) + 1)
    shown = "\n".join([f"{' ' * indent}{mark} {first}", *(f"{hang}{line}" for line in more)])
    return Text(shown, "green", no_wrap=True, overflow="ignore")


def _words(command: str) -> list[str]:
    """Split at single blanks that stand outside of all quotation marks."""
    words, start = [], 0
    open_: list[str] = []  # by what ends it: quotation marks, ${...}, calculations, and parentheses within these
    at = 0
    while at < len(command):
        char = command[at]
        inside = open_[-1] if open_ else ""
        if inside == "'":
            if char == "'":
                open_.pop()
        elif char == "\\":
            at += 1
        elif char == inside:
            open_.pop()
        elif command.startswith("${", at):  # whose pattern may begin with a blank
            open_.append("}")
            at += 1
        elif command.startswith("$((", at):  # blanks of a calculation are kept as they are, too
            open_ += [")", ")"]
            at += 2
        elif inside == '"':
            if command.startswith("$(", at):
                open_.append(")")
                at += 1
        elif char in "'\"":
            open_.append(char)
        elif char == "(" and open_:
            open_.append(")")
        elif char == " " and not open_ and command[at - 1 : at] not in ("", " ") and command[at + 1 : at + 2] != " ":
            words.append(command[start:at])
            start = at + 1
        at += 1
    words.append(command[start:])
    return words
