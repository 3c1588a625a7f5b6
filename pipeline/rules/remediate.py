"""Renders a remediation as commands that a person can paste into a root shell.

A value comes from the host's owner or from whoever can name a file there, so each ends up as exactly one shell word,
whatever it holds:

- plain values as they are, others in single quotes;
- values with control characters, bytes that are not UTF-8, or characters that a terminal does not show as
  ``"$(printf '…')"`` with octal escapes, so that what is pasted is what is seen and nothing acts on the terminal.
  POSIX sh has no ``$'…'``, hence printf;
- values that no such word can carry, or that a parameter of that name cannot have (a unit name with a slash), give no
  command but the reason.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pipeline.contract import Doc
from pipeline.display import printable, quoted
from pipeline.knowledge.predicates import preferred_value
from pipeline.knowledge.schema import Expected, Remediation, RemediationRef, SlotSpec
from pipeline.report.escape import unescape
from pipeline.rules.undo import apply_line, note_name, undo_line

MAX_VALUE = 4096  # bytes; PATH_MAX: anything longer names no file and drowns the reader

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_TEMPLATE = re.compile(r"\{(expected:[A-Za-z0-9_.@:/+-]+|[A-Za-z0-9_]+)\}")
_QUOTED = 160  # characters of a value that is shown in quotation marks; two fit a sentence
_ONE_WORD = re.compile(r"[A-Za-z0-9@%+=:,./_~*\\-]+(?: \(deleted\))?")
_PLAIN = re.compile(rb"[A-Za-z0-9@%+=:,./_-]+")

# What a parameter of this name may look like; one that is not listed may be anything.
_SHAPES: dict[str, tuple[bytes, str]] = {
    "key": (rb"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+", "the name of a kernel setting"),
    "name": (rb"[a-z0-9_]+", "the name of a kernel setting"),
    "value": (rb"[A-Za-z0-9_~@:,./+][A-Za-z0-9_~@:,./+ -]{0,255}", "a plain setting"),
    "unit": (rb"(?!-)[A-Za-z0-9:_.\\@-]{1,240}\.(service|socket|timer|mount|path|target|slice)", "the name of a unit"),
    "directive": (rb"[A-Z][A-Za-z0-9]{1,63}", "the name of a unit directive"),
    "mountpoint": (rb"/[!-\[\]-~]*", "a mount point without white space or backslash"),
    "option": (rb"[a-z][a-z0-9_]{0,31}", "a mount option"),
    "module": (rb"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", "the name of a kernel module"),
    "package": (rb"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}", "the name of a package"),
    "pid": (rb"[1-9][0-9]{0,6}", "a process number"),
    "port": (rb"[1-9][0-9]{0,4}", "a port number"),
    "protocol": (rb"(tcp|udp)6?", "a protocol"),
    "path": (rb"/(?s:.)+", "an absolute path"),
    "argument": (rb"[a-z0-9_.]+(=[A-Za-z0-9_.,:-]+)?", "a kernel command line argument"),
    "container_id": (rb"[0-9a-f]{12,64}", "a container id"),
    "scanner": (rb"[a-z][a-z0-9_]*", "the name of a scanner"),
    "control": (rb"[0-9A-Za-z.()]+", "the number of a control"),
}


@dataclass(slots=True, frozen=True)
class Action:
    """One remediation, filled in for a finding."""

    id: Annotated[str, Doc("Which action.")]
    summary: Annotated[str, Doc("In words.")]
    command: Annotated[
        str | None,
        Doc("For a root shell, every value of the host quoted; null where it would do harm or cannot be written."),
    ]
    contraindicated: Annotated[
        str | None, Doc("Why this action would break something here, or null; then there is no command.")
    ]
    check: Annotated[str | None, Doc("How to see that it worked.")]
    rollback: Annotated[str | None, Doc("The way back.")]
    caution: Annotated[str | None, Doc("What to mind; left out when there is nothing.")] = None
    acceptance: Annotated[
        str | None,
        Doc(
            "For what the scanner goes on reporting after this action: the entry for `allow` in a policy file, to be "
            "put there once the check has passed. Left out where the scanner sees what was done."
        ),
    ] = None


class _Refused(Exception):
    """Raised when a text cannot be rendered; its message is the reason."""


def render(
    ref: RemediationRef,
    remediation: Remediation,
    slots: Mapping[str, str],
    expected: Mapping[str, Expected],
    profile: str,
    contraindicated: str | None,
    escaped: Collection[str] = (),
) -> Action:
    """Fill a remediation in for one finding.

    Args:
        contraindicated: why this action would break something here; then no command is given.
        escaped: names of the slots whose values are in the escaped form of `RawFinding.escaped`; commands get the
            bytes that they stand for.

    Returns:
        The action. A text that a value forbids is None, and `caution` says which value and why.

    Raises:
        KeyError: if `ref` names an `expected` entry that does not exist.
    """
    values: dict[str, bytes | str] = {}
    shown: dict[str, str] = {}
    for param in remediation.params:
        template = ref.with_.get(param, "")
        values[param], shown[param] = _value(param, template, slots, expected, profile, escaped)
    summary = _show(remediation.summary, shown)
    reasons: dict[str, None] = {}
    command, check, rollback = _lines(ref.use, remediation, values, reasons)
    caution = remediation.caution
    if contraindicated is not None:
        summary, command, rollback, caution = f"Accept or replace, do not apply here: {summary}", None, None, None
    if reasons:
        caution = " ".join(part for part in (*reasons, caution) if part)
    return Action(ref.use, summary, command, contraindicated, check, rollback, caution or None)


def values_of(ref: RemediationRef, slots: Mapping[str, str], escaped: Collection[str]) -> tuple[object, ...]:
    """Give all of a finding that `render` reads: two with equal values have the same action."""
    given: list[object] = [ref.use]
    for param, template in ref.with_.items():
        given += (param, template)
        given += [(slots.get(name), name in escaped) for name in _template_parts(template)[1::2]]
    return tuple(given)


def _lines(
    use: str, remediation: Remediation, values: Mapping[str, bytes | str], reasons: dict[str, None]
) -> tuple[str | None, str | None, str | None]:
    """Write command, check and way back; where there is a note, the first and the last go through it."""
    check = _fill(remediation.check, values, reasons)
    if remediation.note is None:
        return _fill(remediation.command, values, reasons), check, _fill(remediation.rollback, values, reasons)
    parts = (
        remediation.let or "",
        remediation.needs or "",
        remediation.note,
        remediation.command,
        remediation.rollback,
    )
    # A part that is not there stays empty, so None means that a value cannot be written.
    let, needs, note, command, rollback = (_fill(part, values, reasons) for part in parts)
    if let is None or needs is None or note is None or command is None or rollback is None:
        return None, check, None
    name = note_name(use, {name: value for name, value in values.items() if isinstance(value, bytes)})
    return apply_line(name, let, needs, note, command), check, undo_line(name, let, rollback)


def escaped_slots(escaped: Collection[str], specs: Mapping[str, SlotSpec]) -> frozenset[str]:
    """Name the slots that hold the escaped form, given the escaped fields of the finding."""
    if not escaped:
        return frozenset()
    return frozenset(name for name, spec in specs.items() if spec.source in escaped)


def shell_word(value: bytes) -> str:
    """Write a value as one word of POSIX sh that shows everything it holds.

    Raises:
        ValueError: if no word of a shell can carry it: a NUL, or a trailing newline beside bytes that must be escaped.
    """
    if not value:
        return "''"
    if b"\0" in value:
        raise ValueError("holds a NUL byte")
    if _PLAIN.fullmatch(value):
        return value.decode("ascii")
    try:
        text = value.decode()
        plain = text.isprintable()
    except UnicodeDecodeError:
        plain = False
    if plain:
        return "'" + text.replace("'", "'\"'\"'") + "'"
    if value.endswith(b"\n"):
        raise ValueError("ends in a newline")  # which $(...) would cut off
    return "\"$(printf '" + _printf_format(value) + "')\""


def _printf_format(value: bytes) -> str:
    """Write bytes as a format of printf: printable ASCII as it is, all else in octal.

    In octal, too: what printf reads itself, what an interactive shell expands inside double quotes (``!``), and a
    dash in front, which printf would take for an option.
    """
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"%\\'\"`$!" and (at or byte != 0x2D) else f"\\{byte:03o}"
        for at, byte in enumerate(value)
    )


def _value(
    param: str,
    template: str,
    slots: Mapping[str, str],
    expected: Mapping[str, Expected],
    profile: str,
    escaped: Collection[str],
) -> tuple[bytes | str, str]:
    """Give a parameter's bytes (or, as a str, the reason why it has none) and how to show it."""
    first, *rest = _template_parts(template)
    raw = bytearray(first.encode())
    shown = [first]
    reason = None
    for name, literal in zip(rest[::2], rest[1::2], strict=True):
        if name.startswith("expected:"):
            text: str | None = preferred_value(expected, name.removeprefix("expected:"), profile)
        else:
            text = slots.get(name)
        if text is None:
            shown.append(f"({name} not reported)")
            reason = reason or f"the report does not say {name}"
        else:
            shown.append(_shown(text))
            try:
                raw += unescape(text) if name in escaped else text.encode()
            except UnicodeEncodeError:
                reason = reason or f"{name} holds a lone surrogate"
        raw += literal.encode()
        shown.append(literal)
    return reason or _checked(param, bytes(raw)), "".join(shown)


