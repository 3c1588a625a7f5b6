"""`sysscan-agent`: the commands and their options.

The commands import what they need when they run: LangGraph alone takes half a second, and `--help` needs none of it.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.exceptions import TyperException

from daemon.cli import startup
from daemon.cli.audit_app import audit_app
from daemon.cli.exits import Exit, die, leave
from daemon.cli.export_app import export, report
from daemon.cli.failures import fail, leave_closed_pipe
from daemon.cli.kafka_app import kafka_app, publish
from daemon.cli.options import LARGEST, AsJson, Config, Form, Host, IntelFiles, KnowledgeDirs, Policy, StateDir, flags
from daemon.cli.review.app import review_app
from pipeline.engine.runtimes import Runtime
from pipeline.errors import AgentError

_NAME = "sysscan-agent"
_EPILOG = (
    "Exit codes: 0 done; 1 done, but some input could not be used; 2 a flag, setting or file must be changed first; "
    "3 the ledger is in use, damaged or not there yet; 4 not found."
)

app = typer.Typer(
    name=_NAME,
    help="Turn reports of sys-scan into analysed, compliance-mapped findings, each exactly once. "
    "Nothing leaves the host.",
    epilog=_EPILOG,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ledger_app = typer.Typer(help="Look at, check and repair what the daemon remembers.")
quarantine_app = typer.Typer(help="Input that could not be used, and why.")
aside_app = typer.Typer(help="Scans that are not worked on: they ended the process, or are damaged.")
model_app = typer.Typer(help="The models that are there, and which of them answers.")
app.add_typer(ledger_app, name="ledger")
app.add_typer(model_app, name="model")
app.add_typer(kafka_app, name="kafka")
app.add_typer(review_app, name="review")
app.add_typer(audit_app, name="audit")
ledger_app.add_typer(aside_app, name="aside")
ledger_app.add_typer(quarantine_app, name="quarantine")

Watch = Annotated[
    list[Path] | None,
    typer.Option(
        "--watch",
        "-w",
        metavar="PATH",
        help="Directory or file to watch for reports, or - for a pipe; may be repeated.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="File for the enriched findings. Default: in the state directory."
    ),
]
Format = Annotated[
    Literal["text", "json"] | None,
    typer.Option("--format", help="Default: text on a terminal, JSON in a pipe.", show_default=False),
]
Which = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help="Digest, or its beginning; embedded: the one of the program.", show_default=False
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever reads it later.")]
Author = Annotated[
    str | None, typer.Option("--author", metavar="NAME", help="Who. Default: this user.", show_default=False)
]
Once = Annotated[bool, typer.Option("--once", help="Take in what is there, deliver it, and end.")]


def main() -> None:
    """Run the command line; errors that are raised on purpose end it with one line."""
    startup.begin()
    try:
        code = app(prog_name=_NAME, standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        die(Exit.USAGE, _usage(error))
    except BrokenPipeError:
        leave_closed_pipe()
    except KeyboardInterrupt:  # before anything was begun that has to be ended
        raise SystemExit(130) from None
    except (AgentError, OSError, MemoryError) as error:
        fail(error)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer makes exit code 1 of it
            leave_closed_pipe()
        raise
    leave(code)


def _usage(error: TyperException) -> str:
    message = " ".join(error.format_message().replace(" Value error,", "").split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path if context is not None else _NAME} --help`"


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    watch: Watch = None,
    output: Output = None,
    once: Once = False,
    state_dir: StateDir = None,
    config: Config = None,
    host: Host = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
    intel: IntelFiles = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Without a command, `--watch DIR` starts the daemon (as `run` does)."""
    if version:
        from daemon.version import VERSION

        typer.echo(f"sysscan-agent {VERSION}")
        raise typer.Exit
    command = context.invoked_subcommand
    if command is not None:
        early = [
            name for name in context.params if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
        ]
        if early:  # the command would never hear of it
            die(Exit.USAGE, f"--{early[0].replace('_', '-')} stands before `{command}`; put it behind the command")
        return
    if not watch:
        typer.echo(context.get_help())
        raise typer.Exit(int(Exit.USAGE))
    run(watch, output, once, state_dir, config, host, policy, knowledge, intel)


