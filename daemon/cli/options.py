"""The options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from daemon.cli.exits import Exit, die
from daemon.cli.terminal import choose_format
from pipeline.finding import Level

LARGEST = (1 << 63) - 1  # number that a table can have a row of

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        help="Where the ledger is kept. [env: SYSSCAN_STATE_DIR]",
        show_default=False,
        file_okay=False,
        metavar="DIR",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file (TOML). Default: /etc/sysscan-agent/config.toml if it exists."
    ),
]
Host = Annotated[
    str | None,
    typer.Option("--host", metavar="NAME", help="Host name for reports that do not name one.", show_default=False),
]
Policy = Annotated[
    list[Path] | None,
    typer.Option(
        "--policy",
        metavar="PATH",
        help="Policy file or directory (profile, overrides, allow-list); may be repeated.",
        show_default=False,
    ),
]
KnowledgeDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--knowledge",
        metavar="DIR",
        help="Directory of knowledge that adds to or overrides ours; may be repeated.",
        show_default=False,
    ),
]
IntelFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--intel", metavar="PATH", help="STIX 2.1 bundle or indicator list; may be repeated.", show_default=False
    ),
]
Brokers = Annotated[
    str | None,
    typer.Option(
        "--brokers",
        metavar="HOST:PORT,...",
        help="Some of the Kafka brokers. Default: kafka.brokers of the settings.",
        show_default=False,
    ),
]
# How `export` gives findings (`daemon/cli/exporting/forms.py`), and how `report` gives a scan.
Form = Literal["ndjson", "json", "sarif", "ocsf", "csv", "markdown", "html", "oscal"]
ReportForm = Literal["text", Form]
Format = Annotated[
    Literal["text", "json"] | None,
    typer.Option("--format", help="Default: text on a terminal, JSON in a pipe.", show_default=False),
]
PlanForm = Literal["bash", "ansible", "markdown"]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON even on a terminal.")]
# Beside `AsJson`; what was chosen, `terminal.wants_json` knows.
TextOrJson = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        "--format", help="Default: text on a terminal, JSON in a pipe.", show_default=False, callback=choose_format
    ),
]
LevelOption = Annotated[
    Level | None,
    typer.Option("--level", help="Only findings of at least this level.", show_default=False),
]
ClassOption = Annotated[
    list[str] | None,
    typer.Option(
        "--class", metavar="PATTERN", help="Only findings of this class, such as suid_sgid.*; may be repeated.",
        show_default=False,
    ),
]  # fmt: skip
NewOption = Annotated[
    bool, typer.Option("--new", help="Only findings that earlier scans of the host did not have, or had as mended.")
]
FailOnOption = Annotated[
    Level | None,
    typer.Option(
        "--fail-on", help="End with exit code 5 if a finding at stake is of this level or worse.", show_default=False
    ),
]
AcceptedOption = Annotated[
    bool,
    typer.Option("--show-accepted", help="Also list what somebody accepted or called a false positive (text only)."),
]


def flags(
    state_dir: Path | None = None,
    host: str | None = None,
    policy: list[Path] | None = None,
    knowledge: list[Path] | None = None,
    intel: list[Path] | None = None,
    **sections: dict[str, Any] | None,
) -> dict[str, Any]:
    """Arrange command-line options as settings; what was not given stays out."""
    return {
        "state_dir": state_dir,
        "host": host,
        "policy_files": policy or None,
        "knowledge_dirs": knowledge or None,
        "intel_files": intel or None,
        **sections,
    }


def kafka_flags(brokers: str | None, **others: str | None) -> dict[str, Any]:
    """Arrange options about Kafka as settings; what was not given stays out."""
    given: dict[str, Any] = {name: value for name, value in others.items() if value is not None}
    return given if brokers is None else {**given, "brokers": [one for one in brokers.split(",") if one]}


def refuse_early(context: typer.Context) -> None:
    """End where an option stands before the command that it is meant for, which would never hear of it."""
    for name in context.params:
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            die(Exit.USAGE, f"{option} stands before `{context.invoked_subcommand}`; put it behind the command")
