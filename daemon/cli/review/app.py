"""The commands of `sysscan-agent review` and their options."""

import sys
from typing import Annotated

import typer

from daemon.cli.exits import Exit, die
from daemon.cli.options import LARGEST, AsJson, Config, KnowledgeDirs, StateDir, TextOrJson, flags, refuse_early
from pipeline.finding import Level

review_app = typer.Typer(
    help="Look at findings and decide about them: approve, correct, accept a risk, call a false positive. "
    "Without a command, on a terminal, one finding after the other, by keys; with --web, on a page.",
    invoke_without_command=True,
)

Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY...", help="Beginnings of fingerprints, dedupe keys, or situations as `review list` shows them."
    ),
]
Class = Annotated[
    str | None, typer.Option("--class", metavar="CLASS", help="Only findings of this class; * and ? stand for others.")
]
OfHost = Annotated[str | None, typer.Option("--host", metavar="NAME", help="Only findings of this host.")]
AtLeast = Annotated[Level | None, typer.Option("--level", help="Only findings of this level or a worse one.")]
Scanner = Annotated[str | None, typer.Option("--scanner", metavar="NAME", help="Only findings of this scanner.")]
Situation = Annotated[
    bool, typer.Option("--situation", help="All findings of the host in the situation of the one that KEY names.")
]
Everywhere = Annotated[bool, typer.Option("--everywhere", help="The situation on every host, now and later.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays with the verdict.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option("--limit", min=0, max=LARGEST, metavar="N", help="Show so many; 0 shows all.")]


@review_app.callback()
def root(
    context: typer.Context,
    web: Annotated[bool, typer.Option("--web", help="Serve the queue as a page for a browser.")] = False,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="WHERE",
            help="Of the page: HOST:PORT of this machine alone, or the path of a UNIX socket. Default: 127.0.0.1:9476.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="Whose members may use the UNIX socket, too. Default: nobody else.",
            show_default=False,
        ),
    ] = None,
    author: Annotated[
        str | None,
        typer.Option(
            "--author", metavar="NAME", help="Who decides on the page. Default: this user.", show_default=False
        ),
    ] = None,
    state_dir: StateDir = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Go through the queue by keys, or with --web on a page."""
    for option, value in (("--listen", listen), ("--group", group), ("--author", author)):
        if value is not None and not web:
            die(Exit.USAGE, f"{option}: has no effect without --web")
    if context.invoked_subcommand is not None:
        if web:
            die(Exit.USAGE, f"--web: has no effect on `review {context.invoked_subcommand}`")
        refuse_early(context)
        return
    if web:
        from daemon.cli.review.web import serve_page

        given = flags(state_dir, knowledge=knowledge)
        raise typer.Exit(int(serve_page(given, config, listen=listen, group=group, author=author)))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        die(Exit.USAGE, "review: needs a terminal; `review --web` is a page, `review list --json` is for programs")
    from daemon.cli.review.interactive import review

    raise typer.Exit(int(review(flags(state_dir, knowledge=knowledge), config)))


@review_app.command("list")
def list_(
    class_: Class = None,
    host: OfHost = None,
    level: AtLeast = None,
    scanner: Scanner = None,
    text: Annotated[
        str,
        typer.Option(
            "--text", metavar="TEXT", help="Only situations with a finding whose line holds this, as it is written."
        ),
    ] = "",
    all_: Annotated[bool, typer.Option("--all", help="Also what passed, and what is no weakness.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """List what nobody has reviewed, grouped by situation, the worst first."""
    from daemon.cli.review.listing import list_unreviewed
    from daemon.ledger.retained import Filter

    wanted = Filter(class_, host, level, scanner)
    given = flags(state_dir)
    raise typer.Exit(int(list_unreviewed(given, config, wanted, text, limit=limit, as_json=as_json, all_=all_)))


@review_app.command()
def show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Beginning of a fingerprint, dedupe key or situation.")],
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Show a finding, why it is what it is, and what was decided about it."""
    from daemon.cli.review.listing import show_reviewed

    raise typer.Exit(int(show_reviewed(flags(state_dir, knowledge=knowledge), config, key, as_json=as_json)))


@review_app.command()
def approve(
    keys: Keys = None,
    class_: Class = None,
    host: OfHost = None,
    level: AtLeast = None,
    scanner: Scanner = None,
    situation: Situation = False,
    everywhere: Everywhere = False,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Say that what is said of findings is right."""
    from daemon.cli.review.deciding import decide
    from daemon.ledger.retained import Filter
    from daemon.review.deciding import Decision
    from daemon.review.queue import Wish

    wish = Wish(keys or (), Filter(class_, host, level, scanner), situation, everywhere)
    raise typer.Exit(int(decide(flags(state_dir), config, Decision("approve", reason), wish, yes=yes, as_json=as_json)))


@review_app.command()
def correct(
    keys: Keys = None,
    class_: Class = None,
    host: OfHost = None,
    level: AtLeast = None,
    scanner: Scanner = None,
    situation: Situation = False,
    everywhere: Everywhere = False,
    to_level: Annotated[Level | None, typer.Option("--to-level", help="The level that it has.")] = None,
    to_class: Annotated[
        str | None, typer.Option("--to-class", metavar="CLASS", help="The class that it is of.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="ID", help="The remediation to take first.")] = None,
    control: Annotated[
        list[str] | None,
        typer.Option("--control", metavar="FRAMEWORK:ID", help="A control that it says most about; may be repeated."),
    ] = None,
    technique: Annotated[
        list[str] | None,
        typer.Option("--technique", metavar="ID", help="A technique that it says most about; may be repeated."),
    ] = None,
    assessment: Annotated[str | None, typer.Option("--assessment", metavar="TEXT", help="What it is.")] = None,
    impact: Annotated[str | None, typer.Option("--impact", metavar="TEXT", help="What follows from it.")] = None,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
    knowledge: KnowledgeDirs = None,
) -> None:
    """Say what is right instead. Only a verdict lowers a level; the score names it."""
    from daemon.cli.review.deciding import decide
    from daemon.ledger.retained import Filter
    from daemon.review.deciding import Decision
    from daemon.review.queue import Wish
    from pipeline.review.verdict import Correction

    wish = Wish(keys or (), Filter(class_, host, level, scanner), situation, everywhere)
    correction = Correction(
        level=to_level,
        class_id=to_class,
        action=action,
        controls=tuple(control) if control else None,
        techniques=tuple(technique) if technique else None,
        assessment=assessment,
        impact=impact,
    )
    decision = Decision("correct", reason, correction)
    given = flags(state_dir, knowledge=knowledge)
    raise typer.Exit(int(decide(given, config, decision, wish, yes=yes, as_json=as_json)))


@review_app.command()
def accept(
    keys: Keys = None,
    class_: Class = None,
    host: OfHost = None,
    level: AtLeast = None,
    scanner: Scanner = None,
    situation: Situation = False,
    everywhere: Everywhere = False,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="NAME", help="Who answers for the risk. Default: you.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="The last day on which it holds: 2027-01-31, UTC.")
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Accept a risk, until a day. It stays evidence for compliance."""
    from daemon.cli.review.deciding import decide
    from daemon.ledger.retained import Filter
    from daemon.review.deciding import Decision
    from daemon.review.queue import Wish

    wish = Wish(keys or (), Filter(class_, host, level, scanner), situation, everywhere)
    decision = Decision("accept", reason, owner=owner, until=until)
    raise typer.Exit(int(decide(flags(state_dir), config, decision, wish, yes=yes, as_json=as_json)))


@review_app.command("false-positive")
def false_positive(
    keys: Keys = None,
    class_: Class = None,
    host: OfHost = None,
    level: AtLeast = None,
    scanner: Scanner = None,
    situation: Situation = False,
    everywhere: Everywhere = False,
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Say that the scanner is wrong: no weakness, and no evidence of one."""
    from daemon.cli.review.deciding import decide
    from daemon.ledger.retained import Filter
    from daemon.review.deciding import Decision
    from daemon.review.queue import Wish

    wish = Wish(keys or (), Filter(class_, host, level, scanner), situation, everywhere)
    decision = Decision("false_positive", reason)
    raise typer.Exit(int(decide(flags(state_dir), config, decision, wish, yes=yes, as_json=as_json)))


@review_app.command()
def undo(
    number: Annotated[int, typer.Argument(min=1, max=LARGEST, metavar="NUMBER", help="As `review history` shows it.")],
    reason: Reason = "",
    yes: Yes = False,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Have a verdict not count any more; those before it count again. An undo can be undone."""
    from daemon.cli.review.deciding import undo as undo_

    raise typer.Exit(int(undo_(flags(state_dir), config, number, reason=reason, yes=yes, as_json=as_json)))


@review_app.command()
def history(
    limit: Limit = 50,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """List the verdicts, the latest first: who, when, what, why, and whether it counts."""
    from daemon.cli.review.listing import show_history

    raise typer.Exit(int(show_history(flags(state_dir), config, limit=limit, as_json=as_json)))
