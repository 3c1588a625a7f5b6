"""The log never holds the work up, and what is lost of it is counted and said."""

import os
import threading

from daemon.log_writer import MAX_WAITING_LINES, LogWriter, TextFace


def said(count: int) -> bytes:
    return b"dropped %d\n" % count


def test_lines_come_out_in_order() -> None:
    lines: list[bytes] = []
    writer = LogWriter(lines.append, said)
    for number in range(1_000):
        writer.write(b"%d\n" % number)
    assert writer.flush(10)
    assert lines == [b"%d\n" % number for number in range(1_000)]
    assert writer.dropped == 0


def test_a_reader_that_does_not_read_costs_lines_and_nothing_else() -> None:
    lines: list[bytes] = []
    reads = threading.Event()

    def write(line: bytes) -> None:
        reads.wait()
        lines.append(line)

    writer = LogWriter(write, said)
    for number in range(MAX_WAITING_LINES + 100):  # all of it returns, with nobody reading
        writer.write(b"%d\n" % number)
    assert 99 <= writer.dropped <= 100
    assert not writer.flush(0.01)
    dropped = writer.dropped
    reads.set()
    assert writer.flush(10)
    writer.write(b"after\n")
    assert writer.flush(10)
    assert sum(line.startswith(b"dropped %d\n" % dropped) for line in lines) == 1
    assert lines[-1].endswith(b"after\n")


def test_bytes_that_wait_have_a_bound_too() -> None:
    never = threading.Event()
    writer = LogWriter(lambda line: never.wait(), said)
    for _ in range(20):
        writer.write(b"x" * (1 << 20))
    assert writer.dropped >= 11
    never.set()


def test_a_pipe_whose_reader_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(lambda line: os.write(writing, line), said)
    writer.write(b"one\n")
    writer.write(b"two\n")
    assert writer.flush(10)
    assert writer.dropped == 2
    os.close(writing)


def test_text_is_handed_on_by_the_line() -> None:
    lines: list[bytes] = []
    writer = LogWriter(lines.append, said)
    face = TextFace(writer)
    for piece in ("a", "b\nc", "\n\udcff\n"):
        face.write(piece)
    assert writer.flush(10)
    assert lines == [b"ab\n", b"c\n", b"\\udcff\n"]
