"""The options that several commands share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON even on a terminal.")]


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
