"""The forms that findings are given in, by the name that `--format` has for them.

A form is a function of scans (`pipeline/output/formats/`); one that is added is a name and a line here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from daemon.cli.exits import Exit, die, say
from daemon.cli.options import Form
from pipeline.output.formats.csv import csv
from pipeline.output.formats.htmlpage.page import html
from pipeline.output.formats.markdown import markdown
from pipeline.output.formats.ocsf import ocsf
from pipeline.output.formats.oscal import oscal
from pipeline.output.formats.plain import json, ndjson
from pipeline.output.formats.sarif import sarif
from pipeline.output.formats.scan import Scan
from pipeline.output.records import VerdictRecord


@dataclass(slots=True, frozen=True)
class Options:
    """What only some forms know.

    Attributes:
        all_: also what passed, and what is no weakness.
        bom: a byte order mark comes first.
        controls: also an event for each control.
    """

    all_: bool = False
    bom: bool = False
    controls: bool = False


_KNOWN: dict[str, tuple[str, tuple[Form, ...]]] = {
    "all_": ("--all", ("sarif", "ocsf")),
    "bom": ("--bom", ("csv",)),
    "controls": ("--controls", ("ocsf",)),
}


def check_options(form: str, options: Options) -> None:
    """End the program where an option has no effect on a form."""
    for name, (flag, forms) in _KNOWN.items():
        if getattr(options, name) and form not in forms:
            die(Exit.USAGE, f"{flag}: has no effect on --format {form}, only on {' and '.join(forms)}; leave it out")


def write_form(
    form: Form, scans: Iterable[Scan], options: Options, file: BinaryIO, verdicts: Sequence[VerdictRecord] = ()
) -> None:
    """Write scans in a form; what a receiver would refuse is said on standard error.

    Args:
        verdicts: the records of verdicts that the scans are judged with, for forms that have a place for them.
    """
    for piece in _pieces(form, scans, options, verdicts, lambda text: say(f"sysscan-agent: {text}")):
        file.write(piece)


def _pieces(
    form: Form,
    scans: Iterable[Scan],
    options: Options,
    verdicts: Sequence[VerdictRecord],
    tell: Callable[[str], None],
) -> Iterator[bytes]:
    match form:
        case "ndjson":
            return ndjson(scans, verdicts)
        case "json":
            return json(scans, verdicts)
        case "sarif":
            return sarif(scans, all_=options.all_, tell=tell)
        case "csv":
            return csv(scans, bom=options.bom)
        case "ocsf":
            return ocsf(scans, all_=options.all_, controls=options.controls)
        case "markdown":
            return markdown(scans)
        case "html":
            return html(scans)
        case "oscal":
            return oscal(scans)