@app.command()
def run(
    watch: Watch = None,
    output: Output = None,
    once: Once = False,
    state_dir: StateDir = None,
    config: Config = None,
    host: Host = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
    intel: IntelFiles = None,
) -> None:
    """Watch directories and enrich every report that appears, exactly once.

    The first SIGTERM or SIGINT finishes what is in hand; the second leaves at once. Either way nothing is lost.
    """
    from daemon.cli.run import run_daemon

    given = flags(state_dir, host, policy, knowledge, intel)
    if watch:
        given["watch"] = {"roots": [str(root) if str(root) == "-" else str(root.absolute()) for root in watch]}
    if output is not None:
        if str(output) == "-":
            die(Exit.USAGE, "--output -: the daemon keeps a file; use `analyze` for standard output")
        given["output"] = {"path": str(output.absolute())}
    raise typer.Exit(int(run_daemon(given, config, once=once)))


@app.command()
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
    all_issues: Annotated[bool, typer.Option("--all", help="Show every issue in the summary.")] = False,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of", help="Time (RFC 3339) for rules that depend on it, for reports that carry none.", metavar="TIME"
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
        Form | None,
        typer.Option("--format", help="Write this instead of NDJSON, also to a terminal.", show_default=False),
    ] = None,
    state_dir: StateDir = None,
    config: Config = None,
    host: Host = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
    intel: IntelFiles = None,
) -> None:
    """Analyse reports once: enriched NDJSON to a pipe, a readable summary to a terminal."""
    from daemon.cli.analyze import analyze_reports

    given = flags(state_dir, host, policy, knowledge, intel)
    raise typer.Exit(
        int(
            analyze_reports(
                reports, given, config, output=output, as_json=as_json, all_issues=all_issues, as_of=as_of,
                record=record, verdicts=verdicts, form=form,
            )
        )
    )  # fmt: skip


app.command()(publish)


app.command()(report)
app.command()(export)


