"""`sysscan-agent analyze`."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from daemon.analysis_cache import analysis_cache
from daemon.cli import startup
from daemon.cli.exits import Exit, die, say
from daemon.cli.export import convert_lines
from daemon.cli.options import Form
from daemon.cli.show import show_record
from daemon.cli.target import explained, open_target
from daemon.cli.terminal import terminal
from daemon.ledger import Ledger
from daemon.one_shot import OneShot, Refused
from daemon.resources import open_resources
from daemon.settings import load_settings
from pipeline.analysis.question import AnalysisStore
from pipeline.bars import bars
from pipeline.display import printable
from pipeline.graph.resources import Resources
from pipeline.intel.stix_bundle import utc
from pipeline.output.enriched import Line
from pipeline.output.lines import finding_line, scan_lines
from pipeline.output.write import write
from pipeline.review.log import read_standing
from pipeline.review.standing import NONE


def analyze_reports(
    reports: Sequence[str],
    given: Mapping[str, Any],
    config: Path | None,
    *,
    output: Path | None,
    as_json: bool,
    all_issues: bool,
    as_of: str | None,
    record: bool,
    verdicts: Path | None = None,
    form: Form | None = None,
) -> Exit:
    """Analyse reports; enriched findings and scan records go to a file or a pipe, a summary to a terminal.

    Args:
        form: what to write instead of NDJSON; then nothing but that goes to a terminal.
    """
    settings = load_settings(os.environ, given, config)
    if as_of is not None:
        try:
            as_of = utc(as_of)
        except ValueError:
            die(Exit.USAGE, f"--as-of {as_of}: not a time in RFC 3339 form, such as 2026-11-04T03:00:44Z")
    standing = read_standing(verdicts) if verdicts is not None else NONE
    if as_json and form not in (None, "ndjson"):
        die(Exit.USAGE, f"--json: has no effect beside --format {form}; leave one of them out")
    if output is not None and str(output) == "-":
        output, as_json = None, True
    to_terminal = output is None and sys.stdout.isatty() and not as_json and form is None
    console = terminal(sys.stdout if to_terminal else sys.stderr)
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(settings.state_dir, clock=time.time)) if record else None
        store: AnalysisStore | None = ledger.analyses if ledger is not None else None
        if store is None and settings.model.enabled:
            store = stack.enter_context(analysis_cache(settings.given_state_dir))
        resources = open_resources(settings, store)
        stack.callback(resources.close)
        startup.loaded()
        stack.enter_context(explained(output))  # outside of what is closed after it, inside of ledger and model
        file = stack.enter_context(open_target(output, reports, "report", settings))
        # Other forms are made of whole scans: their lines wait in a file of no name.
        lines = stack.enter_context(TemporaryFile()) if form not in (None, "ndjson") else file
        run = OneShot(resources, settings.limits, settings.analysis.batch_size, settings.host, as_of, ledger, standing)

        advance = stack.enter_context(bars())

        as_lines = lines is file  # other forms are made of whole records

        def emit(made: Sequence[Line]) -> None:
            if not to_terminal:
                whole = [line.line for line in made]
                lines.write(b"".join([line + b"\n" for line in (map(finding_line, whole) if as_lines else whole)]))

        for source in reports:
            for analysed in run.analyse(source, emit, partial(advance, f"findings of {printable(source, 40)}")):
                if not to_terminal:
                    made = scan_lines(analysed.record) if as_lines else [write(analysed.record)]
                    lines.write(b"".join([line + b"\n" for line in made]))
                if to_terminal or (output is not None and sys.stderr.isatty()):
                    show_record(console, analysed.record, limit=None if all_issues else 12)
        if form not in (None, "ndjson"):
            convert_lines(lines, form, file, len(run.refused))
    if (notice := _notice(resources)) is not None:
        say(f"sysscan-agent: {printable(notice, 1000)}; see `sysscan-agent doctor`")
    for refused in run.refused:
        say(_explain(refused))
    return Exit.REJECTED if run.refused else Exit.DONE


def _notice(resources: Resources) -> str | None:
    if resources.analyst is not None and resources.analyst.failure is not None:
        return f"some findings were left to the rules: {resources.analyst.failure}"
    if resources.retriever.failure is not None:
        return f"unknown findings are told without what they look like: {resources.retriever.failure}"
    return resources.notice


def _explain(refused: Refused) -> str:
    reject = refused.reject
    place = "".join(
        [f" at byte {reject.offset}" if reject.offset is not None else "", f" in {reject.path}" if reject.path else ""]
    )
    return f"sysscan-agent: {printable(refused.source)}: {reject.reason}{place}: {printable(reject.detail)}"
