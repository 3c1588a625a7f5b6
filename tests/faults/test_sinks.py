"""Sinks beside the file, in the whole daemon: one that is down holds only itself, and a crash costs nothing."""

import itertools
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.opensearch.settings import OpenSearchSettings
from daemon.sinks.settings import SinkSettings
from daemon.sinks.syslog.settings import SyslogSettings
from tests.crash.process import Agent, Launcher, wait_until
from tests.daemon.house import House
from tests.daemon.sinks.receiving import Receiving
from tests.daemon.sinks.taking_server import Answer, TakingServer, failing
from tests.pipeline.sessions import SCANS

KILLS = int(os.environ.get("SYSSCAN_CRASH_KILLS", "20")) // 2
REPORTS = ("web01-base-default.json", "db02-default.json", "micro-default.json", "db02-users.json")


def keys(lines: bytes) -> list[str]:
    """List what the lines of the output are known by."""
    return [record["dedupe_key"] for record in map(json.loads, lines.splitlines())]


def test_a_sink_that_is_down_for_minutes_holds_only_itself_and_then_has_everything_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        web, issues = stack.enter_context(TakingServer()), stack.enter_context(TakingServer())
        search, syslog = stack.enter_context(TakingServer(bulk=True)), stack.enter_context(Receiving())
        web.stop()
        house = House(tmp_path / "house")
        house.settings = house.settings.model_copy(
            update={
                "sinks": SinkSettings(
                    http=(
                        HttpSettings(name="siem", url=web.url),
                        HttpSettings(name="issues", url=issues.url, kinds=("issue",), mapping="ecs"),
                    ),
                    opensearch=(OpenSearchSettings(name="search", url=search.url),),
                    syslog=(SyslogSettings(name="log", address=f"tcp://127.0.0.1:{syslog.port}", max_bytes=1 << 20),),
                )
            }
        )

        async def script(house: House) -> None:
            for report in REPORTS:
                house.feed(report)
            others = ("file:" + str(house.output), "http:issues", "opensearch:search", "syslog:log")

            def rest_is_done() -> bool:
                backlog = house.ledger.outbox.backlog()
                scans = house.output.exists() and house.output.read_bytes().count(b'"schema":"sysscan.scan/1"') == len(
                    REPORTS
                )
                return scans and not any(backlog[name] for name in others)

            await house.until(rest_is_done, "the others have everything")
            down = next(one for one in house.shard.deliveries if one.name == "http:siem")
            for _ in range(5):
                attempts = down.faults
                house.ahead += 60
                await house.until(lambda attempts=attempts: down.faults > attempts, "another attempt")  # type: ignore[misc]
            status = house.ledger.status()
            rows = house.ledger.outbox.end()
            assert status["outbox_backlog"] == {**dict.fromkeys(others, 0), "http:siem": rows}
            assert status["outbox_marks"]["http:siem"] == 0
            assert rows > 100
            text = (house.base / "metrics.prom").read_text(encoding="utf-8")
            assert 'sysscan_agent_sink_failing{sink="http:siem"} 1\n' in text
            assert 'sysscan_agent_sink_failing{sink="syslog:log"} 0\n' in text
            assert any("http:siem: localhost" in one and "no answer" in one for one in house.shard.problems())
            web.start()
            house.ahead += 60
            await house.quiet()

        house.run(script)
        written = house.output.read_bytes().splitlines()
        assert list(web.kept.values()) == written  # in order, and the very bytes
        assert list(search.kept.values()) == written
        assert syslog.lines() == written
        assert list(issues.kept) == [
            key for key, line in zip(keys(b"\n".join(written)), written, strict=True) if b'"sysscan.issue/1"' in line
        ]
        assert issues.kept
        assert max(web.times.values()) == max(search.times.values()) == max(syslog.times.values()) == 1


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    forks = Launcher()
    yield forks
    forks.close()


class Sinking(Agent):
    """An agent with settings of its own."""

    def __init__(self, base: Path, launcher: Launcher, config: str) -> None:
        super().__init__(base, launcher)
        self._config = base / "config.toml"
        self._config.write_text(config, encoding="utf-8")

    @property
    def arguments(self) -> list[str]:
        return [*super().arguments, "--config", str(self._config)]


def test_killed_at_random_moments_each_record_counts_once_wherever_it_went(tmp_path: Path, launcher: Launcher) -> None:
    """Every answer may fail, and the daemon dies while requests are under way."""
    dice = random.Random(5)
    with ExitStack() as stack:
        web, search = stack.enter_context(TakingServer()), stack.enter_context(TakingServer(bulk=True))
        syslog = stack.enter_context(Receiving())
        config = f"""
            [[sinks.http]]
            name = "siem"
            url = "{web.url}"
            batch_records = 20
            [[sinks.opensearch]]
            name = "search"
            url = "{search.url}"
            batch_records = 20
            [[sinks.syslog]]
            name = "log"
            address = "tcp://127.0.0.1:{syslog.port}"
            max_bytes = 1048576
        """
        agent = Sinking(tmp_path, launcher, config)
        agent.root.mkdir()
        cut, doubled = [Answer(how="cut"), Answer(how="drop")], [failing(500, takes=True)]
        reports = itertools.cycle(SCANS / name for name in REPORTS)
        unfinished = 0
        for number in range(KILLS):
            with web.lock, search.lock:
                web.answers = [dice.choice([Answer(), Answer(), *cut, *doubled]) for _ in range(3)]
                search.answers = [dice.choice([Answer(), Answer(), *cut, *doubled]) for _ in range(3)]
            syslog.dies_after = [dice.randrange(40)] if number % 3 == 0 else []
            report = next(reports)
            (agent.root / f"{number:02}-{report.name}").write_bytes(
                report.read_bytes().replace(b"web01", b"w%03d" % number)
            )
            before = len(web.requests) + len(search.requests)
            agent.start()
            wait_until(lambda before=before: len(web.requests) + len(search.requests) > before, "a request")  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.1))
            agent.kill()
            assert agent.problems() == []
            unfinished += len(web.kept) < len(keys(agent.written()))
        with web.lock, search.lock:
            web.answers, search.answers = [], []
        syslog.dies_after = []
        agent.finish()
        written = keys(agent.written())
        assert len(written) == len(set(written)) > 300
        assert unfinished  # kills did come in between
        assert sorted(web.kept.values()) == sorted(agent.written().splitlines())
        assert sorted(search.kept) == sorted(written)
        assert max(search.times.values()) == 1
        assert sorted(syslog.times) == sorted(written)
