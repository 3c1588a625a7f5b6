"""`sysscan-agent publish`."""

import asyncio
import contextlib
import errno
import os
import stat
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson

from daemon.cli import startup
from daemon.cli.exits import Exit, say
from daemon.cli.exporting.refusals import advice
from daemon.cli.terminal import wants_json
from daemon.cli.unheeded import unheeded_host
from daemon.compose import kafka_part
from daemon.settings import Settings, load_settings
from daemon.sources.directory.names import NameRules, hidden
from daemon.sources.kafka.messages import Refused
from daemon.sources.kafka.parcels import MAX_VALUE_BYTES, Packer, Parcel
from pipeline.bars import Advance, bars
from pipeline.display import printable
from pipeline.errors import ConfigError, SinkError
from pipeline.harmless import harmless
from pipeline.unreadable import why_unreadable

_IN_FLIGHT_BYTES = 8 << 20  # handed over and not confirmed
_IN_FLIGHT = 256
_ROOM_BYTES = 4096  # of a record beside its value
STANDARD_INPUT = "-"


class _Sends(Protocol):
    """What is used of `daemon.sinks.kafka.publisher.Publisher`."""

    async def send(self, host: str, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> Awaitable[Any]: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class _Sent:
    """A parcel that was handed over."""

    name: str
    parcel: Parcel
    size: int
    places: "list[asyncio.Future[Any]]" = field(default_factory=list)


def publish_reports(names: Sequence[str], given: Mapping[str, Any], config: Path | None, *, as_json: bool) -> Exit:
    """Send reports to the input topic, and say of each where it is."""
    settings = load_settings(os.environ, given, config)
    if not settings.kafka.brokers:
        raise ConfigError("publish needs brokers; give --brokers HOST:PORT or set kafka.brokers")
    publisher = kafka_part("publisher")
    startup.loaded()
    with bars() as advance:
        run = _Run(settings, wants_json(as_json), advance, given.get("host"))
        asyncio.run(run.publish(names, lambda: publisher.Publisher.open(settings.kafka, settings.kafka.input_topic)))
    return Exit.REJECTED if run.failed else Exit.DONE


class _Run:
    """One call of the command.

    Attributes:
        failed: something could not be used, or is not known to be there.
    """

    def __init__(self, settings: Settings, as_json: bool, advance: Advance, host: str | None) -> None:
        """Args: `host`: as `--host` has it, or None."""
        most = min(MAX_VALUE_BYTES, settings.kafka.max_record_bytes - _ROOM_BYTES)
        self._packer = Packer(settings.limits, settings.host, max(1, most))
        self._topic = settings.kafka.input_topic
        self._wanted = NameRules(settings.watch.names).wanted
        self._as_json = as_json
        self._advance = advance
        self._host = host
        self._unheeded: set[str] = set()  # what was said of `--host`
        self._flying: deque[_Sent] = deque()
        self._bytes = 0
        self.failed = False

    async def publish(self, names: Sequence[str], connect: Callable[[], Awaitable[_Sends]]) -> None:
        """Send everything; the brokers are connected to first, so that what is wrong there is said at once.

        Raises:
            SinkError: when the brokers do not take it; what was not confirmed is named before.
        """
        files = [file for name in names for file in self._files(name)]
        publisher = await connect()
        at = 0
        try:
            for at, name in enumerate(files):
                self._advance("files", at, len(files))
                for parcel in self._read(name):
                    if isinstance(parcel, Refused):
                        self._refuse(name, parcel)
                    else:
                        await self._send(publisher, name, parcel)
            while self._flying:
                await self._confirm()
        except SinkError:
            waiting = dict.fromkeys([one.name for one in self._flying])
            for name in (*waiting, *(one for one in files[at:] if one not in waiting)):
                self._say(name, "not_sent", detail="not known to be there" if name in waiting else "")
            raise
        finally:
            self._advance("files", 1, 1)
            left = [place for one in self._flying for place in one.places]
            for place in left:
                place.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await publisher.close()

    async def _send(self, publisher: _Sends, name: str, parcel: Parcel) -> None:
        self._say_unheeded(name, parcel.host)
        sent = _Sent(name, parcel, sum(len(value) for value, _ in parcel.messages))
        while self._flying and (self._bytes + sent.size > _IN_FLIGHT_BYTES or len(self._flying) >= _IN_FLIGHT):
            await self._confirm()
        self._flying.append(sent)
        self._bytes += sent.size
        for value, headers in parcel.messages:
            sent.places.append(asyncio.ensure_future(await publisher.send(parcel.host, value, headers)))

    def _say_unheeded(self, name: str, host: str) -> None:
        for line in unheeded_host(name, host, self._host or host):
            if line not in self._unheeded:
                self._unheeded.add(line)
                say(f"sysscan-agent: {line}")

    async def _confirm(self) -> None:
        """Wait for the oldest parcel, and say where it is."""
        sent = self._flying[0]
        places = await asyncio.gather(*sent.places)
        self._flying.popleft()
        self._bytes -= sent.size
        last = places[-1]
        self._say(
            sent.name, "sent", host=sent.parcel.host, topic=self._topic, partition=last.partition, offset=last.offset,
            messages=len(places), bytes=sent.size,
        )  # fmt: skip

    def _read(self, name: str) -> Iterator[Parcel | Refused]:
        try:
            with _opened(name) as file:
                yield from self._packer.pack(file)
        except OSError as error:
            yield Refused("unreadable", f"cannot be read: {why_unreadable(error)}")

    def _files(self, name: str) -> Iterator[str]:
        """Give the files that a name stands for: those of a directory in the order in which they were written.

        Only in this order do the scans of a host tell what has changed.
        """
        if name == STANDARD_INPUT or not Path(name).is_dir():
            yield name
            return
        found: list[tuple[int, str]] = []
        for where, below, names in os.walk(name):
            below[:] = [one for one in below if not hidden(one)]
            for one in names:
                path = Path(where, one)
                with contextlib.suppress(FileNotFoundError):
                    if self._wanted(one) and path.is_file():
                        found.append((path.stat().st_mtime_ns, str(path)))
        if not found:
            self._refuse(name, Refused("empty", "holds no file with a name that watch.names wants"))
        yield from (path for _, path in sorted(found))

    def _refuse(self, name: str, refused: Refused) -> None:
        self._say(name, "refused", reason=refused.reason, detail=refused.detail)
        say(f"sysscan-agent: {printable(name)}: {refused.reason}: {printable(refused.detail)}{advice(refused.reason)}")

    def _say(self, name: str, status: str, **more: Any) -> None:
        self.failed = self.failed or status != "sent"
        if self._as_json:
            line = {"file": os.fsencode(name).decode("utf-8", "backslashreplace"), "status": status, **more}
            sys.stdout.buffer.write(harmless(orjson.dumps(line)) + b"\n")
            sys.stdout.buffer.flush()
        elif status == "sent":
            parts = f" in {more['messages']} messages" if more["messages"] > 1 else ""
            sys.stdout.write(
                f"{printable(name)}: {printable(more['host'])}, {more['bytes']:,} bytes{parts}, at"
                f" {more['topic']}/{more['partition']}@{more['offset']}\n"
            )
        elif status == "not_sent":
            sys.stdout.write(f"{printable(name)}: {more['detail'] or 'not sent'}\n")


def _opened(name: str) -> BinaryIO:
    """Raises: OSError: for what is neither a file nor a pipe, too."""
    if name == STANDARD_INPUT:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    kind = Path(name).stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISFIFO(kind):
        raise OSError(errno.EINVAL, "neither a file nor a pipe")
    return Path(name).open("rb")
