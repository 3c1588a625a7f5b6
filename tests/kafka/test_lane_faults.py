"""What goes wrong around a lane: in what it reads, with its topics, its offsets and its rights."""

import asyncio
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from tests.kafka import places
from tests.kafka.broker import PASSWORD, STRANGER, USER, Cluster, until_true
from tests.kafka.forks import bare
from tests.kafka.lanes import MICRO_FINDINGS, Topics, Worker, check, committed, delivered, kill_all, report, until


def run(worker: Worker) -> None:
    done = worker.once()
    assert done.returncode == 0, done.stderr.decode()


def refused(worker: Worker) -> str:
    """Run to the end; returns what it says when it does not get there."""
    done = worker.once()
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.stderr.decode().splitlines()[-1]


def send(topics: Topics, host: str, *numbers: int) -> None:
    topics.send(*((host.encode(), report(host, number), 0) for number in numbers))


def ledger(worker: Worker, topics: Topics) -> Path:
    return worker.state / "kafka" / f"{topics.reports}-0"


def test_what_cannot_be_used_is_sent_on_as_it_came_with_the_reason(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    bad: list[tuple[bytes | None, bytes | None, str]] = [
        (b"a", b"", "empty"),
        (b"a", None, "empty"),
        (b"a", b"\x00\xff rubbish", "not_a_report"),
        (b"a", b'{"results": [', "truncated"),
        (None, report("a", 7), "no_key"),
        (b"a", report("somebody-else", 8), "foreign_host"),
        (b"a", gzip.compress(report("a", 9))[:-9], "truncated_gzip"),
        (b"a", b'{"type":"finding","scanner":"x"}\n', "missing_field"),
    ]
    sent: list[tuple[bytes | None, bytes | None, int]] = [(b"a", report("a", 1), 0)]
    for number, (key, value, _) in enumerate(bad, 2):
        sent += [(key, value, 0), (b"a", report("a", 100 + number), 0)]
    topics.send(*sent, headers=[("from", b"here")])
    worker = Worker(tmp_path, topics, partitions=[0])
    assert worker.once().returncode == 1  # something was refused, and all else is delivered
    check(topics, {"a": [1, *(100 + number for number in range(2, len(bad) + 2))]})
    letters = places.records(cluster, topics.dlq)
    said = [dict(one.headers) for one in letters]
    assert [(one.key, one.value) for one in letters] == [(key, value) for key, value, _ in bad]
    assert [one["dlq-reason"].decode() for one in said] == [reason for _, _, reason in bad]
    assert [int(one["dlq-offset"]) for one in said] == [1 + 2 * number for number in range(len(bad))]
    assert {one["dlq-topic"].decode() for one in said} == {topics.reports}
    assert all(one["from"] == b"here" for one in said)
    shutil.rmtree(worker.state / "kafka")  # another worker sends none of them again
    send(topics, "a", 999)
    run(worker)
    assert len(places.records(cluster, topics.dlq)) == len(bad)
    assert committed(topics) == len(sent) + 1


def test_where_too_much_cannot_be_used_it_is_not_read_on(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1)
    topics.send(*((b"a", b"rubbish", 0) for _ in range(600)))
    send(topics, "a", 2)
    worker = Worker(tmp_path, topics, partitions=[0])
    assert "of the last" in refused(worker)
    assert committed(topics) < 600
    anyway = Worker(tmp_path, topics, partitions=[0], dlq_unlimited=True)
    assert anyway.once().returncode == 1
    check(topics, {"a": [1, 2]})
    assert len(places.records(cluster, topics.dlq)) == 600


def test_records_that_are_gone_before_they_are_read_are_a_gap_that_is_told(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    lines = report("a", 1).splitlines(keepends=True)
    topics.send(*((b"a", line, 0) for line in lines[:8]))  # a scan is open
    worker = Worker(tmp_path, topics, partitions=[0])
    run(worker)
    topics.send(*((b"a", line, 0) for line in lines[8:]))
    send(topics, "a", 2)
    end = len(lines)
    asyncio.run(_delete_records(cluster, topics.reports, end))
    worker.start()
    try:
        until(lambda: bool(worker.events("partition.gap")), "the gap is told", worker)
        until(delivered(topics), "the rest is delivered", worker)
        assert worker.stop() == 0
    finally:
        kill_all(worker)
    gap = worker.events("partition.gap")[0]
    assert (gap["first"], gap["last"]) == (8, end - 1)
    scans = [json.loads(one.value) for one in places.records(cluster, topics.scans)]
    assert [scan["complete"] for scan in scans] == [False, True]
    assert all(not scan["baseline"]["resolved"] for scan in scans if "baseline" in scan)
    assert 'kafka_gaps_total{partition="0"} 1' in worker.metrics.read_text()


async def _delete_records(cluster: Cluster, topic: str, before: int) -> None:
    async with cluster.admin() as admin:
        from aiokafka.admin import RecordsToDelete

        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=before)})


