"""Structured logs: one rich line for each unit of work; JSON under systemd, colours on a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from types import ModuleType
from typing import Any, Literal, cast

import orjson

from pipeline.display import printable

# structlog imports rich where it finds it, for tracebacks with the values of all variables: 50 ms of each start, for
# what does not belong in a log. An entry of None makes the import fail; a rich that was imported before stays.
sys.modules.setdefault("rich", cast(ModuleType, None))
import structlog  # noqa: E402

if sys.modules["rich"] is None:
    del sys.modules["rich"]


def get_logger(name: str) -> Any:
    """Give the logger of a module; all of ours take it from here, so that rich stays out."""
    return structlog.get_logger(name)


def configure(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Set structlog up for the process; logs go to standard error, which journald keeps.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; what is below it is not written.
        form: ``auto`` is text on a terminal and JSON otherwise.
    """
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    lowest = getattr(logging, level.upper())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_text:
        structlog.configure(
            processors=[
                *processors,
                _harmless,
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(lowest),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                *processors,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=_serialise),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(lowest),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
    # Libraries log through the standard library; warnings of theirs belong in the same place.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make values safe to show: hosts and files are named by others."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable(value, 4000)
    return event


def _serialise(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS)
