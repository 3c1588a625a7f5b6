"""`sysscan-agent kafka status`."""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from daemon.cli.exits import Exit, die, say
from daemon.cli.kafka import kafka_settings, members, missing
from daemon.cli.terminal import terminal, wants_json
from daemon.compose import kafka_part, kafka_verdict_topic
from daemon.lane.rebuild import ledger_dir
from daemon.ledger import Ledger
from daemon.ledger.database import FILE_NAME
from daemon.sinks.kafka.cluster import GroupState, Member, PartitionState
from daemon.sinks.kafka.settings import KafkaSettings
from daemon.sinks.kafka.topics import Found
from pipeline.display import printable
from pipeline.errors import LedgerError, SinkError

_COLUMNS = ("partition", "oldest", "end", "delivered", "lag", "worker", "read", "waits", "quarantine", "ledger")


@dataclass(slots=True, frozen=True)
class Held:
    """The ledger that this state directory has of a partition.

    Attributes:
        next: offset of the record that it reads next, or None where it has read none.
        findings, records: that wait for analysis, and for delivery.
        quarantine: entries that nobody has looked at.
        parts: reports of which parts are missing.
    """

    path: Path
    identity: str
    next: int | None
    findings: int
    records: int
    quarantine: int
    parts: int


def show_status(given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Show how far each partition of the input topic is, who has it, and what this state directory holds of it."""
    settings = kafka_settings(given, config)
    kafka = settings.kafka
    found, group, states, strange = asyncio.run(_ask(kafka))
    if found is None:
        die(Exit.NOT_FOUND, f"kafka {kafka.input_topic}: {missing(kafka)}")
    owners = {number: member for member in group.members for number in member.partitions}
    state_dir = settings.given_state_dir
    rows = []
    for state in states:
        held = None if state_dir is None else _held(ledger_dir(state_dir, kafka.input_topic, state.partition))
        rows.append(_row(kafka.input_topic, state, owners.get(state.partition), held))
    if wants_json(as_json):
        for row in rows:
            sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
    else:
        _print(f"group {kafka.group}: {members(group)}", rows)
    if strange is not None:
        say(f"sysscan-agent: {printable(strange)}")
    return Exit.DONE


async def _ask(kafka: KafkaSettings) -> tuple[Found | None, GroupState, list[PartitionState], str | None]:
    """Ask the brokers; the last is what is wrong with the verdicts, which no partition is concerned with alone."""
    async with kafka_part("administrator").Administrator.connected(kafka) as administrator:
        topics: Mapping[str, Found] = await administrator.topics([kafka.input_topic, kafka.verdicts_topic])
        found = topics.get(kafka.input_topic)
        if found is None:
            return None, GroupState("", ()), [], None
        group: GroupState = await administrator.group(kafka.group, kafka.input_topic)
        states: list[PartitionState] = await administrator.partitions(kafka.input_topic, found.partitions, kafka.group)
    strange = f"kafka {kafka.verdicts_topic}: {missing(kafka)}; workers go on without verdicts"
    if kafka.verdicts_topic in topics:
        topic = kafka_verdict_topic()
        try:
            strange = topic.passed_over(kafka.verdicts_topic, await topic.read_chain(kafka))
        except SinkError as error:  # who may not read it may see the rest
            strange = str(error)
    return found, group, states, strange


def _row(topic: str, state: PartitionState, owner: Member | None, held: Held | None) -> dict[str, Any]:
    mark = _mark(state.metadata)
    row: dict[str, Any] = {
        "topic": topic,
        "partition": state.partition,
        "oldest": state.begin,
        "end": state.end,
        "committed": state.committed,
        "lag": state.end - max(state.begin, state.committed or 0),
        "worker": owner.instance if owner is not None else None,
        "address": owner.address if owner is not None else None,
        "mark": mark,
        "ledger": None,
    }
    if held is not None:
        named = mark.get("ledger") if isinstance(mark, dict) else None
        row["ledger"] = {
            "path": str(held.path),
            "identity": held.identity,
            "current": None if named is None else named == held.identity,
            "next": held.next,
            "lag": None if held.next is None else state.end - held.next,
            "findings_waiting": held.findings,
            "records_waiting": held.records,
            "quarantine": held.quarantine,
            "reports_in_parts": held.parts,
        }
    return row


def _held(directory: Path) -> Held | None:
    """Look at a ledger beside whoever has it open."""
    if not (directory / FILE_NAME).exists():
        return None
    try:
        with Ledger.open(directory, clock=time.time, read_only=True, exclusive=False) as ledger:
            (parts,) = ledger.database.connection.execute(
                "SELECT count(*) FROM part_sets WHERE state = 'open'"
            ).fetchone()
            identity = ledger.database.connection.execute(
                "SELECT value FROM counters WHERE name = 'identity'"
            ).fetchone()
            position = next((one.position for one in ledger.inputs.known("kafka") if one.position), "")
            return Held(
                directory,
                f"{identity[0]:016x}" if identity is not None else "",
                int(orjson.loads(position)["next"]) if position else None,
                ledger.waiting().findings,
                max(ledger.outbox.backlog().values(), default=0),
                len(ledger.quarantine.rows()),
                int(parts),
            )
    except LedgerError as error:
        say(f"sysscan-agent: {printable(str(directory))}: {printable(str(error))}")
        return None


def _mark(metadata: str) -> Any:
    """Give what a worker committed with its offset, as far as it is ours."""
    try:
        return orjson.loads(metadata) if metadata else None
    except orjson.JSONDecodeError:
        return metadata[:200]


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("worker", "ledger") else "right")
    for row in rows:
        held = row["ledger"] or {}
        current = {True: "here", False: "here, left behind", None: "here" if held else "-"}[held.get("current")]
        worker = f"{row['worker']} at {row['address']}" if row["worker"] else "-"
        table.add_row(
            str(row["partition"]), _number(row["oldest"]), _number(row["end"]), _number(row["committed"]),
            _number(row["lag"]), printable(worker, 60), _number(held.get("next")), _number(held.get("records_waiting")),
            _number(held.get("quarantine")), current,
        )  # fmt: skip
    console = terminal()
    console.print(title)
    console.print(table)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
