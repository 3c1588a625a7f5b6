"""Syslog: messages that a strict reader understands, whatever is in a record, and none lost on a connection."""

import itertools
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sinks.delivery import Delivery
from daemon.sinks.network.items import Item
from daemon.sinks.syslog.message import message
from daemon.sinks.syslog.settings import SyslogSettings
from daemon.sinks.syslog.sink import open_syslog
from daemon.sinks.syslog.transport import framed
from pipeline.errors import SinkError
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.receiving import Receiving
from tests.daemon.sinks.rfc5424 import read
from tests.daemon.sinks.waited import Waited

UNIX = SyslogSettings(name="one", address="unix:/dev/log")
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def item(line: bytes, *, kind: str = "finding", key: str = "k1", level: str = "high") -> Item:
    return Item(1, kind, key, level, line)


def sink(address: str, **settings: Any) -> Waited:
    made = Waited(open_syslog(SyslogSettings(**{"name": "siem", "address": address, **settings})))
    made.recover(0, lambda position: [])
    return made


def test_a_finding_says_in_its_head_what_it_is() -> None:
    line = json.dumps(
        {
            "class": "suid.unexpected",
            "finding": {"title": "odd"},
            "host": "web-01",
            "observed_at": "2026-11-23T15:27:02Z",
        }
    ).encode()
    said = read(message(item(line), UNIX))
    assert (said.facility, said.severity) == (20, 3)
    assert (said.time, said.host, said.app, said.msgid) == (
        "2026-11-23T15:27:02Z",
        "web-01",
        "sysscan-agent",
        "finding",
    )
    assert said.sd_id == "sysscan@32473"
    assert said.data == {"key": "k1", "kind": "finding", "level": "high", "host": "web-01", "class": "suid.unexpected"}
    assert said.text.encode() == line


def test_levels_become_severities() -> None:
    levels = ("critical", "high", "medium", "low", "info")
    assert [read(message(item(b"{}", level=level), UNIX)).severity for level in levels] == [2, 3, 4, 5, 6]


@given(host=ANY, class_=ANY, title=ANY, key=ANY, at=ANY, kind=st.sampled_from(["finding", "scan", "verdict"]))
def test_whatever_is_in_a_record_the_message_is_one(
    host: str, class_: str, title: str, key: str, at: str, kind: str
) -> None:
    record = {"class": class_, "finding": {"title": title}, "host": host, "observed_at": at}
    line = json.dumps(record, ensure_ascii=False).encode()
    for form in ("record", "text"):
        settings = UNIX.model_copy(update={"message": form})
        written = message(item(line, kind=kind, key=key), settings)
        said = read(written)
        assert len(written) <= settings.most
        assert said.msgid == kind
        # What goes into the head and the structured data moves no cursor and ends no line.
        head = written.partition(b"\xef\xbb\xbf")[0].decode()
        assert not [sign for sign in head if ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 or sign in "\u202e\u2028"]
        if form == "record":
            assert json.loads(said.text) == record
    assert message(item(line), UNIX) == message(item(line), UNIX)


@given(title=ANY, size=st.integers(0, 4000))
def test_a_record_that_does_not_fit_becomes_a_sentence_that_says_so(title: str, size: int) -> None:
    settings = UNIX.model_copy(update={"max_bytes": 1024})
    record = {"finding": {"title": title}, "host": "h", "pad": "é" * size}
    line = json.dumps(record, ensure_ascii=False).encode()
    written = message(item(line), settings)
    said = read(written)  # in UTF-8 to its end
    assert len(written) <= 1024
    if "cut" in said.data:
        assert said.data["cut"] == str(len(line))
        assert said.text.startswith("high: ") and "pad" not in said.text.replace(title, "")
    else:
        assert json.loads(said.text) == record


@given(st.lists(st.binary(max_size=300)))
def test_frames_are_taken_apart_by_their_lengths_alone(messages: list[bytes]) -> None:
    stream, found = b"".join(framed(one) for one in messages), []
    while stream:
        length, _, rest = stream.partition(b" ")
        found.append(rest[: int(length)])
        stream = rest[int(length) :]
    assert found == messages


def test_records_come_over_a_connection_in_order() -> None:
    rows = [row(number) for number in range(1, 1201)]
    with Receiving() as receiver:
        assert sink(f"tcp://127.0.0.1:{receiver.port}").write(rows) == 1200
        assert receiver.lines() == [one.line for one in rows]


@pytest.mark.parametrize("read_before", [0, 1, 3])
def test_a_receiver_that_dies_with_something_unread_gets_all_of_it_again(read_before: int) -> None:
    rows = [row(number, pad=2000) for number in range(1, 101)]
    now = itertools.count(step=1000)
    outbox = MemoryOutbox()
    outbox.add(*rows)
    with Receiving() as receiver:
        receiver.dies_after = [read_before]
        delivery = Delivery(outbox, sink(f"tcp://127.0.0.1:{receiver.port}"), lambda: float(next(now)))
        while outbox.marks.get("syslog:siem", 0) < 100:
            delivery.step()
        assert delivery.faults == 1
        assert sorted(receiver.times) == sorted(one.key for one in rows)
        assert [one for one in receiver.times.values() if one > 1] == [2] * read_before
        assert len(receiver.lines()) == 100


def test_a_receiver_that_never_closes_counts_when_its_system_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.sinks.syslog.transport._GOODBYE_S", 0.1)
    with Receiving() as receiver:
        receiver.never_closes = True
        assert sink(f"tcp://127.0.0.1:{receiver.port}").write([row(1), row(2)]) == 2
        assert receiver.times.total() == 2


def test_a_receiver_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.sinks.syslog.transport._GOODBYE_S", 0.1)
    rows = [row(number, pad=7000) for number in range(1, 500)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SinkError, match=r"does not take messages within 1 s"):
            sink(f"tcp://127.0.0.1:{port}", timeout_s=1).write(rows)


def test_datagrams_come_one_a_record_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.extend(receiver.recv(65536) for _ in range(50)))
        reader.start()
        assert sink(f"unix:{path}").write([row(number) for number in range(1, 51)]) == 50
        reader.join(30)
    assert [read(one).data["key"] for one in found] == [f"key{number}" for number in range(1, 51)]


def test_a_datagram_by_udp_has_no_more_bytes_than_receivers_have_to_take() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        port = receiver.getsockname()[1]
        assert sink(f"udp://127.0.0.1:{port}").write([row(1), row(2, pad=3000)]) == 2
        whole, cut = receiver.recv(65536), receiver.recv(65536)
    assert read(whole).text.encode() == row(1).line
    assert len(cut) <= 2048 and read(cut).data["cut"] == str(len(row(2, pad=3000).line))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (lambda path: f"unix:{path}/none", "unix:.*/none: No such file or directory; see that the receiver runs"),
        (lambda path: "tcp://127.0.0.1:1", "tcp://127.0.0.1:1: Connection refused; see that the receiver runs"),
        (lambda path: "tcp://no.such.host.invalid:1", "no.such.host.invalid:1: .*; see that the receiver runs"),
    ],
)
def test_nobody_there_is_said_in_a_line(tmp_path: Path, address: Callable[[Path], str], said: str) -> None:
    with pytest.raises(SinkError, match=f"^syslog:siem: .*{said}") as caught:
        sink(address(tmp_path), plaintext=address(tmp_path).startswith("tcp")).write([row(1)])
    assert "\n" not in str(caught.value)
