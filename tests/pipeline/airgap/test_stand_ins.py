"""What stands in for langsmith and its like holds all that LangGraph takes from them."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from langchain_core.tracers.langchain import LangChainTracer

from pipeline.airgap import stand_ins
from pipeline.airgap.importing import real_because

ROOT = Path(__file__).parents[3]
_LANGGRAPH = ("langgraph", "langchain_core")
_REPLACED = {name.partition(".")[0] for name in (*stand_ins.LANGSMITH, *stand_ins.FOR_THE_IMPORT)}


def test_these_tests_run_with_the_stand_ins() -> None:
    assert real_because() is None
    assert vars(sys.modules["langsmith"])["Client"] is stand_ins.Client


def test_the_stand_ins_are_made_for_the_versions_that_are_pinned() -> None:
    pins = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    assert {name: pins[name] for name in stand_ins.MADE_FOR} == stand_ins.MADE_FOR, "see decision 0015"


class Taken(ast.NodeVisitor):
    """What a source takes from the packages that are replaced: pairs of a module and a name in it."""

    def __init__(self) -> None:
        self._depth = 0
        self._aliases: dict[str, str] = {}
        self.at_import: set[tuple[str, str]] = set()
        self.in_functions: set[tuple[str, str]] = set()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):  # never run
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            if name.name.partition(".")[0] in _REPLACED:
                self._take(name.name, "")
                self._aliases[name.asname or name.name.partition(".")[0]] = name.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level == 0 and module.partition(".")[0] in _REPLACED:
            for name in node.names:
                self._take(module, name.name)
                self._aliases[name.asname or name.name] = f"{module}.{name.name}"

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in self._aliases:
            self._take(self._aliases[node.value.id], node.attr)
        self.generic_visit(node)

    def _take(self, module: str, name: str) -> None:
        (self.in_functions if self._depth else self.at_import).add((module, name))


def taken() -> Iterator[tuple[str, Taken]]:
    """Read the source of each module of LangGraph that the daemon has loaded."""
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in _LANGGRAPH and getattr(module, "__file__", None) is not None:
            found = Taken()
            found.visit(ast.parse(Path(str(module.__file__)).read_bytes()))
            yield name, found


def is_there(table: Mapping[str, Mapping[str, object]], module: str, name: str) -> bool:
    if module in table:
        return name == "" or name in table[module] or f"{module}.{name}" in table
    owner, _, member = module.rpartition(".")  # a name of a name: of a class, which stands for itself
    return owner in table and isinstance(table[owner].get(member), type)


def test_every_name_that_langgraph_takes_is_there() -> None:
    at_import = {**stand_ins.LANGSMITH, **stand_ins.FOR_THE_IMPORT}
    modules, names, missing = 0, set(), []
    for source, found in taken():
        modules += 1
        for module, name in sorted(found.at_import | found.in_functions):
            # What a function imports later comes from the real package, except for langsmith.
            if (module, name) in found.in_functions and module.partition(".")[0] != "langsmith":
                continue
            names.add((module, name))
            if not is_there(at_import, module, name):
                missing.append(f"{source}: {module}: {name}")
    assert missing == []
    assert modules > 100 and {("requests", "Response"), ("langsmith", "RunTree")} <= names


def test_nothing_is_there_that_langgraph_does_not_take() -> None:
    names = {one for _, found in taken() for one in found.at_import | found.in_functions}
    for table in (stand_ins.LANGSMITH, stand_ins.FOR_THE_IMPORT):
        for module, contents in table.items():
            for name in contents:
                assert (module, name) in names, f"{module}.{name}: nothing asks for it"


def test_a_name_that_is_not_there_fails_where_it_is_asked_for() -> None:
    langsmith = importlib.import_module("langsmith")
    with pytest.raises(AttributeError, match="traceable"):
        _ = langsmith.traceable
    with pytest.raises(ImportError, match="stand_ins"):
        exec("from langsmith import traceable", {})
    with pytest.raises(ModuleNotFoundError, match=r"langsmith\.client"):
        importlib.import_module("langsmith.client")


def test_a_tracer_cannot_be_made() -> None:
    with pytest.raises(RuntimeError, match="no tracing"):
        LangChainTracer()


def test_whoever_needs_one_of_the_others_gets_the_real_one() -> None:
    script = (
        "import daemon, pipeline.graph.library\n"
        "import requests, httpx, langgraph_sdk\n"
        "print(requests.get.__module__, httpx.get.__module__, langgraph_sdk.get_client.__module__)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["requests.api", "httpx", "langgraph_sdk._async.client"]


@pytest.mark.parametrize(
    ("first", "because"),
    [
        ("import langsmith", "langsmith was imported before"),
        ("import langgraph.graph", "langchain_core was imported before"),
        ("import pipeline.graph.library", "nobody allowed the stand-ins"),
    ],
    ids=["langsmith first", "langgraph first", "as a library"],
)
def test_a_program_that_uses_the_real_one_keeps_it(first: str, because: str) -> None:
    script = (
        f"{first}\n"
        "import daemon, pipeline.graph.library\n"
        "from pipeline.airgap.importing import real_because\n"
        "import langsmith\n"
        "print(langsmith.Client.__module__, real_because(), sep='\\n')"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["langsmith.client", because]