@pytest.mark.parametrize("more", [0, 3], ids=["shorter", "longer"])
def test_a_topic_that_was_made_anew_stops_the_partition_until_somebody_says_so(
    more: int, cluster: Cluster, tmp_path: Path
) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1, 2, 3)
    worker = Worker(tmp_path, topics, partitions=[0])
    run(worker)
    asyncio.run(_recreate(cluster, topics.reports))
    send(topics, "a", *range(10, 12 + more))
    assert "was made anew or cut" in refused(worker)
    run(Worker(tmp_path, topics, partitions=[0], on_recreated="restart"))
    check(topics, {"a": [1, 2, 3, *range(10, 12 + more)]})


async def _recreate(cluster: Cluster, topic: str) -> None:
    async with cluster.admin() as admin:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        await until_true(gone, "deleted")
    await cluster.create(topic)


def test_another_number_of_partitions_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1)
    worker = Worker(tmp_path, topics, partitions=[0])
    run(worker)
    asyncio.run(_grow(cluster, topics.reports))
    assert "create all topics with as many" in refused(worker)
    asyncio.run(_grow(cluster, topics.findings, topics.scans, topics.state, topics.dlq))
    assert "the topic has 2 partitions and had 1" in refused(worker)


async def _grow(cluster: Cluster, *names: str) -> None:
    from aiokafka.admin import NewPartitions

    async with cluster.admin() as admin:
        await admin.create_partitions({name: NewPartitions(total_count=2) for name in names})


def test_where_offsets_have_expired_the_mark_of_the_state_topic_counts(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1, 2)
    worker = Worker(tmp_path, topics, partitions=[0])
    run(worker)
    _forget_offsets(cluster, topics.group)
    assert committed(topics) == -1
    send(topics, "a", 3)
    worker.log.write_text("")
    run(worker)
    _forget_offsets(cluster, topics.group)
    shutil.rmtree(ledger(worker, topics))
    send(topics, "a", 4)
    run(worker)
    check(topics, {"a": [1, 2, 3, 4]})


def _forget_offsets(cluster: Cluster, group: str) -> None:
    cluster.brokers[0]._java(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", cluster.plain[0],
        "--delete", "--group", group,
    )  # fmt: skip


def test_brokers_that_lost_what_they_had_confirmed_are_noticed(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, partitions=[0])
    send(topics, "a", 1)
    run(worker)
    before = next(iter(asyncio.run(cluster.committed(topics.group)).values()))
    send(topics, "a", 2)
    run(worker)
    asyncio.run(_commit(topics, OffsetAndMetadata(before.offset, before.metadata)))
    assert "have lost what they had confirmed" in refused(worker)
    send(topics, "a", 3)
    run(Worker(tmp_path, topics, partitions=[0], on_loss="resend"))
    check(topics, {"a": [1, 2, 3]})  # what was lost was only the mark, here


async def _commit(topics: Topics, offset: OffsetAndMetadata) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=topics.cluster.plain, group_id=topics.group, enable_auto_commit=False)
    await consumer.start()
    place = TopicPartition(topics.reports, 0)
    consumer.assign([place])
    await consumer.commit({place: offset})
    await consumer.stop()


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_broker_that_goes_and_comes_back_gets_the_rest(fault: str, cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    for host, partition in (("a", 0), ("b", 1)):
        topics.send(*((host.encode(), report(host, number), partition) for number in range(60)))
    worker = Worker(tmp_path, topics, timeout_s=3).start()
    broker = cluster.brokers[0]
    try:
        until(lambda: len(worker.events("scan.finished")) > 10, "some are done", worker)
        if fault == "killed":
            broker.kill()
        else:
            broker.freeze()
        until(lambda: bool(worker.events("sink.failed")), "it is noticed", worker)
        if fault == "killed":
            broker.start()
            cluster.wait()
        else:
            broker.thaw()
        until(delivered(topics), "all is delivered", worker)
        assert worker.stop() == 0
    finally:
        broker.thaw()
        kill_all(worker)
    check(topics, {"a": range(60), "b": range(60)})


def test_an_offset_of_another_program_is_not_taken_for_ours(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1)
    asyncio.run(_commit(topics, OffsetAndMetadata(1, "")))
    assert "another program commits for it" in refused(Worker(tmp_path, topics, partitions=[0]))


def test_what_a_newer_worker_committed_is_refused_and_what_an_older_one_did_is_gone_on_with(
    cluster: Cluster, tmp_path: Path
) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, partitions=[0])
    send(topics, "a", 1)
    run(worker)
    ours = asyncio.run(cluster.committed(topics.group))[TopicPartition(topics.reports, 0)]
    said = json.loads(ours.metadata)
    send(topics, "a", 2)

    def commit(version: int) -> None:
        asyncio.run(_commit(topics, OffsetAndMetadata(ours.offset, json.dumps({**said, "v": version}))))

    commit(said["v"] + 1)
    line = refused(worker)
    assert f"{topics.reports}/0: was written by a worker of a newer version" in line and "upgrade this one" in line
    assert committed(topics) == ours.offset, "nothing was done over it"
    commit(1)
    run(worker)
    check(topics, {"a": [1, 2]})