def _checked(param: str, value: bytes) -> bytes | str:
    if len(value) > MAX_VALUE:
        return f"{param} is longer than {MAX_VALUE} bytes"
    shape = _SHAPES.get(param)
    if shape is not None and not _shape(shape[0]).fullmatch(value):
        return f"{param} is not {shape[1]}"
    return value


@lru_cache(maxsize=64)
def _shape(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


@lru_cache(maxsize=1024)
def _parts(template: str) -> tuple[str, ...]:
    """Split into literal text and names of parameters, in turn."""
    return tuple(_PLACEHOLDER.split(template))


@lru_cache(maxsize=1024)
def _template_parts(template: str) -> tuple[str, ...]:
    """Split into literal text and names of slots or expected values, in turn."""
    return tuple(_TEMPLATE.split(template))


def _shown(text: str) -> str:
    """Show a value in a sentence: in quotation marks where it has more than one word and could read as the sentence."""
    return printable(text) if _ONE_WORD.fullmatch(text) else quoted(text, _QUOTED)


def _show(template: str, shown: Mapping[str, str]) -> str:
    """Put the values in as text; a parameter that has none stays as it is."""
    parts = list(_parts(template))
    parts[1::2] = [shown.get(name, f"{{{name}}}") for name in parts[1::2]]
    return "".join(parts)


def _fill(template: str | None, values: Mapping[str, bytes | str], reasons: dict[str, None]) -> str | None:
    """Put the values in, each as one shell word; None, with the reason added to `reasons`, if one cannot be."""
    if template is None:
        return None
    parts = _parts(template)
    filled = [parts[0]]
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        value = values[name]
        try:
            if isinstance(value, str):
                raise _Refused(value)
            filled += [shell_word(value), literal]
        except (_Refused, ValueError) as error:
            why = str(error) if isinstance(error, _Refused) else f"{name} {error}"
            reasons[f"Without a command, because {why}."] = None
            return None
    return "".join(filled)
