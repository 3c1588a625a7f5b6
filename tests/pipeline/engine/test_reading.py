"""Files that somebody named are read whatever they are: never waited for, never without a bound."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engine.reading import NotRegular, parse_json, read_json, read_regular


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, _socket, _device])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(NotRegular, match="put a regular file in its place"):
        read_regular(tmp_path / "file")


def test_a_link_to_a_file_is_one_and_what_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "file", 4)


def test_json_that_is_nested_too_deeply_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "file")
    assert parse_json("[[1]]") == [[1]]