@app.command()
def explain(
    finding: Annotated[str, typer.Argument(help="Beginning of a dedupe key or a fingerprint.", metavar="FINDING")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Enriched NDJSON to look in. Default: the daemon's output."),
    ] = None,
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


@app.command()
def reload(state_dir: StateDir = None, config: Config = None) -> None:
    """Have the daemon read knowledge, policy and indicators again, between two scans. Bad files change nothing."""
    from daemon.cli.reload import reload_files

    raise typer.Exit(int(reload_files(flags(state_dir), config)))


@app.command()
def evaluate(
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Model directory. Default: the model of the package."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Holdouts or a data set. Default: the holdouts of the package."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Only so many cases of each holdout.")
    ] = None,
    runtime: Annotated[Runtime, typer.Option("--runtime", help="What runs the model.")] = "onnx",
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, max=64, metavar="N", help="CPU threads. Default: as the daemon.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on cases whose right answers are known: validity, mapping, levels, actions, hostile texts."""
    from daemon.cli.evaluate import evaluate_local

    raise typer.Exit(int(evaluate_local(model, data, limit=limit, runtime=runtime, threads=threads, as_json=as_json)))


@app.command()
def doctor(
    as_json: AsJson = False,
    state_dir: StateDir = None,
    config: Config = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
    intel: IntelFiles = None,
) -> None:
    """Check settings, knowledge, policy, ledger, directories and the machine; says what to do about each problem."""
    from daemon.cli.doctor import examine

    raise typer.Exit(int(examine(flags(state_dir, None, policy, knowledge, intel), config, as_json=as_json)))


@ledger_app.command("status")
def ledger_status(as_json: AsJson = False, state_dir: StateDir = None, config: Config = None) -> None:
    """Show what waits, what was delivered, and what is in quarantine."""
    from daemon.cli.ledger import show_status

    raise typer.Exit(int(show_status(flags(state_dir), config, as_json=as_json)))


@ledger_app.command("fsck")
def ledger_fsck(as_json: AsJson = False, state_dir: StateDir = None, config: Config = None) -> None:
    """Check every promise of the ledger against what is in it."""
    from daemon.cli.ledger import check

    raise typer.Exit(int(check(flags(state_dir), config, as_json=as_json)))


@aside_app.command("list")
def aside_list(as_json: AsJson = False, state_dir: StateDir = None, config: Config = None) -> None:
    """List the scans that are set aside, and why."""
    from daemon.cli.ledger import list_aside

    raise typer.Exit(int(list_aside(flags(state_dir), config, as_json=as_json)))


@aside_app.command("retry")
def aside_retry(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger aside list` shows it.")],
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have a scan worked on again, after you gave the service more memory or installed a newer version."""
    from daemon.cli.ledger import retry_aside

    raise typer.Exit(int(retry_aside(flags(state_dir), config, number)))


@quarantine_app.command("list")
def quarantine_list(
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="CODE", help="Only those with this reason code.")
    ] = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """List what could not be used."""
    from daemon.cli.ledger import list_quarantine

    raise typer.Exit(int(list_quarantine(flags(state_dir), config, reason=reason, as_json=as_json)))


@quarantine_app.command("show")
def quarantine_show(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger quarantine list` shows it.")],
    as_json: AsJson = False,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show one entry with the bytes in question."""
    from daemon.cli.ledger import show_quarantined

    raise typer.Exit(int(show_quarantined(flags(state_dir), config, number, as_json=as_json)))


@quarantine_app.command("retry")
def quarantine_retry(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger quarantine list` shows it.")],
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have the file read again from its start, after you mended it or installed a newer version."""
    from daemon.cli.ledger import retry_quarantined

    raise typer.Exit(int(retry_quarantined(flags(state_dir), config, number)))


@quarantine_app.command("dismiss")
def quarantine_dismiss(
    number: Annotated[int, typer.Argument(max=LARGEST, metavar="NUMBER", help="As `ledger quarantine list` shows it.")],
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Mark an entry as looked at."""
    from daemon.cli.ledger import dismiss_quarantined

    raise typer.Exit(int(dismiss_quarantined(flags(state_dir), config, number)))


@model_app.command("list")
def model_list(as_json: AsJson = False, state_dir: StateDir = None, config: Config = None) -> None:
    """List the models, and say which one answers."""
    from daemon.cli.model import list_models

    raise typer.Exit(int(list_models(flags(state_dir), config, as_json=as_json)))


@model_app.command("show")
def model_show(model: Which = None, as_json: AsJson = False, state_dir: StateDir = None, config: Config = None) -> None:
    """Show what a model was made from and when it answered; without a digest, the one that answers."""
    from daemon.cli.model import show_model

    raise typer.Exit(int(show_model(flags(state_dir), config, model, as_json=as_json)))


@model_app.command("verify")
def model_verify(
    model: Which = None, as_json: AsJson = False, state_dir: StateDir = None, config: Config = None
) -> None:
    """Check every file of a model, or of all of them; exit code 1 where one is not as it was made."""
    from daemon.cli.model import verify_models

    raise typer.Exit(int(verify_models(flags(state_dir), config, model, as_json=as_json)))


@model_app.command("add")
def model_add(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A model directory, as `sysscan-train export` makes it.")
    ],
    as_json: AsJson = False,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Copy a model into the registry; it answers only when it is promoted."""
    from daemon.cli.model import add_model

    raise typer.Exit(int(add_model(flags(state_dir), config, directory, as_json=as_json)))


@model_app.command("promote")
def model_promote(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Digest, or its beginning; embedded: the one of the program.")
    ],
    reason: Reason = "promoted by hand",
    author: Author = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have a model answer from the next scan on; it is verified and tried first, and the one before is kept."""
    from daemon.cli.model import promote_model

    raise typer.Exit(int(promote_model(flags(state_dir), config, model, reason=reason, author=author, as_json=as_json)))


@model_app.command("rollback")
def model_rollback(
    reason: Reason = "rolled back by hand",
    author: Author = None,
    as_json: AsJson = False,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have the model answer that did before the last promotion."""
    from daemon.cli.model import roll_back

    raise typer.Exit(int(roll_back(flags(state_dir), config, reason=reason, author=author, as_json=as_json)))
