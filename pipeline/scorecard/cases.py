"""Cases with their right answers, as JSON lines: read, held to the grammar, and written."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from pipeline.analysis.prompt import Case, parse_response, render_response
from pipeline.analysis.question import Answer
from pipeline.errors import ConfigError

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class GoldCase:
    """What is asked, and what a right answer is.

    Attributes:
        answer: the teacher's; texts are one wording of many, all else is right or wrong.
        severity: what the report or the class says, before anything is weighed.
        situation: what may stand in one split only.
    """

    case: Case
    answer: Answer
    severity: str
    situation: str

    @property
    def class_id(self) -> str:
        """Give the class of the case."""
        return self.case.class_id

    def as_json(self) -> bytes:
        """Write a line; its keys are some of those of a data set."""
        return orjson.dumps(
            {
                "class": self.class_id, "severity": self.severity, "situation": self.situation,
                "case": plain_case(self.case), "response": render_response(self.answer),
            }
        )  # fmt: skip


def gold(entry: dict[str, Any]) -> GoldCase:
    """Make a case of a line of a holdout or of a data set.

    Raises:
        ValueError, KeyError, TypeError: if the line is none, or its response does not answer its case.
    """
    case = case_of(entry["case"])
    return GoldCase(
        case=case,
        answer=parse_response(entry["response"], case),
        severity=entry["severity"],
        situation=entry["situation"],
    )


def plain_case(case: Case) -> dict[str, Any]:
    """Give the JSON form of a case; what only a second question has is left out of the others."""
    return {name: value for name, value in asdict(case).items() if name != "refused" or value is not None}


def case_of(entry: dict[str, Any]) -> Case:
    """Make a case of its JSON form."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    return Case(**values)


def read_gold(path: Path, advice: str) -> tuple[GoldCase, ...]:
    """Read cases with their right answers, in the order of the file.

    Raises:
        ConfigError: as `read_lines`.
    """
    return tuple(read_lines(path, gold, advice))


def read_lines(path: Path, parse: Callable[[dict[str, Any]], T], advice: str) -> Iterator[T]:
    """Read a file of JSON lines, gzip or plain by its name.

    Args:
        parse: raises ValueError, KeyError or TypeError for what is no case.
        advice: what to do where the file cannot be used.

    Raises:
        ConfigError: if the file cannot be read, or a line is not a case.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    parsed = parse(orjson.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    reason = f"no {error}" if isinstance(error, KeyError) else error
                    raise ConfigError(f"{path}:{number}: not a case: {reason}; {advice}") from error
                yield parsed
    except (EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: damaged after line {number}: {error}; {advice}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; {advice}") from error


def write_gold(path: Path, cases: Iterable[GoldCase]) -> None:
    """Write cases as compressed lines; same cases, same bytes."""
    path.write_bytes(compressed(b"".join(case.as_json() + b"\n" for case in cases)))


def compressed(data: bytes) -> bytes:
    """Compress without name and time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()