def test_a_copy_of_a_ledger_that_differs_is_put_aside(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics, partitions=[0])
    send(topics, "a", 1)
    run(worker)
    shutil.copytree(ledger(worker, topics), tmp_path / "copy")
    send(topics, "a", 2)
    run(worker)
    shutil.rmtree(ledger(worker, topics))
    shutil.copytree(tmp_path / "copy", ledger(worker, topics))
    send(topics, "a", 3)
    run(worker)
    check(topics, {"a": [1, 2, 3]})
    assert ledger(worker, topics).with_name(ledger(worker, topics).name + ".stale").exists()


def test_into_a_file_without_sending(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1, 2)
    worker = Worker(tmp_path, topics, output=True, send=False, partitions=[0])
    run(worker)
    lines = [json.loads(line) for line in (ledger(worker, topics) / "findings.ndjson").read_bytes().splitlines()]
    assert sum("finding" in line for line in lines) == 2 * MICRO_FINDINGS
    assert committed(topics) == 2
    assert places.records(cluster, topics.findings) == []


CASES: dict[str, tuple[Callable[[Topics, Path], dict[str, Any]], str]] = {
    "nobody there": (lambda topics, base: {"brokers": ["127.0.0.1:1"]}, "127.0.0.1:1 cannot be read from"),
    "no such topic": (
        lambda topics, base: {"input_topic": "never-created"},
        "kafka never-created (kafka.input_topic): is not there",
    ),
    "wrong password": (lambda topics, base: _secured(topics, base, USER, "guess"), "the password is refused"),
    "forbidden": (lambda topics, base: _secured(topics, base, STRANGER, PASSWORD), "not allowed"),
    "no certificate": (lambda topics, base: {"brokers": topics.cluster.secured, "tls": True}, "is not trusted"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_keeps_it_out_is_said_in_a_line(case: str, cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    given, said = CASES[case]
    worker = Worker(tmp_path, topics, partitions=[0], **{"timeout_s": 5, **given(topics, tmp_path)})
    line = refused(worker)
    assert said in line, line


def _secured(topics: Topics, base: Path, user: str, password: str) -> dict[str, Any]:
    (base / "password").write_text(password + "\n")
    return {
        "brokers": topics.cluster.secured, "tls": True, "ca_file": str(topics.cluster.certificate),
        "sasl": "scram-sha-512", "username": user, "password_file": str(base / "password"),
    }  # fmt: skip


def test_with_tls_and_a_password_all_of_it_works(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    send(topics, "a", 1)
    run(Worker(tmp_path, topics, **_secured(topics, tmp_path, USER, PASSWORD)))
    check(topics, {"a": [1]})


def test_directories_and_a_topic_are_not_read_by_one_agent(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    worker = Worker(tmp_path, topics)
    worker.config.write_text(worker.config.read_text() + f'[watch]\nroots = ["{tmp_path}"]\n')
    assert "start an agent for each" in refused(worker)
    assert bare()


def test_a_topic_of_reports_that_is_not_there_is_named(cluster: Cluster, tmp_path: Path) -> None:
    worker = Worker(tmp_path, Topics(cluster))  # a member of a group; nobody has made any
    said = refused(worker)
    assert "(kafka.input_topic)" in said and "is not there, or this agent is not allowed" in said.replace("are", "is")
    assert "kafka topics --create" in said
    assert bare()
