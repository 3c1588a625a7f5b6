"""`sysscan-agent analyze`."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

from daemon.analysis_cache import analysis_cache
from daemon.cli import startup
from daemon.cli.exits import Exit, die, say
from daemon.cli.export import convert_lines
from daemon.cli.exporting.refusals import refusal
from daemon.cli.filters import check_classes
from daemon.cli.gate import Gate
from daemon.cli.options import ReportForm
from daemon.cli.show import show_record
from daemon.cli.summary import LISTED, Shown, settled
from daemon.cli.target import explained, open_target
from daemon.cli.terminal import terminal
from daemon.cli.unheeded import unheeded
from daemon.inference import ModelProcess
from daemon.ledger import Ledger
from daemon.one_shot import OneShot
from daemon.resources import open_resources
from daemon.settings import Settings
from pipeline.analysis.question import AnalysisStore
from pipeline.bars import bars
from pipeline.display import printable
from pipeline.finding import Level
from pipeline.graph.resources import Resources
from pipeline.intel.stix_bundle import utc
from pipeline.output.enriched import Line
from pipeline.output.formats.wanted import Wanted
from pipeline.output.lines import finding_line, scan_lines
from pipeline.output.read import read_finding
from pipeline.output.records import EnrichedFinding
from pipeline.output.write import write
from pipeline.review.log import read_standing
from pipeline.review.standing import NONE

_WARNINGS = 10  # about lists of indicators
_SECONDS = len("2026-11-04T03:00:44")


def analyze_reports(
    reports: Sequence[str],
    settings: Settings,
    process: ModelProcess | None,
    *,
    output: Path | None,
    as_json: bool,
    all_issues: bool,
    as_of: str | None,
    record: bool,
    host: str | None = None,
    verdicts: Path | None = None,
    form: ReportForm | None = None,
    detail: bool = False,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    show_accepted: bool = False,
    fail_on: Level | None = None,
) -> Exit:
    """Analyse reports; enriched findings and scan records go to a file or a pipe, a summary to a terminal.

    Args:
        process: of the model that is to answer, where it was opened before.
        host: that was named beside the reports.
        form: what to write; default: a summary to a terminal, NDJSON anywhere else.
        wanted: which findings; scan records say what the whole scan comes to.
    """
    if as_of is not None:
        try:
            as_of = f"{utc(as_of)[:_SECONDS]}Z"
        except ValueError:
            die(Exit.USAGE, f"--as-of {as_of}: not a time in RFC 3339 form, such as 2026-11-04T03:00:44Z")
    standing = read_standing(verdicts) if verdicts is not None else NONE
    if as_json and form not in (None, "ndjson"):
        die(Exit.USAGE, f"--json: has no effect beside --format {form}; leave one of them out")
    if output is not None and str(output) == "-":
        output, as_json = None, True
    if form == "text" and output is not None:
        die(Exit.USAGE, "--format text: goes to standard output; for a file choose another format, or redirect it")
    to_terminal = form == "text" or (output is None and sys.stdout.isatty() and not as_json and form is None)
    for chosen, flag in ((detail, "--detail"), (show_accepted, "--show-accepted"), (all_issues, "--all")):
        if chosen and not (to_terminal or (output is not None and sys.stderr.isatty())):
            die(Exit.USAGE, f"{flag}: has no effect where no summary is shown; add --format text, or leave it out")
    gate = Gate(fail_on, wanted)
    console = terminal(sys.stdout if to_terminal else sys.stderr)
    with gate.guarding(), ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(settings.state_dir, clock=time.time)) if record else None
        store: AnalysisStore | None = ledger.analyses if ledger is not None else None
        if store is None and settings.model.enabled:
            store = stack.enter_context(analysis_cache(settings.given_state_dir))
        resources = open_resources(settings, store, process=process)
        stack.callback(resources.close)
        startup.loaded()
        check_classes(wanted.classes, settings.knowledge_dirs)
        for warning in resources.intel.warnings[:_WARNINGS]:
            say(f"sysscan-agent: --intel: {printable(warning, 1000)}")
        stack.enter_context(explained(output))  # outside of what is closed after it, inside of ledger and model
        file = stack.enter_context(open_target(output, reports, "report", settings))
        # Other forms are made of whole scans: their lines wait in a file of no name.
        lines = stack.enter_context(TemporaryFile()) if form not in (None, "ndjson", "text") else file
        run = OneShot(resources, settings.limits, settings.analysis.batch_size, settings.host, as_of, ledger, standing)

        advance = stack.enter_context(bars())

        accepted: list[EnrichedFinding] = []
        reads = bool(wanted) or show_accepted or fail_on is not None
        as_lines = lines is file  # other forms are made of whole records

        def emit(made: Sequence[Line]) -> None:
            if reads:
                findings = [read_finding(line.line) for line in made]
                gate.count(findings)
                accepted.extend(settled(findings) if show_accepted else [])
                made = [line for line, finding in zip(made, findings, strict=True) if wanted.takes(finding)]
            if not to_terminal:
                whole = [line.line for line in made]
                lines.write(b"".join([line + b"\n" for line in (map(finding_line, whole) if as_lines else whole)]))

        said: dict[str, None] = {}  # a file may hold many reports
        shown_before = False
        for source in reports:
            for analysed in run.analyse(source, emit, partial(advance, f"findings of {printable(source, 40)}")):
                gate.look(analysed.record)
                said.update(dict.fromkeys(unheeded(source, analysed.record, host, as_of, recorded=record)))
                if not to_terminal:
                    record_lines = scan_lines(analysed.record) if as_lines else [write(analysed.record)]
                    lines.write(b"".join([line + b"\n" for line in record_lines]))
                if to_terminal or (output is not None and sys.stderr.isatty()):
                    if shown_before:
                        console.print()
                    shown_before = True
                    limit = None if all_issues or detail else LISTED
                    shown = Shown(source, limit, wanted, tuple(accepted))
                    show_record(console, analysed.record, shown, detail=detail)
                accepted.clear()
        if form not in (None, "ndjson", "text"):
            assert form is not None and form != "text"
            convert_lines(lines, form, file, len(run.refused), wanted)
    if (notice := _notice(resources)) is not None:
        say(f"sysscan-agent: {printable(notice, 1000)}; see `sysscan-agent doctor`")
    for line in said:
        say(f"sysscan-agent: {line}")
    for refused in run.refused:
        say(f"sysscan-agent: {refusal(refused)}")
    return gate.ended(Exit.REJECTED if run.refused else Exit.DONE)


def _notice(resources: Resources) -> str | None:
    if resources.analyst is not None and resources.analyst.failure is not None:
        return f"some findings were left to the rules: {resources.analyst.failure}"
    if resources.retriever.failure is not None:
        return f"unknown findings are told without what they look like: {resources.retriever.failure}"
    return resources.notice
