"""Progress is for people: a terminal sees it, a pipe does not."""

import io

from daemon.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_how_far_it_is_and_is_left_clean() -> None:
    stream = Terminal()
    with Progress(stream) as progress:
        progress.begin("big.json", 10_000)
        progress.advance(2_500)
    assert "2,500 of 10,000 findings of big.json" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_pipe_and_a_short_piece_of_work_see_nothing() -> None:
    pipe, stream = io.StringIO(), Terminal()
    for target, total in ((pipe, 10_000), (stream, 100)):
        with Progress(target) as progress:
            progress.begin("report.json", total)
            progress.advance(50)
    assert (pipe.getvalue(), stream.getvalue()) == ("", "")


def test_a_hostile_name_cannot_act_on_the_terminal() -> None:
    stream = Terminal()
    with Progress(stream) as progress:
        progress.begin("\x1b]0;owned\x07.json", 10_000)
        progress.advance(1)
    assert "\x1b]" not in stream.getvalue() and "\x07" not in stream.getvalue()
