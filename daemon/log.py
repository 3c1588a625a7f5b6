"""Structured logs: one rich line for each unit of work; JSON under systemd, colours on a terminal."""

import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Literal, cast

import orjson

from daemon.log_writer import LogWriter, TextFace, owner_of_standard_error
from pipeline.display import printable

# structlog imports rich where it finds it, for tracebacks with the values of all variables: 50 ms of each start, for
# what does not belong in a log. An entry of None makes the import fail; a rich that was imported before stays.
sys.modules.setdefault("rich", cast(ModuleType, None))
import structlog  # noqa: E402

if sys.modules["rich"] is None:
    del sys.modules["rich"]


_STANDARD_ERROR = 2
_MAX_VALUE = 4000  # characters of one value that people see


def get_logger(name: str) -> Any:
    """Give the logger of a module; all of ours take it from here, so that rich stays out."""
    return structlog.get_logger(name)


def configure(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Set structlog up for the process; logs go to standard error, which journald keeps.

    Nothing waits for whoever reads them; see `LogWriter`.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; what is below it is not written.
        form: ``auto`` is text on a terminal and JSON otherwise.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    as_text = form == "text" or (form == "auto" and on_terminal)
    say_dropped = _dropped_as_text if as_text else _dropped_as_json
    writer = owner_of_standard_error(lambda: LogWriter(_write, say_dropped))
    lowest = getattr(logging, level.upper())
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    face = TextFace(writer)
    if as_text:
        structlog.configure(
            processors=[
                *processors,
                _harmless,
                structlog.dev.ConsoleRenderer(colors=on_terminal, exception_formatter=structlog.dev.plain_traceback),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(lowest),
            logger_factory=structlog.WriteLoggerFactory(cast(Any, face)),
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
            logger_factory=structlog.BytesLoggerFactory(cast(Any, _Lines(writer))),
            cache_logger_on_first_use=True,
        )
    # Libraries log through the standard library; warnings of theirs belong in the same place.
    logging.basicConfig(level=logging.WARNING, stream=cast(Any, face), format="%(levelname)s %(name)s: %(message)s")
    logging.raiseExceptions = False  # they would be written past the writer


class _Lines:
    """The writer as a file for structlog, which writes a line and flushes."""

    def __init__(self, writer: LogWriter) -> None:
        self.write = writer.write

    def flush(self) -> None:
        """Do nothing: the line is on its way."""


def _write(line: bytes) -> None:
    while line:
        line = line[os.write(_STANDARD_ERROR, line) :]


def _dropped_as_text(count: int) -> bytes:
    return f"{_now()} [warning  ] log.dropped                    lines={count}\n".encode()


def _dropped_as_json(count: int) -> bytes:
    line = {"lines": count, "event": "log.dropped", "level": "warning", "timestamp": _now()}
    return orjson.dumps(line) + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make values safe to show: hosts and files are named by others."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable(value, _MAX_VALUE)
    return event


def _serialise(value: Any, **_: Any) -> bytes:
    try:
        return orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a path that is not UTF-8, say; nothing that is logged may fail, and end what it tells of
        return orjson.dumps({printable(str(name)): _plain(one) for name, one in value.items()})


def _plain(value: Any) -> str:
    return printable(value if isinstance(value, str) else repr(value), _MAX_VALUE)
