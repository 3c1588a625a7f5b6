"""What stands in for the packages that LangGraph imports to send things with.

LangGraph and langchain-core import `langsmith`, `requests` and `langgraph_sdk` (with httpx and websockets) whether they
trace or not. These modules hold the names that they take from there on our way, and no more: a name that is missing
fails where it is asked for. Nothing here can send, and what would trace refuses to be made.
"""

from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn, Protocol

# What these were made for. Look at the sources again when a pin changes (docs/decisions/0015-no-langsmith.md).
MADE_FOR: Mapping[str, str] = {
    "langchain-core": "1.8.3",
    "langgraph": "1.2.24",
    "langgraph-checkpoint": "4.3.2",
    "langgraph-checkpoint-sqlite": "3.1.2",
}


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("there is no tracing in this process: langsmith is replaced by a stand-in of sysscan-agent")


class RunTree:
    """One traced run; LangGraph names the class in annotations, and makes one when it traces."""

    __init__ = _refuse


class Client:
    """The sender of traces."""

    __init__ = _refuse


class LangSmithError(Exception):
    """What a client would raise."""


class HTTPError(OSError):
    """What `requests` would raise."""


class Response:
    """What `requests` would return; named in an annotation."""

    __init__ = _refuse


class BaseUser(Protocol):
    """The user of a LangGraph server; named in an annotation."""


def tracing_is_enabled(*_: object) -> bool:
    """Say no."""
    return False


def get_tracing_context() -> dict[str, Any]:
    """Return the context of a process that traces nothing."""
    return {"parent": None, "project_name": None, "tags": None, "metadata": None, "enabled": None, "client": None}


def set_tracing_context(_: Mapping[str, Any]) -> None:
    """Do nothing: LangGraph resets the context after each run, and a run to set it to cannot be made."""


# Also imported by functions while a graph runs, so these stay.
LANGSMITH: Mapping[str, Mapping[str, object]] = {
    "langsmith": {"Client": Client, "RunTree": RunTree, "get_tracing_context": get_tracing_context},
    "langsmith.address": {"ensure_agent": _refuse},
    "langsmith.run_helpers": {"_set_tracing_context": set_tracing_context, "get_tracing_context": get_tracing_context},
    "langsmith.run_trees": {"_CLIENT": None, "get_cached_client": _refuse},
    "langsmith.utils": {"LangSmithError": LangSmithError, "tracing_is_enabled": tracing_is_enabled},
}
# Taken while LangGraph is imported and never again, so whoever imports these later gets the real ones.
FOR_THE_IMPORT: Mapping[str, Mapping[str, object]] = {
    "langgraph_sdk": {},
    "langgraph_sdk.auth": {},
    "langgraph_sdk.auth.types": {"BaseUser": BaseUser},
    "requests": {"HTTPError": HTTPError, "Response": Response},
}


def build(names: Mapping[str, Mapping[str, object]]) -> dict[str, ModuleType]:
    """Make the modules of one of the tables, parents first."""
    modules: dict[str, ModuleType] = {}
    for name, contents in names.items():
        module = ModuleType(name, "A stand-in of sysscan-agent.")
        module.__spec__ = ModuleSpec(name, None, origin=__file__, is_package=True)
        module.__file__ = __file__  # named by the error where a name is missing
        module.__path__ = []  # so submodules are looked for nowhere
        vars(module).update(contents)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(modules[parent], last, module)
        modules[name] = module
    return modules
