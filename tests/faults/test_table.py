"""docs/reliability.md: every fault is there, and every test that it names exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (F[0-9]+|-) \|.*$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
FAULTS = [f"F{number}" for number in (*range(1, 34), 35, 36, 37, 39, 40, 41, 42)]


def names_in(path: Path) -> set[str]:
    """Functions, and names that a state machine's test case is bound to."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_every_fault_has_its_row() -> None:
    assert [row[1] for row in ROW.finditer(PAGE) if row[1] != "-"] == FAULTS


def test_every_row_names_a_test() -> None:
    for row in ROW.finditer(PAGE):
        assert TEST.search(row[0]), row[0]


def test_every_test_that_is_named_exists() -> None:
    named = TEST.findall(PAGE)
    assert len(named) > 60
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or (name and name not in names_in(ROOT / file))
    ]
    assert missing == []
