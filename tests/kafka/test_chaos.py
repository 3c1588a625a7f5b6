"""Some minutes of everything at once, on three brokers; `benchmarks/kafka_chaos.py` goes on for as long as wanted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import Cluster
from tests.kafka.chaos import Chaos, Size, Start, forking, judge
from tests.kafka.forks import Launcher
from tests.kafka.lane_launcher import STEPS

SIZE = Size(kills=30, disks=4, freezes=2, absences=1, brokers=2, total=3000)


@pytest.fixture
def start() -> Iterator[Start]:
    launcher = Launcher("tests.kafka.lane_launcher")
    yield forking(launcher)
    launcher.close()


@pytest.mark.slow
def test_whatever_breaks_a_reader_sees_every_finding_once_and_in_order(
    three: Cluster, start: Start, tmp_path: Path
) -> None:
    chaos = Chaos(three, tmp_path, SIZE, start, STEPS)
    try:
        outcome = chaos.run()
    finally:
        chaos.close()
    print(outcome)
    assert outcome.clean, f"{outcome}; logs in {tmp_path}"
    assert outcome.faults["kills at a step"] >= 2  # or the steps are not those of the program any more


def test_the_count_finds_what_is_lost_doubled_out_of_order_and_foreign() -> None:
    def line(host: str, number: int) -> bytes:
        return json.dumps({"host": host, "id": f"/srv/{host}/{number:05d}/00000"}).encode()

    sent = {host: [f"/srv/{host}/{number:05d}/00000" for number in range(3)] for host in ("h1", "h2")}
    right = [line(host, number) for host in sent for number in range(3)]
    assert judge(sent, right).clean
    assert judge(sent, right[1:]).lost == 1
    assert judge(sent, [*right, right[0]]).doubled == 1
    assert judge(sent, [right[1], right[0], *right[2:]]).disordered == ["h1"]
    assert judge(sent, [*right, b"{}"]).foreign == 1
    assert judge(sent, [*right, right[0].replace(b'"h1"', b'"h2"')]).foreign == 1
