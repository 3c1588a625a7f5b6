"""`publish` on a real broker: every report is there once, whole, under its host, and what went wrong is one line."""

import asyncio
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from daemon.ports.parts import ReportPart
from daemon.sources.kafka.messages import Lines, Message, Part, Refused, Reports, joined, read_message
from pipeline.finding import RawFinding
from pipeline.report.limits import Limits
from pipeline.report.read import read_document
from pipeline.report.records import FindingLine
from tests.daemon.ledger.reports import open_ledger, scan
from tests.kafka import places
from tests.kafka.broker import PASSWORD, STRANGER, USER, Cluster
from tests.packaging.build import ROOT

Topic = Callable[..., str]

SCANS = ROOT / "tests" / "data" / "scans"
LIMITS = Limits()


def publish(
    brokers: list[str], topic: str, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    surroundings = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "SYSSCAN_KAFKA__TIMEOUT_S": "8"}
    return subprocess.run(
        [sys.executable, "-m", "daemon.cli", "publish", "--brokers", ",".join(brokers), "--topic", topic, *arguments],
        input=stdin, capture_output=True, cwd=ROOT, timeout=120, check=False,
        env=surroundings | dict(environment or {}),
    )  # fmt: skip


def said(done: "subprocess.CompletedProcess[bytes]") -> list[dict[str, Any]]:
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def arrived(cluster: Cluster, topic: str) -> Mapping[str, list[RawFinding]]:
    """Read the topic as a reader does: host to findings, in order; what cannot be read fails."""
    found: dict[str, list[RawFinding]] = {}
    pieces: dict[str, dict[int, bytes]] = {}
    for one in places.records(cluster, topic):
        message = Message(topic, one.partition, one.offset, one.key, one.value, tuple(one.headers), one.timestamp)
        read = read_message(message, LIMITS, require_key=True)
        if isinstance(read, Part):
            have = pieces.setdefault(read.report, {})
            have[read.number] = read.data
            if len(have) < read.count:
                continue
            whole = b"".join(have[at] for at in sorted(have))
            assert hashlib.sha256(whole).hexdigest() == read.report
            read = read_message(joined(message, whole), LIMITS, require_key=True)
        host = found.setdefault(one.key.decode(), [])
        if isinstance(read, Reports):
            host += [finding for report in read.reports for finding in report.findings]
        elif isinstance(read, Lines):
            host += [record.finding for _, record in read.records() if isinstance(record, FindingLine)]
        else:
            assert isinstance(read, Refused)
            raise AssertionError(read)
    return found


def in_file(path: Path) -> list[RawFinding]:
    return [finding for report in read_document(path.read_bytes(), LIMITS).reports for finding in report.findings]


def test_files_arrive_once_under_their_hosts(cluster: Cluster, topic: Topic) -> None:
    name = topic(partitions=4)
    files = [SCANS / one for one in ("web01-base-default.json", "db02-full.json.gz", "web01-base-default.ndjson")]
    done = publish(cluster.plain, name, *map(str, files))
    assert done.returncode == 0, done.stderr.decode()
    assert [(line["file"], line["status"], line["host"]) for line in said(done)] == [
        (str(path), "sent", host) for path, host in zip(files, ("web01", "db02", "web01"), strict=True)
    ]
    assert arrived(cluster, name) == {
        "web01": in_file(files[0]) + in_file(files[2]),
        "db02": in_file(files[1]),
    }
    where = {(line["partition"], line["offset"]) for line in said(done)}
    assert where == {(one.partition, one.offset) for one in places.records(cluster, name)}


def test_a_large_report_goes_in_parts(cluster: Cluster, topic: Topic) -> None:
    name = topic()
    path = SCANS / "db02-full.json.gz"
    done = publish(cluster.plain, name, str(path), environment={"SYSSCAN_KAFKA__MAX_RECORD_BYTES": "16384"})
    (line,) = said(done)
    assert done.returncode == 0 and line["messages"] == 3
    records = places.records(cluster, name)
    assert len(records) == line["messages"] and all(len(one.value) <= 16384 for one in records)
    assert arrived(cluster, name) == {"db02": in_file(path)}


