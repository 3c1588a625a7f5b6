"""The commands that speak with Kafka, and their options."""

from typing import Annotated

import typer

from daemon.cli.options import AsJson, Brokers, Config, Host, StateDir, TextOrJson, flags, kafka_flags

kafka_app = typer.Typer(help="Topics and workers: create and check the ones, look after the others.")


def publish(
    reports: Annotated[
        list[str], typer.Argument(help="Report files, directories of them; - is standard input.", metavar="REPORT...")
    ],
    brokers: Brokers = None,
    topic: Annotated[
        str | None,
        typer.Option("--topic", metavar="NAME", help="Where they go. Default: kafka.input_topic.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    config: Config = None,
    host: Host = None,
) -> None:
    """Send reports to a Kafka topic, each scan whole, under the name of its host. Needs no daemon."""
    from daemon.cli.publish import publish_reports

    given = flags(host=host, kafka=kafka_flags(brokers, input_topic=topic))
    raise typer.Exit(int(publish_reports(reports, given, config, as_json=as_json)))


@kafka_app.command("topics")
def kafka_topics(
    create: Annotated[bool, typer.Option("--create", help="Create those that are missing.")] = False,
    partitions: Annotated[
        int | None,
        typer.Option(
            "--partitions", min=1, max=10_000, metavar="N", show_default=False,
            help="Of those that are created. Default: as the others have, or 12.",
        ),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(
            "--replication", min=1, max=100, metavar="N", show_default=False,
            help="Copies of those that are created. Default: 3, or as many as there are brokers.",
        ),
    ] = None,
    brokers: Brokers = None,
    as_json: AsJson = False, format_: TextOrJson = None,
    config: Config = None,
) -> None:  # fmt: skip
    """Say what is wrong with the topics, line by line, and create missing ones with the right policies."""
    from daemon.cli.kafka import look_after_topics

    raise typer.Exit(
        int(
            look_after_topics(
                flags(kafka=kafka_flags(brokers)), config, create=create, partitions=partitions,
                replication=replication, as_json=as_json,
            )
        )
    )  # fmt: skip


@kafka_app.command("status")
def kafka_status(
    brokers: Brokers = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Show how far each partition is, which worker has it, and what this state directory holds of it."""
    from daemon.cli.kafka_status import show_status

    raise typer.Exit(int(show_status(flags(state_dir, kafka=kafka_flags(brokers)), config, as_json=as_json)))


@kafka_app.command("doctor")
def kafka_doctor(
    brokers: Brokers = None, as_json: AsJson = False, format_: TextOrJson = None, config: Config = None
) -> None:
    """Check connection, topics, rights, clock and a transaction as a worker needs them; nothing readable is written."""
    from daemon.cli.kafka import examine_cluster

    raise typer.Exit(int(examine_cluster(flags(kafka=kafka_flags(brokers)), config, as_json=as_json)))


@kafka_app.command("verdicts")
def kafka_verdicts(
    restore: Annotated[
        bool, typer.Option("--restore", help="Send verdicts of the state directory that the topic lacks.")
    ] = False,
    brokers: Brokers = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    state_dir: StateDir = None,
    config: Config = None,
) -> None:
    """Compare the topic of verdicts with the copy in this state directory; the exit code is 1 where it lacks some."""
    from daemon.cli.kafka_verdicts import look_after_verdicts

    given = flags(state_dir, kafka=kafka_flags(brokers))
    raise typer.Exit(int(look_after_verdicts(given, config, restore=restore, as_json=as_json)))


@kafka_app.command("adopt-partitions")
def kafka_adopt_partitions(
    force: Annotated[
        bool, typer.Option("--force", help="Go on although records of hosts that move are not delivered.")
    ] = False,
    brokers: Brokers = None,
    as_json: AsJson = False,
    format_: TextOrJson = None,
    config: Config = None,
) -> None:
    """Move the states of hosts after the number of partitions was raised. Stop all workers first."""
    from daemon.cli.kafka import adopt

    raise typer.Exit(int(adopt(flags(kafka=kafka_flags(brokers)), config, force=force, as_json=as_json)))
