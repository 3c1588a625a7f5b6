"""Progress is for people: a terminal sees it, a pipe does not."""

import io
from collections.abc import Callable

from pipeline.bars import bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticking(seconds: float = 1.0) -> Callable[[], float]:
    """Make a clock that moves on by this much whenever somebody looks."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += seconds
        return now

    return clock


def test_a_terminal_sees_how_far_it_is_and_is_left_clean() -> None:
    stream = Terminal()
    with bars(stream, ticking()) as advance:
        for done in (0, 2_500, 5_000):
            advance("findings of big.json", done, 10_000)
    assert f"{'#' * 15}{'.' * 15} 5,000 of" in stream.getvalue()
    assert "5,000 of 10,000 findings of big.json, 0:02 left" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_step_that_is_done_leaves_a_clean_line_for_what_is_printed_next() -> None:
    stream = Terminal()
    with bars(stream, ticking()) as advance:
        advance("one", 1, 3)
        advance("one", 2, 3)
        advance("one", 3, 3)
        assert stream.getvalue().endswith("\r\x1b[K")
        before = len(stream.getvalue())
        advance("two", 1, 3)
        advance("two", 2, 3)
        assert "2 of 3 two" in stream.getvalue()[before:]


def test_a_pipe_and_a_short_piece_of_work_see_nothing() -> None:
    pipe, stream = io.StringIO(), Terminal()
    for target, seconds in ((pipe, 1.0), (stream, 0.001)):
        with bars(target, ticking(seconds)) as advance:
            for done in range(10):
                advance("work", done, 10)
    assert (pipe.getvalue(), stream.getvalue()) == ("", "")


def test_it_is_not_drawn_more_often_than_anybody_can_see() -> None:
    calls = 1000
    stream = Terminal()
    with bars(stream, ticking(0.01)) as advance:
        for done in range(calls):
            advance("work", done, calls)
    assert stream.getvalue().count(" of ") <= calls * 0.01 / 0.1


def test_a_hostile_name_cannot_act_on_the_terminal() -> None:
    stream = Terminal()
    with bars(stream, ticking()) as advance:
        advance("\x1b]0;owned\x07.json", 0, 10)
        advance("\x1b]0;owned\x07.json", 1, 10)
    assert "owned" in stream.getvalue()
    assert "\x1b]" not in stream.getvalue() and "\x07" not in stream.getvalue()