def test_standard_input_and_a_directory_in_the_order_of_writing(cluster: Cluster, topic: Topic, tmp_path: Path) -> None:
    name = topic()
    now = time.time()
    for at, one in enumerate(("b.ndjson", "a.ndjson", "below/c.ndjson.gz")):
        path = tmp_path / one
        path.parent.mkdir(exist_ok=True)
        content = b"".join(line + b"\n" for line in scan(f"{at}", host="h"))
        path.write_bytes(gzip.compress(content) if one.endswith("gz") else content)
        os.utime(path, (now + at, now + at))
    (tmp_path / "notes.txt").write_text("not a report")
    piped = b"".join(line + b"\n" for line in scan("piped", host=None))
    done = publish(cluster.plain, name, str(tmp_path), "-", "--host", "p", stdin=piped)
    assert done.returncode == 0, done.stderr.decode()
    found = arrived(cluster, name)
    assert {host: [finding.id for finding in ones] for host, ones in found.items()} == {
        "h": ["0", "1", "2"],
        "p": ["piped"],
    }


def test_what_cannot_be_used_is_named_and_the_rest_is_sent(cluster: Cluster, topic: Topic, tmp_path: Path) -> None:
    name = topic()
    bad = tmp_path / "bad.json"
    bad.write_bytes(b'{"results":')
    sarif = SCANS / "web01-base-default.sarif"
    good = SCANS / "micro-default.json"
    done = publish(cluster.plain, name, str(bad), str(tmp_path / "absent.json"), str(sarif), "/dev/null", str(good))
    assert done.returncode == 1
    status = [(line["status"], line.get("reason")) for line in said(done)]
    assert status == [
        ("refused", "truncated"), ("refused", "unreadable"), ("refused", "no_key"), ("refused", "unreadable"),
        ("sent", None),
    ]  # fmt: skip
    assert done.stderr.count(b"\n") == 4 and b"--host NAME" in done.stderr
    (host,) = arrived(cluster, name)
    assert arrived(cluster, name)[host] == in_file(good)


def test_a_topic_that_is_not_there_says_how_to_make_it(cluster: Cluster) -> None:
    done = publish(cluster.plain, "no-such-topic", str(SCANS / "micro-default.json"))
    assert done.returncode == 1 and done.stdout == b""
    assert b"kafka no-such-topic (kafka.input_topic): is not there" in done.stderr
    assert b"`sysscan-agent kafka topics --create` creates it" in done.stderr and done.stderr.count(b"\n") == 1


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    done = publish(["127.0.0.1:9"], "t", str(SCANS / "micro-default.json"))
    assert done.returncode == 1
    assert b"127.0.0.1:9 cannot be reached" in done.stderr and done.stderr.count(b"\n") == 1
    assert b"tried again" not in done.stderr


def test_a_password_and_rights(cluster: Cluster, topic: Topic, tmp_path: Path) -> None:
    name = topic()
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    access = {
        "SYSSCAN_KAFKA__TLS": "true", "SYSSCAN_KAFKA__CA_FILE": str(cluster.certificate),
        "SYSSCAN_KAFKA__SASL": "scram-sha-512", "SYSSCAN_KAFKA__PASSWORD_FILE": str(password),
    }  # fmt: skip
    path = SCANS / "micro-default.json"
    stranger = publish(cluster.secured, name, str(path), environment={**access, "SYSSCAN_KAFKA__USERNAME": STRANGER})
    assert (
        stranger.returncode == 1
        and b"not allowed: give stranger WRITE and DESCRIBE on " + name.encode() in stranger.stderr
    )
    done = publish(cluster.secured, name, str(path), environment={**access, "SYSSCAN_KAFKA__USERNAME": USER})
    assert done.returncode == 0, done.stderr.decode()
    assert len(places.records(cluster, name)) == 1


