"""`sysscan-agent`: the commands and their options.

The commands import what they need when they run: LangGraph alone takes half a second, and `--help` needs none of it.
"""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from daemon.cli import startup
from daemon.cli.audit_app import audit_app
from daemon.cli.exits import Exit, die, leave
from daemon.cli.export_app import export, remediate, report
from daemon.cli.failures import fail, leave_closed_pipe
from daemon.cli.findings_app import analyze, explain, show
from daemon.cli.kafka_app import kafka_app, publish
from daemon.cli.ledger_app import ledger_app
from daemon.cli.list_app import list_app
from daemon.cli.model_app import model_app
from daemon.cli.options import (
    AsJson,
    Config,
    Host,
    IntelFiles,
    KnowledgeDirs,
    Policy,
    StateDir,
    TextOrJson,
    flags,
    refuse_early,
)
from daemon.cli.review.app import review_app
from pipeline.engine.runtimes import Runtime
from pipeline.errors import AgentError

_NAME = "sysscan-agent"
_EPILOG = (
    "Exit codes: 0 done; 1 done, but some input could not be used; 2 a flag, setting or file must be changed first; "
    "3 the ledger is in use, damaged or not there yet; 4 not found; 5 what --fail-on names was found."
)

# What a library says of values, in the words of this program.
_WORDS = (
    (re.compile(r"Input should be a valid integer\b.*"), "needed is a whole number"),
    (re.compile(r"Input should be greater than or equal to (-?\d+)"), r"needed is \1 or more"),
    (re.compile(r"Input should be less than or equal to (-?\d+)"), r"needed is \1 or less"),
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
app.add_typer(ledger_app, name="ledger")
app.add_typer(model_app, name="model")
app.add_typer(kafka_app, name="kafka")
app.add_typer(review_app, name="review")
app.add_typer(audit_app, name="audit")
app.add_typer(list_app, name="list")

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
Once = Annotated[bool, typer.Option("--once", help="Take in what is there, deliver it, and end.")]


def main() -> None:
    """Run the command line; errors that are raised on purpose end it with one line."""
    startup.begin()
    code = int(Exit.DONE)
    try:
        code = app(prog_name=_NAME, standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        die(Exit.USAGE, _usage(error))
    except BrokenPipeError:
        leave_closed_pipe(code)
    except KeyboardInterrupt:  # before anything was begun that has to be ended
        raise SystemExit(130) from None
    except (AgentError, OSError, MemoryError) as error:
        fail(error)
    except SystemExit as end:
        if end.code == 1 and isinstance(end.__context__, BrokenPipeError):  # which typer made of it
            leave_closed_pipe()
        raise
    leave(code)


def _usage(error: TyperException) -> str:
    message = " ".join(error.format_message().replace(" Value error,", "").split()).rstrip(".")
    for pattern, words in _WORDS:
        message = pattern.sub(words, message)
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
    if context.invoked_subcommand is not None:
        refuse_early(context)
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


app.command()(analyze)
app.command()(report)
app.command()(show)
app.command()(explain)
app.command()(remediate)
app.command()(export)
app.command()(publish)


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
    format_: TextOrJson = None,
) -> None:
    """Score a model on cases whose right answers are known: validity, mapping, levels, actions, hostile texts."""
    from daemon.cli.evaluate import evaluate_local

    raise typer.Exit(int(evaluate_local(model, data, limit=limit, runtime=runtime, threads=threads, as_json=as_json)))


@app.command()
def doctor(
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
    policy: Policy = None,
    knowledge: KnowledgeDirs = None,
    intel: IntelFiles = None,
) -> None:
    """Check settings, knowledge, policy, ledger, directories and the machine; says what to do about each problem."""
    from daemon.cli.doctor import examine

    raise typer.Exit(int(examine(flags(state_dir, None, policy, knowledge, intel), config, as_json=as_json)))
