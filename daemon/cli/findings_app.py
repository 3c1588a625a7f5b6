"""The commands that say what findings are, and their options."""

import os
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.export_app import AllIssues, Detail
from daemon.cli.options import (
    AcceptedOption,
    AsJson,
    ClassOption,
    Config,
    FailOnOption,
    Format,
    Host,
    IntelFiles,
    KnowledgeDirs,
    LevelOption,
    NewOption,
    Policy,
    ReportForm,
    StateDir,
    flags,
)

From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Enriched NDJSON to look in. Default: the daemon's output."),
]


def analyze(
    reports: Annotated[list[str], typer.Argument(help="Report files; - is standard input.", metavar="REPORT...")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the NDJSON here instead of standard output; - is standard output.",
        ),
    ] = None,
    as_json: AsJson = False,
    all_issues: AllIssues = False,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="When reports came in, and undated ones were made (RFC 3339). Default: the time of the file.",
            metavar="TIME",
        ),
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Compare with and add to the host's baseline.")] = False,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            "--verdicts", metavar="PATH", help="Log of verdicts, or the state directory that holds it. Default: none."
        ),
    ] = None,
    form: Annotated[
        ReportForm | None,
        typer.Option("--format", help="Default: text on a terminal, NDJSON in a pipe or a file.", show_default=False),
    ] = None,
    detail: Detail = False,
    level: LevelOption = None,
    class_: ClassOption = None,
    new: NewOption = False,
    show_accepted: AcceptedOption = False,
    fail_on: FailOnOption = None,
    state_dir: StateDir = None,
    config: Config = None,
    host: Host = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
    intel: IntelFiles = None,
) -> None:
    """Analyse reports once: enriched NDJSON to a pipe, a readable summary to a terminal."""
    from daemon.ahead import opened_ahead
    from daemon.settings import load_settings

    settings = load_settings(os.environ, flags(state_dir, host, policy, knowledge, intel), config)
    with opened_ahead(settings) as process:
        # Importing the rest takes as long as loading a model.
        from daemon.cli.analyze import analyze_reports
        from pipeline.output.formats.wanted import Wanted

        ended = analyze_reports(
            reports, settings, process, output=output, as_json=as_json, all_issues=all_issues, as_of=as_of,
            record=record, host=host, verdicts=verdicts, form=form, detail=detail,
            wanted=Wanted(level, tuple(class_ or ()), new), show_accepted=show_accepted, fail_on=fail_on,
        )  # fmt: skip
    raise typer.Exit(int(ended))


def show(
    finding: Annotated[str, typer.Argument(help="Beginning of a dedupe key or a fingerprint.", metavar="KEY")],
    source: From = None,
    format_: Format = None,
    state_dir: StateDir = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Show one finding, or what stands for an issue: what it is, where, and what to do about it."""
    from daemon.cli.explain import explain_finding

    raise typer.Exit(
        int(
            explain_finding(
                flags(state_dir, knowledge=knowledge), config, finding, source=source, format_=format_, brief=True
            )
        )
    )


def explain(
    finding: Annotated[str, typer.Argument(help="Beginning of a dedupe key or a fingerprint.", metavar="FINDING")],
    source: From = None,
    format_: Format = None,
    state_dir: StateDir = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Say why a finding is what it is: class, status, every point of its score, and the source of every mapping."""
    from daemon.cli.explain import explain_finding

    raise typer.Exit(
        int(explain_finding(flags(state_dir, knowledge=knowledge), config, finding, source=source, format_=format_))
    )
