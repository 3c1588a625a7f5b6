"""The webhook: nothing is lost, whatever the other side does, and each record counts once by its key."""

import asyncio
import hmac
import itertools
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.sinks.delivery import Delivery
from daemon.sinks.http.settings import HttpSettings
from daemon.sinks.http.sink import open_http
from pipeline.errors import SinkError
from tests.daemon.sinks.memory_outbox import MemoryOutbox, row
from tests.daemon.sinks.taking_server import Answer, TakingServer, failing
from tests.daemon.sinks.waited import Waited

SECRET = "correct-horse-battery"


def sink(server: TakingServer, **settings: Any) -> Waited:
    made = Waited(open_http(HttpSettings(**{"name": "siem", "url": f"{server.url}/hook", **settings})))
    made.recover(0, lambda position: [])
    return made


def secret(tmp_path: Path, text: str = SECRET) -> str:
    path = tmp_path / "secret"
    path.write_text(f"{text}\n", encoding="utf-8")
    return str(path)


def refusal(act: Callable[[], object]) -> SinkError:
    with pytest.raises(SinkError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return caught.value


def test_records_come_as_lines_or_as_an_array_in_order(tmp_path: Path) -> None:
    rows = [row(at) for at in range(1, 8)]
    with TakingServer() as server:
        assert sink(server, batch_records=3).write(rows) == 7
        assert sink(server, batch_records=4, format="json").write(rows) == 7
        lines, arrays = server.requests[:3], server.requests[3:]
    assert b"".join(one.body for one in lines) == b"".join(one.line + b"\n" for one in rows)
    assert [one.headers["Sysscan-Records"] for one in lines] == ["3", "3", "1"]
    assert {one.headers["Content-Type"] for one in lines} == {"application/x-ndjson"}
    assert [found for one in arrays for found in json.loads(one.body)] == [json.loads(one.line) for one in rows]
    assert {one.headers["Content-Type"] for one in arrays} == {"application/json"}
    assert {one.path for one in server.requests} == {"/hook"}


def test_a_request_has_no_more_bytes_than_it_may_but_for_one_record_that_is_larger() -> None:
    rows = [row(at, pad=5000 if at == 3 else 300) for at in range(1, 9)]
    with TakingServer() as server:
        assert sink(server, batch_bytes=1024).write(rows) == 8
        sizes = [len(one.body) for one in server.requests]
    assert sum(size > 1024 for size in sizes) == 1
    assert server.times.total() == 8


def test_a_request_is_signed_so_that_a_receiver_can_check_it_and_its_time(tmp_path: Path) -> None:
    settings = HttpSettings(name="one", url="http://localhost:1", secret_file=secret(tmp_path))
    with TakingServer() as server:
        settings = settings.model_copy(update={"url": server.url})
        Waited(open_http(settings, wall_clock=lambda: 1_800_000_000.7)).write([row(1), row(2)])
        (asked,) = server.requests
    assert asked.headers["Sysscan-Timestamp"] == "1800000000"
    expected = hmac.new(SECRET.encode(), b"1800000000." + asked.body, "sha256").hexdigest()
    assert asked.headers["Sysscan-Signature"] == f"v1={expected}"
    assert SECRET not in json.dumps(asked.headers)


def test_the_check_in_the_handbook_takes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "sinks.md").read_text(encoding="utf-8")
    known: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], known)
    is_ours = known["is_ours"]
    with TakingServer() as server:
        settings = HttpSettings(name="one", url=server.url, secret_file=secret(tmp_path))
        Waited(open_http(settings, wall_clock=lambda: 1000.0)).write([row(1)])
        (asked,) = server.requests
    assert is_ours(asked.headers, asked.body, SECRET.encode(), 1010.0)
    assert not is_ours(asked.headers, asked.body + b" ", SECRET.encode(), 1010.0)
    assert not is_ours(asked.headers, asked.body, b"another", 1010.0)
    assert not is_ours(asked.headers, asked.body, SECRET.encode(), 2000.0)
    assert not is_ours({**asked.headers, "Sysscan-Timestamp": "1001"}, asked.body, SECRET.encode(), 1010.0)


def test_the_same_records_sent_again_together_have_the_same_name() -> None:
    with TakingServer() as server:
        for _ in range(2):
            sink(server).write([row(1), row(2)])
        sink(server).write([row(1)])
        names = [one.headers["Sysscan-Batch"] for one in server.requests]
    assert names[0] == names[1] != names[2]


