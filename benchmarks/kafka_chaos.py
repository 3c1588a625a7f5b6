"""Breaks workers, disks and brokers for a while and counts what a reader lost or got twice: ours, or a peer.

    KAFKA_LIBS=build/kafka/4.3.1 python -m benchmarks.kafka_chaos --size 3 --findings 100000 --kills 300 --disks 30 \
        --freezes 20 --brokers 20
    KAFKA_LIBS=build/kafka/4.3.1 python -m benchmarks.kafka_chaos --peer plain --size 1

The count is kept by the sender alone; see `tests.kafka.chaos`. Ends with 1 where ours lost or doubled anything.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kafka.broker import Cluster
from tests.kafka.chaos import Chaos, Size, Start, forking
from tests.kafka.forks import Launcher
from tests.kafka.lane_launcher import STEPS

ROOT = Path(__file__).parents[1]
PEERS = ("plain", "faust-at-least-once", "faust-exactly-once")


def main() -> None:
    """Run one chaos and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=PEERS, help="instead of ours")
    parser.add_argument("--size", type=int, default=1, choices=(1, 3), help="brokers")
    default = Size()
    parser.add_argument("--findings", type=int, default=default.total, help="that are sent at least")
    for name in ("kills", "disks", "freezes", "absences", "brokers", "hosts", "workers", "partitions", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument(
        "--gap", type=float, default=default.gap_s, metavar="SECONDS", help="between two faults, at most"
    )
    parser.add_argument("--of-a-scan", type=int, default=default.findings, metavar="N", help="findings")
    parser.add_argument("--keep", type=Path, help="directory for what is left behind")
    given = parser.parse_args()
    libs = os.environ.get("KAFKA_LIBS")
    if libs is None:
        sys.exit("set KAFKA_LIBS to the directory that `make kafka` fetched the jars into, such as build/kafka/4.3.1")
    size = Size(
        hosts=given.hosts, partitions=given.partitions, workers=given.workers, findings=given.of_a_scan,
        kills=given.kills, disks=given.disks, freezes=given.freezes, absences=given.absences, brokers=given.brokers,
        gap_s=given.gap, total=given.findings, seed=given.seed,
    )  # fmt: skip
    base = given.keep or Path(tempfile.mkdtemp(prefix="sysscan-chaos-"))
    base.mkdir(parents=True, exist_ok=True)
    with Cluster(Path(libs), base, size=given.size) as cluster:
        start, end = _peer(given.peer, base) if given.peer else _ours()
        chaos = Chaos(cluster, base, size, start, () if given.peer else STEPS)
        try:
            outcome = chaos.run(lambda line: print(line, file=sys.stderr, flush=True))
        finally:
            chaos.close()
            end()
    print(f"{given.peer or 'sysscan-agent'}, {given.size} broker(s): {outcome}")
    sys.exit(1 if not given.peer and not outcome.clean else 0)


def _ours() -> tuple[Start, Callable[[], None]]:
    launcher = Launcher("tests.kafka.lane_launcher")
    return forking(launcher), launcher.close


def _peer(peer: str, base: Path) -> tuple[Start, Callable[[], None]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(config: Path, log: Path, armed: Sequence[str]) -> int:
        said = tomllib.loads(config.read_text())["kafka"]
        arguments = [",".join(said["brokers"]), said["group"], said["instance_id"]]
        module = "benchmarks.peers.plain"
        if peer != "plain":
            module = "benchmarks.peers.faust_app"
            guarantee = "exactly_once" if peer == "faust-exactly-once" else "at_least_once"
            arguments += [str(base / f"faust-{said['instance_id']}"), guarantee]
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )
        started.append(process)
        return process.pid

    def end() -> None:
        for process in started:
            process.kill()
            process.wait()

    return start, end


if __name__ == "__main__":
    main()