def test_a_record_that_the_topic_does_not_take_is_named_as_not_sent(cluster: Cluster, topic: Topic) -> None:
    name = topic(max_message_bytes="2000")
    path = SCANS / "db02-full.json.gz"
    done = publish(cluster.plain, name, str(path))
    assert done.returncode == 1
    assert [line["status"] for line in said(done)] == ["not_sent"]
    assert b"raise its max.message.bytes" in done.stderr
    assert places.records(cluster, name) == []


def test_a_broker_that_is_frozen_meanwhile_gets_nothing_twice(cluster: Cluster, topic: Topic, tmp_path: Path) -> None:
    name = topic()
    for at in range(30):
        (tmp_path / f"{at:02}.ndjson").write_bytes(b"".join(line + b"\n" for line in scan(f"{at}", host="h")))
        os.utime(tmp_path / f"{at:02}.ndjson", (at, at))
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.cli", "publish", "--brokers", cluster.plain[0], "--topic", name, "-",
         str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(b"".join(line + b"\n" for line in scan("first", host="h")))
    time.sleep(2)  # it has connected, and reads standard input
    cluster.brokers[0].freeze()
    try:
        process.stdin.close()
        time.sleep(4)
    finally:
        cluster.brokers[0].thaw()
    process.stdin = None
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err.decode()
    assert [finding.id for finding in arrived(cluster, name)["h"]] == ["first", *(str(at) for at in range(30))]
    assert len(out.splitlines()) == 31


async def _kill_while_it_sends(cluster: Cluster, topic: str, command: list[str], surroundings: dict[str, str]) -> int:
    """Start a publisher and kill it as soon as something of it is there; give how many messages came in the end."""
    place = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.plain, enable_auto_commit=False)
    await consumer.start()
    try:
        before = int((await consumer.end_offsets([place]))[place])
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=surroundings
        )
        while process.poll() is None and (await consumer.end_offsets([place]))[place] <= before:
            await asyncio.sleep(0)
        process.kill()
        process.wait()
        await asyncio.sleep(0.5)  # what is on its way to the broker
        return int((await consumer.end_offsets([place]))[place]) - before
    finally:
        await consumer.stop()


def test_a_publisher_that_is_killed_leaves_no_part_of_a_report_that_counts(
    cluster: Cluster, topic: Topic, tmp_path: Path
) -> None:
    """Killed again and again while it sends, then let go: a reader's ledger makes the whole of it, and no other."""
    name = topic()
    noise = random.Random(3)
    lines = scan(*(noise.randbytes(2000).hex() for _ in range(2500)), host="h")
    path = tmp_path / "large.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    command = [
        sys.executable, "-m", "daemon.cli", "publish", "--brokers", cluster.plain[0], "--topic", name, str(path),
    ]  # fmt: skip
    surroundings = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "SYSSCAN_KAFKA__MAX_RECORD_BYTES": "50000"}
    came = [asyncio.run(_kill_while_it_sends(cluster, name, command, surroundings)) for _ in range(3)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env=surroundings, timeout=120, check=True)
    count = said(done)[0]["messages"]
    assert any(0 < one < count for one in came), (came, count)  # or nothing was ever torn
    wholes = []
    with open_ledger(tmp_path / "state") as ledger:
        source = ledger.inputs.add("topic", "t")
        for one in places.records(cluster, name):
            message = Message(name, 0, one.offset, one.key, one.value, tuple(one.headers))
            part = read_message(message, LIMITS, require_key=True)
            assert isinstance(part, Part) and part.count == count
            taken = ledger.parts.admit_part(
                source, ReportPart(part.host, part.report, part.number, part.count, part.data, one.offset)
            )
            assert taken.reject is None
            if taken.whole is not None:
                wholes.append(gzip.decompress(taken.whole))
                ledger.inputs.admit_records(replace(source, part_set=taken.part_set), [])
        assert ledger.quarantine.rows() == []
    assert wholes and set(wholes) == {path.read_bytes()}


@pytest.mark.parametrize("arguments", [("--brokers", "nonsense"), ("--topic", "no/such")])
def test_a_mistake_on_the_command_line_is_a_line(arguments: tuple[str, ...]) -> None:
    done = publish(["127.0.0.1:9"], "t", "x.json", *arguments)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
