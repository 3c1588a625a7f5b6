"""Imports LangGraph without the packages that it could send with, or with them where the stand-ins do not fit.

Only a program that has its process for itself allows the stand-ins: whoever imports the pipeline as a library may want
the real packages.
"""

import importlib
import sys
from collections.abc import Iterable, Set
from importlib.machinery import PathFinder
from pathlib import Path

from pipeline.airgap import stand_ins

_OWN_ROOTS = frozenset({"langchain_core", "langgraph"})

_allowed = False
_real_because: str | None = "nobody allowed the stand-ins"


def allow_stand_ins() -> None:
    """Let `import_langgraph` keep langsmith and its like out of this process."""
    global _allowed
    _allowed = True


def real_because() -> str | None:
    """Say why the real packages are in use; `None` where the stand-ins are."""
    return _real_because


def import_langgraph() -> None:
    """Import LangGraph, once; what cannot be imported with the stand-ins is imported with the real packages."""
    global _real_because
    if not _allowed or _real_because is None:
        return
    _real_because = _misfit()
    if _real_because is not None:
        return
    before = frozenset(sys.modules)
    lasting = stand_ins.build(stand_ins.LANGSMITH)
    passing = stand_ins.build(stand_ins.FOR_THE_IMPORT)
    for name, module in (lasting | passing).items():
        if _root(name) not in before:
            sys.modules[name] = module
    try:
        _try_out()
    except Exception as error:  # whatever is wrong: the real packages are there, and tracing is switched off
        _real_because = f"the stand-ins fail: {type(error).__name__}: {error}"
        _forget(before, _OWN_ROOTS | _roots(lasting))
    finally:
        _forget(before, _roots(passing))


def _try_out() -> None:
    """Run a graph of one node, since LangGraph takes some names only then; that takes 2 ms."""
    importlib.import_module("langgraph.checkpoint.sqlite")
    library = importlib.import_module("langgraph.graph")
    graph = library.StateGraph(dict)
    graph.add_node("node", lambda state: {})
    graph.add_edge(library.START, "node")
    graph.compile().invoke({"number": 1})


def _misfit() -> str | None:
    """Say why the stand-ins cannot be used here."""
    loaded = sorted(_OWN_ROOTS.union(_roots(stand_ins.LANGSMITH)).intersection(sys.modules))
    if loaded:
        return f"{loaded[0]} was imported before"
    spec = PathFinder.find_spec("langchain_core")
    if spec is None or spec.origin is None:
        return "langchain-core is not installed as files"
    # The directories that pip keeps are names to compare; reading the metadata itself takes 10 ms.
    site = Path(spec.origin).parents[1]
    for package, version in stand_ins.MADE_FOR.items():
        if not (site / f"{package.replace('-', '_')}-{version}.dist-info").is_dir():
            return f"{package} is not {version}, which the stand-ins were made for"
    return None


def _forget(before: Set[str], roots: Set[str]) -> None:
    for name in sys.modules.keys() - before:
        if _root(name) in roots:
            del sys.modules[name]


def _roots(names: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_root, names))


def _root(name: str) -> str:
    return name.partition(".")[0]
