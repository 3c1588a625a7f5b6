"""From topic to topic: what a lane makes of what it reads, while nothing goes wrong."""

from pathlib import Path

from tests.kafka.broker import Cluster
from tests.kafka.lanes import Topics, Worker, check, committed, report


def test_reports_of_several_hosts_come_out_once_and_in_order(cluster: Cluster, tmp_path: Path) -> None:
    topics = Topics(cluster, partitions=2).create()
    sent: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    records = []
    for number in range(9):
        host = "abc"[number % 3]
        sent[host].append(number)
        records.append((host.encode(), report(host, number), number % 3 % 2))
    topics.send(*records)
    worker = Worker(tmp_path, topics, partitions=[0, 1])
    done = worker.once()
    assert done.returncode == 0, done.stderr.decode()
    check(topics, sent)
    assert committed(topics, 0) + committed(topics, 1) == 9
