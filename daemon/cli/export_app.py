"""The commands that hand out what is known of scans, and their options."""

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.options import (
    AcceptedOption,
    ClassOption,
    Config,
    FailOnOption,
    Form,
    KnowledgeDirs,
    LevelOption,
    NewOption,
    PlanForm,
    Policy,
    ReportForm,
    StateDir,
    flags,
)

Detail = Annotated[
    bool, typer.Option("--detail", help="Say of each issue what it is, and show the story and the compliance evidence.")
]

AllIssues = Annotated[bool, typer.Option("--all", help="Show every issue in the summary.")]


def report(
    scan: Annotated[
        str | None, typer.Argument(help="Beginning of a scan id. Default: the latest scan.", metavar="SCAN")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="NAME", help="The latest scan of this host.")] = None,
    format_: Annotated[
        ReportForm | None,
        typer.Option(
            "--format",
            help="Default: text on a terminal, the record as JSON in a pipe. Others have the findings, too.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the scans that can be reported on.")] = False,
    detail: Detail = False,
    all_issues: AllIssues = False,
    level: LevelOption = None,
    class_: ClassOption = None,
    new: NewOption = False,
    show_accepted: AcceptedOption = False,
    fail_on: FailOnOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="With --format: write it here, not to standard output."),
    ] = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show what a scan found: risks, correlations, what changed, and compliance evidence."""
    from daemon.cli.report import show_report
    from pipeline.output.formats.wanted import Wanted

    raise typer.Exit(
        int(
            show_report(
                flags(state_dir), config, scan=scan, host=host, format_=format_, list_=list_, detail=detail,
                wanted=Wanted(level, tuple(class_ or ()), new), show_accepted=show_accepted, fail_on=fail_on,
                output=None if output is None or str(output) == "-" else output, all_issues=all_issues,
            )
        )
    )  # fmt: skip


def export(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Files of enriched NDJSON; - is standard input. Default: the ledger.", metavar="[FILE]..."),
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="In which form; docs/export.md describes each.", show_default=False)
    ] = ...,  # type: ignore[assignment]
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here instead of to standard output."),
    ] = None,
    scan: Annotated[
        str | None,
        typer.Option("--scan", metavar="SCAN", help="Only scans whose id begins so.", show_default=False),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="NAME", help="Only scans of this host.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="In SARIF and OCSF: also what passed, and what is no weakness.")
    ] = False,
    bom: Annotated[
        bool, typer.Option("--bom", help="In CSV: begin with a byte order mark, as Excel wants it.")
    ] = False,
    controls: Annotated[
        bool, typer.Option("--controls", help="In OCSF: also a compliance finding for each control.")
    ] = False,
    level: LevelOption = None,
    class_: ClassOption = None,
    new: NewOption = False,
    fail_on: FailOnOption = None,
    state_dir: StateDir = None,
    config: Config = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Hand findings to other tools: those of the latest scan of each host, or of saved lines, as they are now."""
    from daemon.cli.export import export_scans
    from daemon.cli.exporting.forms import Options
    from pipeline.output.formats.wanted import Wanted

    raise typer.Exit(
        int(
            export_scans(
                flags(state_dir, policy=policy, knowledge=knowledge), config, files or [], form=form,
                options=Options(all_, bom, controls), output=output, scan=scan, host=host,
                wanted=Wanted(level, tuple(class_ or ()), new), fail_on=fail_on,
            )
        )
    )  # fmt: skip


def remediate(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Scanner reports, or enriched NDJSON; - is enriched NDJSON from standard input. Default: the ledger.",
            metavar="[FILE]...",
        ),
    ] = None,
    form: Annotated[
        PlanForm,
        typer.Option("--format", help="A script, a playbook, or a document to agree on.", show_default=False),
    ] = ...,  # type: ignore[assignment]
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it here instead of to standard output."),
    ] = None,
    scan: Annotated[
        str | None,
        typer.Option("--scan", metavar="SCAN", help="Only scans whose id begins so.", show_default=False),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="NAME", help="Only scans of this host.")] = None,
    level: LevelOption = None,
    class_: ClassOption = None,
    new: NewOption = False,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="ACTION",
            help="Also this action, which needs a look first that somebody has taken; may be repeated.",
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = None,
    config: Config = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Write a plan of what can be mended: each step with its check and its way back, and what is left to a person."""
    from daemon.cli.remediate import write_plan
    from pipeline.output.formats.wanted import Wanted

    raise typer.Exit(
        int(
            write_plan(
                flags(state_dir, None, policy, knowledge), config, files or [], form=form, output=output, scan=scan,
                host=host, wanted=Wanted(level, tuple(class_ or ()), new), included=include or [],
            )
        )
    )  # fmt: skip
