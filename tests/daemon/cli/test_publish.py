"""What `publish` says and does, whatever the brokers do; with them: tests/kafka/test_publish.py."""

import asyncio
import json
import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.publish import _IN_FLIGHT_BYTES, _Run
from daemon.settings import load_settings
from pipeline.errors import SinkError
from tests.daemon.ledger.reports import scan

CONTENT = b"".join(line + b"\n" for line in scan("a", host="h"))


@dataclass
class Place:
    partition: int
    offset: int


@dataclass
class Brokers:
    """Takes messages, and confirms them when asked to; fails from one message on."""

    fails_at: int = 1 << 30
    refuses_at: int = 1 << 30
    keys: list[str] = field(default_factory=list)
    flying: int = 0
    most_flying: int = 0
    closed: bool = False

    async def send(self, host: str, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> Awaitable[Place]:
        if len(self.keys) >= self.refuses_at:
            raise SinkError("kafka t: b:1 do not take reports: too few replicas")
        self.keys.append(host)
        self.flying += len(value)
        self.most_flying = max(self.most_flying, self.flying)
        return self._confirm(len(self.keys) - 1, len(value))

    async def close(self) -> None:
        self.closed = True

    async def _confirm(self, offset: int, size: int) -> Place:
        await asyncio.sleep(0.001)
        if offset >= self.fails_at:
            raise SinkError("kafka t: b:1 do not take reports: no answer in 30 s")
        self.flying -= size
        return Place(0, offset)


def run(brokers: Brokers, names: list[str], *, as_json: bool = True, option: str | None = None, **given: Any) -> _Run:
    settings = load_settings({}, {"kafka": {"brokers": ["b:1"], "input_topic": "t"}, **given})
    one = _Run(settings, as_json, lambda *_: None, option)

    async def connect() -> Brokers:
        return brokers

    asyncio.run(one.publish(names, connect))
    return one


def files(base: Path, count: int, content: bytes = CONTENT) -> list[str]:
    names = []
    for number in range(count):
        path = base / f"{number}.ndjson"
        path.write_bytes(content)
        names.append(str(path))
    return names


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_each_file_is_told_in_order(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    brokers = Brokers()
    names = files(tmp_path, 5)
    assert not run(brokers, names).failed
    said = lines(capfdbinary.readouterr().out.decode())
    assert [(line["file"], line["status"], line["offset"]) for line in said] == [
        (name, "sent", at) for at, name in enumerate(names)
    ]
    assert brokers.keys == ["h"] * 5 and brokers.closed


def test_on_a_terminal_a_line_says_where_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (name,) = files(tmp_path, 1)
    run(Brokers(), [name], as_json=False)
    assert capfd.readouterr().out.startswith(f"{name}: h, ")


@pytest.mark.parametrize("brokers", [Brokers(fails_at=2), Brokers(refuses_at=3)], ids=["not confirmed", "not taken"])
def test_what_is_not_known_to_be_there_is_named(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], brokers: Brokers
) -> None:
    names = files(tmp_path, 6)
    with pytest.raises(SinkError):
        run(brokers, names)
    said = lines(capfdbinary.readouterr().out.decode())
    assert {line["file"] for line in said} == set(names)
    sent = [line["file"] for line in said if line["status"] == "sent"]
    rest = [line["file"] for line in said if line["status"] == "not_sent"]
    assert sent + rest == names and len(sent) <= 3
    assert brokers.closed


def test_only_so_much_is_on_its_way_at_a_time(tmp_path: Path) -> None:
    noise = random.Random(1)
    content = b"".join(line + b"\n" for line in scan(*(noise.randbytes(400).hex() for _ in range(2500)), host="h"))
    brokers = Brokers()
    run(brokers, files(tmp_path, 14, content))
    assert len(brokers.keys) > 14 and _IN_FLIGHT_BYTES // 2 < brokers.most_flying <= _IN_FLIGHT_BYTES


def test_what_is_refused_is_on_standard_error_and_the_rest_goes_on(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (good,) = files(tmp_path, 1)
    bad, link = tmp_path / "bad\x1b[31m.json", tmp_path / "empty"
    bad.write_bytes(b"rubbish")
    link.mkdir()
    one = run(Brokers(), [str(bad), str(link), str(tmp_path / "absent"), good])
    assert one.failed
    seen = capfdbinary.readouterr()
    assert sorted(line["status"] for line in lines(seen.out.decode())) == ["refused", "refused", "refused", "sent"]
    assert seen.err.count(b"\n") == 3 and b"\x1b" not in seen.err
    assert b"watch.names" in seen.err and b"No such file" in seen.err


def test_hidden_and_temporary_files_of_a_directory_are_passed_over(tmp_path: Path) -> None:
    for name in (".hidden.json", "half.json.tmp", "notes.txt"):
        (tmp_path / name).write_bytes(CONTENT)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.ndjson").write_bytes(CONTENT)
    (tmp_path / "a.ndjson").write_bytes(CONTENT)
    (tmp_path / "a.ndjson.1.gz").symlink_to(tmp_path / "gone")
    brokers = Brokers()
    assert not run(brokers, [str(tmp_path)]).failed
    assert brokers.keys == ["h"]


def test_a_host_that_a_report_names_counts_and_the_option_is_said_not_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brokers = Brokers()
    (name,) = files(tmp_path, 1, CONTENT + CONTENT)
    assert not run(brokers, [name], host="other", option="other").failed
    assert set(brokers.keys) == {"h"}
    assert capsys.readouterr().err == (
        f"sysscan-agent: --host other: {name} names its host, h, and that counts\n"
    )  # once, though the file has two scans
    run(brokers, [name], host="other")  # of the settings, which are for all reports
    assert capsys.readouterr().err == ""


def test_the_host_of_the_settings_is_for_reports_that_name_none(tmp_path: Path) -> None:
    brokers = Brokers()
    (name,) = files(tmp_path, 1, b"".join(line + b"\n" for line in scan("a", host=None)))
    assert not run(brokers, [name], host="ours").failed
    assert brokers.keys == ["ours"]
