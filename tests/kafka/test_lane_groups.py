"""Workers that share a group: they join, leave, die, freeze and fight over a name while reports come in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kafka.broker import Cluster
from tests.kafka.lanes import Load, Topics, Worker, check, delivered, kill_all, until


@contextmanager
def workers(base: Path, topics: Topics, *names: str, **kafka: Any) -> Iterator[list[Worker]]:
    made = [Worker(base, topics, name, **kafka) for name in names]
    try:
        yield made
    finally:
        kill_all(*made)


def acquired(worker: Worker) -> int:
    """Count the partitions that came to a worker; not those that it had, and took anew after a fault of its own.

    On a busy machine a transaction takes longer than its time-out now and then, and that moves nothing.
    """
    return sum("after" not in one for one in worker.events("partition.acquired"))


def has(worker: Worker) -> int:
    """Count the partitions that a worker has, in its first life."""
    return acquired(worker) - len(worker.events("partition.revoked"))


def ended(*workers: Worker) -> list[Worker]:
    return [one for one in workers if one.process is not None and one.process.poll() is not None]


def test_joining_leaving_and_dying_in_the_middle_of_scans(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=4).create()
    with workers(tmp_path, topics, "a", "b", "c") as (a, b, c), Load(topics, hosts=8, every_s=0.05) as load:
        a.start()
        until(lambda: acquired(a) == 4, "all are a's", a)
        b.start()
        until(lambda: acquired(b) >= 1, "b has some", a, b)
        time.sleep(1)
        c.start()
        until(lambda: acquired(c) >= 1, "c has some", a, b, c)
        time.sleep(1)
        assert b.stop() == 0
        before = acquired(a) + acquired(c)
        until(lambda: acquired(a) + acquired(c) > before, "b's are taken over", a, c)
        time.sleep(1)
        before = acquired(a)
        c.kill()
        until(lambda: acquired(a) > before, "c's are taken over", a)
        time.sleep(1)
        c.start()  # with the ledgers that it had
        before = acquired(c)
        until(lambda: acquired(c) > before, "c is back", a, c)
        time.sleep(1)
        load.__exit__()
        until(delivered(topics), "all is delivered", a, c)
        kinds = {one["kind"] for worker in (a, b, c) for one in worker.events("partition.acquired")}
        assert {"new", "rebuilt", "stale"} <= kinds, kinds
        assert a.stop() == 0 and c.stop() == 0
        print(
            {
                kind: sum(one["kind"] == kind for w in (a, b, c) for one in w.events("partition.acquired"))
                for kind in kinds
            }
        )
    check(topics, load.sent)


def test_a_frozen_worker_that_wakes_commits_nothing(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    with workers(tmp_path, topics, "a", "b") as (a, b), Load(topics, every_s=0.05) as load:
        a.start()
        until(lambda: acquired(a) == 2, "both are a's", a)
        time.sleep(1)
        a.freeze()
        b.start()
        until(lambda: acquired(b) == 2, "b has taken over", b)
        time.sleep(1)
        a.thaw()
        until(lambda: acquired(a) > 2, "a has a part again", a, b)
        time.sleep(1)
        load.__exit__()
        until(delivered(topics), "all is delivered", a, b)
        assert a.stop() == 0 and b.stop() == 0
    check(topics, load.sent)


def test_a_static_member_that_restarts_moves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    with workers(tmp_path, topics, "a", "b") as (a, b), Load(topics, every_s=0.05) as load:
        # Longer than any start takes, on however busy a machine: nothing here waits for its end.
        a = Worker(tmp_path, topics, "a", instance_id="one", session_timeout_s=300).start()
        b = Worker(tmp_path, topics, "b", instance_id="two", session_timeout_s=300).start()
        try:
            until(lambda: has(a) == 1 and has(b) == 1, "each has one", a, b)
            time.sleep(1)
            came, went, before = acquired(b), len(b.events("partition.revoked")), acquired(a)
            a.kill()
            time.sleep(1)
            a.start()
            until(lambda: acquired(a) > before, "a is back", a, b)
            b.freeze()  # as a busy machine does: longer than a transaction may take
            time.sleep(6)
            b.thaw()
            load.__exit__()
            until(delivered(topics), "all is delivered", a, b)
            assert (acquired(b), len(b.events("partition.revoked"))) == (came, went)
            assert a.events("partition.acquired")[-1]["kind"] in ("own", "adopted")
            assert a.stop() == 0 and b.stop() == 0
        finally:
            kill_all(a, b)
    check(topics, load.sent)


def test_of_two_workers_with_one_name_one_says_so_and_ends(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    a = Worker(tmp_path, topics, "a", instance_id="same")
    b = Worker(tmp_path, topics, "b", instance_id="same")
    try:
        with Load(topics) as load:
            a.start()
            until(lambda: acquired(a) == 1, "a has it", a)
            b.start()
            until(lambda: bool(ended(a, b)), "one ends")
        (gone,) = ended(a, b)
        left = b if gone is a else a
        assert gone.process is not None and gone.process.returncode == 2
        assert "kafka.instance_id = 'same' is used by another process" in gone.tail()
        until(delivered(topics), "all is delivered", left)
        assert left.stop() == 0
    finally:
        kill_all(a, b)
    check(topics, load.sent)


def test_of_two_workers_with_one_partition_one_says_so_and_ends(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster).create()
    a, b = Worker(tmp_path, topics, "a", partitions=[0]), Worker(tmp_path, topics, "b", partitions=[0])
    try:
        with Load(topics, every_s=0.05) as load:
            a.start()
            until(lambda: acquired(a) == 1, "a has it", a)
            b.start()
            until(lambda: bool(ended(a, b)), "one ends")
        (gone,) = ended(a, b)
        left = b if gone is a else a
        assert gone.process is not None and gone.process.returncode == 2
        assert "name each partition for one worker only" in gone.tail()
        until(delivered(topics), "all is delivered", left)
        assert left.stop() == 0
    finally:
        kill_all(a, b)
    check(topics, load.sent)


def test_two_workers_with_one_name_and_nothing_to_do_notice_it_as_well(cluster: Cluster, tmp_path: Path) -> None:
    """No transaction fences anybody; the one that was there first ends, and the other goes on."""
    topics = Topics(cluster, partitions=2).create()
    a = Worker(tmp_path, topics, "a", instance_id="same", session_timeout_s=15)
    b = Worker(tmp_path, topics, "b", instance_id="same", session_timeout_s=15)
    try:
        a.start()
        until(lambda: acquired(a) == 2, "a has both", a)
        b.start()
        until(lambda: bool(ended(a, b)), "one ends")
        (gone,) = ended(a, b)
        left = b if gone is a else a
        assert gone.process is not None and gone.process.returncode == 2
        assert gone.tail().splitlines()[-1].startswith("sysscan-agent: kafka.instance_id = 'same' is used by another")
        time.sleep(4)  # in which the other one would be thrown out once more
        with Load(topics, every_s=0.05) as load:
            time.sleep(2)
        until(delivered(topics), "all is delivered", left)
        assert left.stop() == 0
    finally:
        kill_all(a, b)
    check(topics, load.sent)