def test_who_sends_is_said_with_a_password_or_a_token(tmp_path: Path) -> None:
    with TakingServer() as server:
        sink(server, username="agent", password_file=secret(tmp_path)).write([row(1)])
        sink(server, token_file=secret(tmp_path)).write([row(1)])
        said = [one.headers["Authorization"] for one in server.requests]
    assert said == ["Basic YWdlbnQ6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5", f"Bearer {SECRET}"]


def test_a_secret_comes_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with TakingServer() as server:
        sink(server, token_file="credential:secret").write([row(1)])
        assert server.requests[0].headers["Authorization"] == f"Bearer {SECRET}"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    said = str(refusal(lambda: sink(server, token_file="credential:secret").write([row(1)])))
    assert "credential:secret: systemd has handed over no credentials" in said


FAULTS = {
    "500": failing(500),
    "502 after it took them": failing(502, takes=True),
    "503 with a time": failing(503, Retry_After="7"),
    "429": failing(429, Retry_After="7"),
    "a cut request": Answer(how="drop"),
    "a cut answer": Answer(how="cut"),
    "a cut answer in chunks": Answer(how="cut chunks"),
    "a cut answer to what was not taken": Answer(how="cut", takes=False),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_after_a_fault_everything_comes_and_counts_once(fault: Answer, at: int) -> None:
    """`at`: the request that meets with it."""
    rows = [row(number) for number in range(1, 10)]
    now = itertools.count(step=1000)
    outbox = MemoryOutbox()
    outbox.add(*rows)
    with TakingServer() as server:
        server.answers = [*(Answer() for _ in range(at)), fault]
        delivery = Delivery(outbox, sink(server, batch_records=3), lambda: float(next(now)))
        while outbox.marks.get("http:siem", 0) < 9:
            delivery.step()
        delivery.close()
        assert delivery.faults == 1
        assert list(server.kept.values()) == [one.line for one in rows]
        # Only the request whose fate was unknown is made again; what had been taken before it is not.
        again = {key: times for key, times in server.times.items() if times > 1}
        taken = fault.takes and fault.how != "drop"
        assert again == ({str(number): 2 for number in range(3 * at + 1, 3 * at + 4)} if taken else {})


def test_however_faults_fall_nothing_is_lost_and_the_order_holds() -> None:
    dice = random.Random(7)
    rows = [row(number, pad=dice.randrange(200)) for number in range(1, 400)]
    now = itertools.count(step=1000)
    outbox = MemoryOutbox()
    outbox.add(*rows)
    with TakingServer() as server:
        server.answers = [dice.choice([Answer(), *FAULTS.values()]) for _ in range(60)]
        delivery = Delivery(outbox, sink(server, batch_records=17), lambda: float(next(now)))
        while outbox.marks.get("http:siem", 0) < len(rows):
            delivery.step()
        delivery.close()
    assert delivery.faults > 10
    assert list(server.kept.values()) == [one.line for one in rows]


@pytest.mark.parametrize("how", ["slow", "silent"])
def test_an_answer_that_does_not_end_is_given_up(how: str) -> None:
    with TakingServer() as server:
        server.answers = [Answer(how=how)]
        said = str(refusal(lambda: sink(server, timeout_s=1).write([row(1)])))
    assert said == (f"http:siem: localhost:{server.port}: no answer within 1 s; see what keeps it, or raise timeout_s")


def test_an_answer_without_an_end_is_not_read_for_ever() -> None:
    with TakingServer() as server:
        server.answers = [Answer(body=b"x" * (3 << 20))]
        assert "answers with more than 1024 KiB" in str(refusal(lambda: sink(server).write([row(1)])))


def test_nobody_there_is_said_in_a_line() -> None:
    with TakingServer() as server:
        server.stop()
        said = str(refusal(lambda: sink(server).write([row(1)])))
    assert said == (
        f"http:siem: localhost:{server.port}: no answer: Connection refused; see that it runs and can be reached"
    )


def test_a_redirect_is_not_followed() -> None:
    with TakingServer() as elsewhere, TakingServer() as server:
        server.answers = [failing(307, Location=elsewhere.url)]
        error = refusal(lambda: sink(server).write([row(1)]))
        assert "redirects (307 Temporary Redirect), which is not followed; set url to where it leads" in str(error)
        assert elsewhere.requests == []


def test_the_other_side_is_left_alone_for_as_long_as_it_asks() -> None:
    clock = [0.0]
    outbox = MemoryOutbox()
    outbox.add(row(1))
    with TakingServer() as server:
        server.answers = [failing(429, Retry_After="7")]
        delivery = Delivery(outbox, sink(server), lambda: clock[0])
        delivery.step()
        assert delivery.retry_at == 7.0
        clock[0] = 6.9
        assert not delivery.step() and len(server.requests) == 1
        clock[0] = 7.0
        assert delivery.step() and len(server.requests) == 2


@pytest.mark.parametrize(
    ("said", "date", "waits"),
    [
        ("120", None, 120.0),
        ("999999999999", None, 3600.0),
        ("Tue, 01 Jan 2030 00:01:00 GMT", "Tue, 01 Jan 2030 00:00:00 GMT", 60.0),
        ("Tue, 01 Jan 2030 00:00:00 GMT", "Tue, 01 Jan 2030 00:01:00 GMT", 0.0),
        ("soon", None, 0.0),
        ("-5", None, 0.0),
        ("", None, 0.0),
    ],
)
def test_a_wait_is_seconds_or_a_date_and_has_a_bound(said: str, date: str | None, waits: float) -> None:
    with TakingServer() as server:
        server.answers = [failing(503, Retry_After=said, Date=date or "")]
        assert refusal(lambda: sink(server).write([row(1)])).wait_s == waits


def test_many_agents_do_not_come_back_in_the_same_moment() -> None:
    waits = []
    for share in (0.0, 0.5, 1.0):
        outbox = MemoryOutbox()
        outbox.add(row(1))
        with TakingServer() as server:
            server.answers = [failing(503, Retry_After="8")]
            delivery = Delivery(outbox, sink(server), lambda: 0.0, lambda share=share: share)  # type: ignore[misc]
            delivery.step()
            waits.append(delivery.retry_at)
    assert waits == [8.0, 9.0, 10.0]


@pytest.mark.parametrize(("status", "advice"), [(401, "credentials"), (403, "credentials"), (404, "url is right")])
def test_an_answer_to_whoever_sends_holds_the_sink_and_names_no_record(
    tmp_path: Path, status: int, advice: str
) -> None:
    letters = tmp_path / "letters.ndjson"
    with TakingServer() as server:
        server.answers = [failing(status)] * 2
        made = sink(server, dead_letter=letters)
        error = refusal(lambda: made.write([row(1), row(2)]))
        assert len(server.requests) == 1  # not cut in halves: it is not about the records
    assert advice in str(error) and str(status) in str(error)
    assert error.wait_s >= 60
    assert not letters.exists()


def unwanted(number: int) -> Callable[[bytes], tuple[int, str] | None]:
    return lambda line: (422, "no such field") if json.loads(line)["n"] == number else None


def test_a_record_that_is_refused_holds_the_sink_and_is_named() -> None:
    rows = [row(number) for number in range(1, 10)]
    with TakingServer() as server:
        server.judge = unwanted(6)
        made = sink(server)
        error = refusal(lambda: made.write(rows))
        assert 'the finding key6 is refused (422 Unprocessable Entity: {"error": "no such field"})' in str(error)
        assert "name a file for such records in dead_letter" in str(error)
        assert list(server.kept) == ["1", "2", "3", "4", "5"]  # what comes before it is taken, what follows waits
        durable = made.write([])
        assert durable <= 5
        server.judge = lambda line: None
        assert made.write(rows[durable:]) == 9
    assert list(server.kept.values()) == [one.line for one in rows]
    assert max(server.times.values()) == 1


def test_a_record_that_is_refused_goes_to_the_dead_letters_where_there_are_some(tmp_path: Path) -> None:
    letters = tmp_path / "letters.ndjson"
    rows = [row(number) for number in range(1, 10)]
    with TakingServer() as server:
        server.judge = unwanted(6)
        assert sink(server, dead_letter=letters).write(rows) == 9
    assert sorted(server.kept) == ["1", "2", "3", "4", "5", "7", "8", "9"]
    (letter,) = [json.loads(line) for line in letters.read_bytes().splitlines()]
    assert letter == {
        "sink": "http:siem",
        "key": "key6",
        "kind": "finding",
        "reason": '422 Unprocessable Entity: {"error": "no such field"}',
        "record": json.loads(rows[5].line),
    }
    assert not letters.stat().st_mode & 0o137, "nobody else reads it, whatever the umask"


def test_where_all_is_refused_the_dead_letters_do_not_take_all(tmp_path: Path) -> None:
    letters = tmp_path / "letters.ndjson"
    with TakingServer() as server:
        server.judge = lambda line: (400, "what is this")
        error = refusal(lambda: sink(server, dead_letter=letters).write([row(number) for number in range(1, 100)]))
    assert "20 in a row were refused before, so see whether the other side is the right one" in str(error)
    assert len(letters.read_bytes().splitlines()) == 20


def test_a_torn_dead_letter_stays_a_line_of_its_own(tmp_path: Path) -> None:
    letters = tmp_path / "letters.ndjson"
    letters.write_bytes(b'{"sink":"http:si')
    with TakingServer() as server:
        server.judge = unwanted(1)
        sink(server, dead_letter=letters).write([row(1), row(2)])
    torn, whole = letters.read_bytes().splitlines()
    assert (torn, json.loads(whole)["key"]) == (b'{"sink":"http:si', "key1")


def test_a_request_that_is_too_large_is_made_in_smaller_ones() -> None:
    rows = [row(number, pad=100) for number in range(1, 65)]
    with TakingServer() as server:
        server.most_bytes = 1000
        assert sink(server).write(rows) == 64
    assert list(server.kept.values()) == [one.line for one in rows]
    assert max(server.times.values()) == 1


def test_only_what_is_wanted_is_sent_and_the_rest_does_not_hold_the_mark() -> None:
    rows = [
        row(1, level="low"), row(2, level="high"), row(3, level="high", changed=False),
        row(4, kind="scan", level="info"), row(5, level="info"),
    ]  # fmt: skip
    with TakingServer() as server:
        assert sink(server, min_level="medium", emit="changes").write(rows) == 5
        assert list(server.kept) == ["2", "4"]
        assert sink(server, kinds=("scan",)).write(rows) == 5
        assert server.times == {"2": 1, "4": 2}


def test_no_message_holds_a_secret_whatever_the_other_side_repeats(
    tmp_path: Path, logs: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outbox = MemoryOutbox()
    outbox.add(row(1))
    with TakingServer() as server:
        echo = f"you sent {SECRET} and YWdlbnQ6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5".encode()
        for status in (400, 401, 500):
            server.answers = [Answer(status, takes=False, body=echo)]
            made = sink(server, username="agent", password_file=secret(tmp_path), secret_file=secret(tmp_path))
            delivery = Delivery(outbox, made, lambda: 0.0)
            delivery.step()
            assert delivery.fault is not None and "you sent *** and ***" in delivery.fault
            assert SECRET not in delivery.fault
    assert len(logs) == 3
    assert SECRET not in repr(logs) + caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a\x00b", "its first line has signs that no secret has"),
    ],
)
def test_a_file_without_a_secret_is_named_and_not_shown(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with TakingServer() as server:
        error = refusal(lambda: sink(server, token_file=str(path)).write([row(1)]))
    assert f"http:siem: token_file: {path}: {said}" in str(error)


def test_what_the_other_side_says_is_harmless_and_short() -> None:
    with TakingServer() as server:
        server.answers = [Answer(500, takes=False, body=b"\x1b[2J\xe2\x80\xae" + b"A" * 5000)]
        said = str(refusal(lambda: sink(server).write([row(1)])))
    assert said.isprintable() and len(said) < 400
    assert "\\x1b[2J\\u202e" in said


def test_an_interrupted_sink_ends_in_good_time_and_the_next_one_goes_on() -> None:
    rows = [row(number) for number in range(1, 4)]
    with TakingServer() as server:
        server.answers = [Answer(how="silent", takes=True)]
        first = open_http(HttpSettings(name="siem", url=server.url))
        first.recover(0, lambda position: [])
        assert first.write(rows) == 0
        asyncio.run(asyncio.sleep(0.05))
        server.gone.set()
        first.close()
        assert sink(server).write(rows) == 3
    assert sorted(server.kept) == ["1", "2", "3"]
