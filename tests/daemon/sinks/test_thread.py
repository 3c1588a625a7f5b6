"""The thread of a sink: begun once, ended with the sink, and left behind where it does not end."""

import threading
from typing import Any

from daemon.sinks.thread import SinkThread

PATIENCE_S = 60.0


def test_it_is_begun_once_and_ends_when_it_is_told(logs: list[dict[str, Any]]) -> None:
    ran: list[str] = []
    wake = threading.Event()

    def run() -> None:
        ran.append(threading.current_thread().name)
        while not thread.stopping:
            wake.wait(PATIENCE_S)

    thread = SinkThread("a sink of these tests", run, PATIENCE_S)
    thread.begin()
    thread.begin()
    thread.end(wake.set)
    assert ran == ["a sink of these tests"]
    assert not [one for one in threading.enumerate() if one.name == "a sink of these tests"]
    assert not logs


def test_what_was_never_begun_is_not_woken() -> None:
    woken: list[bool] = []
    thread = SinkThread("a sink of these tests", lambda: None, PATIENCE_S)
    thread.end(lambda: woken.append(True))
    assert thread.stopping and not woken


def test_one_that_does_not_end_is_left_behind_and_said(logs: list[dict[str, Any]]) -> None:
    held = threading.Event()

    def run() -> None:
        held.wait(PATIENCE_S)

    thread = SinkThread("a sink of these tests", run, 0.01)
    thread.begin()
    try:
        thread.end(lambda: None)
    finally:
        held.set()
    assert [(one["event"], one["sink"]) for one in logs] == [("sink.not_closed", "a sink of these tests")]
