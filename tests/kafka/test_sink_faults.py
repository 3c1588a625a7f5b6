"""What can go wrong between the sink and the brokers: each is one line, nothing is lost, and nothing comes twice."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.sinks.delivery import Delivery
from daemon.sinks.kafka.topic import KafkaTopic
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.kafka import places
from tests.kafka.broker import PASSWORD, STRANGER, USER, Cluster

Topic = Callable[..., str]
Deliver = Callable[..., tuple[MemoryOutbox, Delivery]]


@pytest.fixture
def deliver(cluster: Cluster) -> Iterator[Deliver]:
    """Make a delivery of so many rows to a topic; `haste` makes its back-off short."""
    made: list[Delivery] = []

    def make(
        topic: str, rows: int = 5, pad: int = 0, haste: float = 20.0, **others: Any
    ) -> tuple[MemoryOutbox, Delivery]:
        outbox = MemoryOutbox()
        outbox.add(*(row(at, pad=pad) for at in range(1, rows + 1)))
        sink = places.sink(places.settings(cluster, topic, **{"timeout_s": 5.0, **others}))
        made.append(Delivery(outbox, sink, lambda: time.monotonic() * haste))
        return outbox, made[-1]

    yield make
    for delivery in made:
        delivery.close()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return path


def finish(cluster: Cluster, outbox: MemoryOutbox, delivery: Delivery) -> None:
    places.drive(delivery, lambda: outbox.marks.get(delivery.name) == len(outbox.rows), "all delivered")
    topic = delivery.name.removeprefix("kafka:")
    assert [one.value for one in places.records(cluster, topic)] == [one.line for one in outbox.rows]
    assert delivery.fault is None


def fault_of(delivery: Delivery) -> str:
    places.drive(delivery, lambda: delivery.fault is not None, "a fault")
    assert delivery.fault is not None
    assert "\n" not in delivery.fault
    assert PASSWORD not in delivery.fault
    return delivery.fault


def test_records_have_the_host_as_their_key_and_say_in_headers_what_they_are(
    cluster: Cluster, topic: Topic, deliver: Deliver
) -> None:
    outbox, delivery = deliver(topic(), rows=0)
    one = row(1)
    outbox.add(type(one)(1, "finding", "the-key", "high", True, b'{"host":"web-01"}'))
    outbox.add(type(one)(2, "scan", "the-scan", "info", True, b'{"host":"web-01"}'))
    finish(cluster, outbox, delivery)
    finding, scan = places.records(cluster, delivery.name.removeprefix("kafka:"))
    assert (finding.key, scan.key) == (b"web-01", b"web-01")
    assert dict(finding.headers)["ce_id"] == b"the-key"
    assert dict(finding.headers)["ce_type"] == b"sysscan.finding.enriched.v1"
    assert dict(scan.headers)["ce_type"] == b"sysscan.scan.v1"
    assert dict(scan.headers)["content-type"] == b"application/json"


def test_with_tls_and_a_password_it_writes(cluster: Cluster, topic: Topic, deliver: Deliver, password: Path) -> None:
    secured = {"brokers": tuple(cluster.secured), "tls": True, "ca_file": cluster.certificate}
    finish(cluster, *deliver(topic(), **secured, sasl="scram-sha-512", username=USER, password_file=password))


def test_the_rights_that_the_handbook_names_are_enough_and_without_one_of_them_it_says_so(
    cluster: Cluster, topic: Topic, deliver: Deliver, password: Path
) -> None:
    name, prefix = topic(), "p" + topic()
    outbox, delivery = deliver(
        name, id_prefix=prefix, brokers=tuple(cluster.secured), tls=True, ca_file=cluster.certificate,
        sasl="scram-sha-512", username=STRANGER, password_file=password,
    )  # fmt: skip
    allow = cluster.brokers[0].allow
    prefixed = ("--resource-pattern-type", "prefixed")
    allow(
        STRANGER,
        "--operation",
        "Write",
        "--operation",
        "Describe",
        "--topic",
        name,
        "--transactional-id",
        prefix,
        *prefixed,
    )
    assert "READ on groups that begin with p" in fault_of(delivery)
    allow(STRANGER, "--operation", "Read", "--topic", name, "--group", prefix, *prefixed)
    finish(cluster, outbox, delivery)


@pytest.mark.parametrize(
    ("fault", "others"),
    [
        ("the password is refused", {"password": "wrong"}),
        ("not trusted", {"ca_file": None}),
        ("not allowed: give stranger WRITE", {"username": STRANGER}),
        ("No such file", {"password_file": Path("/nowhere/password")}),
        ("look at kafka.tls", {"brokers": "plain"}),
    ],
)
def test_what_keeps_it_out_is_said_in_a_line(
    fault: str, others: dict[str, Any], cluster: Cluster, topic: Topic, deliver: Deliver, password: Path
) -> None:
    given: dict[str, Any] = {
        "brokers": tuple(cluster.secured), "tls": True, "ca_file": cluster.certificate,
        "sasl": "scram-sha-512", "username": USER, "password_file": password,
    }  # fmt: skip
    if "password" in others:
        password.write_text(others["password"])
    else:
        given |= others
    if others.get("brokers") == "plain":
        given["brokers"] = tuple(cluster.plain)
    outbox, delivery = deliver(topic(), **given)
    assert fault in fault_of(delivery)
    assert outbox.marks[delivery.name] == 0


def test_a_topic_that_is_not_there_is_named_and_waited_for(cluster: Cluster, topic: Topic, deliver: Deliver) -> None:
    outbox, delivery = deliver("never-created", timeout_s=2.0)
    assert "kafka never-created (kafka.topic)" in fault_of(delivery)
    assert outbox.marks[delivery.name] == 0


def test_nobody_there(cluster: Cluster, deliver: Deliver) -> None:
    _, delivery = deliver("any", brokers=("127.0.0.1:1",))
    assert "127.0.0.1:1 cannot be reached" in fault_of(delivery)


def test_a_record_that_is_too_large_holds_what_follows_and_goes_when_the_limit_is_raised(
    cluster: Cluster, topic: Topic, deliver: Deliver
) -> None:
    name = topic()
    _, small = deliver(name, pad=5000, max_record_bytes=3000)
    assert "raise that and max.message.bytes" in fault_of(small)
    small.close()
    finish(cluster, *deliver(name, pad=5000))


def test_a_record_that_is_too_large_for_the_topic_is_said_so(cluster: Cluster, topic: Topic, deliver: Deliver) -> None:
    _, delivery = deliver(topic(max_message_bytes="2000"), pad=5000, compression="none")
    assert "raise its max.message.bytes" in fault_of(delivery)
    assert places.records(cluster, delivery.name.removeprefix("kafka:")) == []


def test_frozen_brokers_are_waited_for_and_nothing_comes_twice(
    cluster: Cluster, topic: Topic, deliver: Deliver
) -> None:
    outbox, delivery = deliver(topic(), timeout_s=2.0)
    places.drive(delivery, lambda: outbox.marks.get(delivery.name) == 5, "the first")
    cluster.brokers[0].freeze()
    try:
        outbox.add(*(row(at) for at in range(6, 21)))
        assert "no answer in 2 s" in fault_of(delivery)
    finally:
        cluster.brokers[0].thaw()
    finish(cluster, outbox, delivery)


def test_a_killed_broker_that_comes_back_gets_the_rest(cluster: Cluster, topic: Topic, deliver: Deliver) -> None:
    outbox, delivery = deliver(topic(), rows=200, timeout_s=3.0)
    places.drive(delivery, lambda: outbox.marks.get(delivery.name) == 200, "the first")
    cluster.brokers[0].kill()
    outbox.add(*(row(at) for at in range(201, 401)))
    fault_of(delivery)
    cluster.brokers[0].start()
    cluster.wait()
    finish(cluster, outbox, delivery)


def test_of_two_with_a_copy_of_one_ledger_the_one_that_differs_stops(
    cluster: Cluster, topic: Topic, deliver: Deliver
) -> None:
    name = topic()
    outbox, first = deliver(name)
    finish(cluster, outbox, first)
    other_outbox, other = deliver(name, rows=0)
    other_outbox.add(
        *(type(one)(one.position, one.kind, "x" + one.key, one.level, True, one.line) for one in outbox.rows)
    )
    assert "was written as key5 and is xkey5 here" in fault_of(other)
    outbox.add(row(6))  # the first lost the right to write, and takes it again
    finish(cluster, outbox, first)


def test_a_ledger_from_a_backup_writes_nothing_until_it_has_got_there_again(
    cluster: Cluster, topic: Topic, deliver: Deliver
) -> None:
    name = topic()
    outbox, first = deliver(name)
    finish(cluster, outbox, first)
    first.close()
    restored, again = deliver(name, rows=3)
    assert "restored from a backup" in fault_of(again)
    restored.add(row(4), row(5), row(6))
    finish(cluster, restored, again)


def test_rows_that_are_not_wanted_are_passed_over(cluster: Cluster, topic: Topic, deliver: Deliver) -> None:
    outbox, delivery = deliver(topic(), rows=0, min_level="high")
    outbox.add(row(1), row(2, level="high"), row(3), row(4, kind="scan"), row(5))
    places.drive(delivery, lambda: outbox.marks.get(delivery.name) == 5, "all passed")
    values = [one.value for one in places.records(cluster, delivery.name.removeprefix("kafka:"))]
    assert values == [outbox.rows[1].line, outbox.rows[3].line]


def test_it_holds_so_many_rows_at_most(cluster: Cluster, topic: Topic, deliver: Deliver) -> None:
    outbox, delivery = deliver(topic(), rows=9000)
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, delivery.held)
        return outbox.marks.get(delivery.name) == 9000

    places.drive(delivery, done, "all delivered")
    assert KafkaTopic.max_held is not None
    assert 0 < most < KafkaTopic.max_held + 1000
