"""A table of a bounded size."""

from pipeline.remembered import Remembered


def test_it_is_begun_anew_when_it_is_full() -> None:
    table: Remembered[str, int] = Remembered(2)
    table["a"], table["b"] = 1, 2
    assert table == {"a": 1, "b": 2}
    table["c"] = 3
    assert table == {"c": 3}


def test_a_key_that_is_there_takes_no_room() -> None:
    table: Remembered[str, int] = Remembered(2)
    table["a"], table["b"] = 1, 2
    table["b"] = 3
    assert table == {"a": 1, "b": 3}
