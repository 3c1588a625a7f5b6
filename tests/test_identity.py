"""Nothing is known by where it lies in memory: an address is used again, and says nothing of what is there."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("pipeline", "daemon")


def calls_of_id(source: str) -> Iterator[int]:
    """Give the lines that call the builtin `id`, or hand it on to be called."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id == "id" and isinstance(node.ctx, ast.Load):
            yield node.lineno


def test_no_code_goes_by_the_identity_of_objects() -> None:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > 100
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in calls_of_id(path.read_text())]
    assert found == []


def test_calls_of_id_would_be_found() -> None:
    assert list(calls_of_id("a = {}\na[id(a)] = map(id, a)\nb.id(id=3)")) == [2, 2]
