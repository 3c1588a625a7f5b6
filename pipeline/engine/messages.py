"""What the process of a model and its parent say to each other: four bytes of length, then JSON."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, fields

MAX_BYTES = 4 << 20  # of a message; a prompt that fills a context of a million tokens
_LENGTH_BYTES = 4
_READ_BYTES = 1 << 16


class BadMessage(ValueError):
    """Raised for what is no message of this protocol."""


@dataclass(frozen=True, slots=True)
class Start:
    """Load a model; the first message.

    Attributes:
        directory: where it lies; the address, where another program runs it.
        checkpoint: there is no manifest.
        digest: of the generator; what lies in the directory must still have it.
        model, timeout_s: its name at that address, and how long an answer may take.
    """

    directory: str
    checkpoint: bool
    runtime: str
    threads: int
    device: str
    digest: str
    model: str = ""
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer a prompt; `id` counts from 1, and answers come in the order of the questions."""

    id: int
    prompt: str
    schema: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure how fast the model is, in so many rounds; 0 only loads it."""

    id: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded, which took so many seconds, and writes about as many tokens a second.

    Attributes:
        at_once: how many questions it answers at a time.
    """

    seconds: float
    tokens_per_s: float
    at_once: int


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, how many tokens were computed for it, and how long that took."""

    id: int
    text: str
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens a second, of a prompt and of an answer."""

    id: int
    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer; `kind` is the name of an `EngineError`. With `id` 0 the model was not loaded."""

    id: int
    kind: str
    message: str


Request = Start | Ask | Measure
Reply = Ready | Answered | Measured | Failed
Message = Request | Reply
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Start, Ask, Measure, Ready, Answered, Measured, Failed)
}


def pack(message: Message) -> bytes:
    """Write a message.

    Raises:
        BadMessage: if it is too long.
    """
    values = [getattr(message, field.name) for field in fields(message)]
    body = json.dumps([type(message).__name__, *values], separators=(",", ":")).encode()
    if len(body) > MAX_BYTES:
        raise BadMessage(f"a message of {len(body)} bytes, more than {MAX_BYTES}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def one_line(error: BaseException) -> str:
    """Write what was raised as one line for a message."""
    return " ".join(str(error).split())[:1000] or type(error).__name__


class Unpacker:
    """Puts messages together from the pieces that a socket gives."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Take a piece, and return the messages that are whole now.

        Raises:
            BadMessage: if one is none.
        """
        self._kept += piece
        while len(self._kept) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._kept[:_LENGTH_BYTES], "big")
            if end > _LENGTH_BYTES + MAX_BYTES:
                raise BadMessage(f"a message of {end - _LENGTH_BYTES} bytes, more than {MAX_BYTES}")
            if len(self._kept) < end:
                return
            body = bytes(self._kept[_LENGTH_BYTES:end])
            del self._kept[:end]
            yield _unpack(body)


def receive(channel: socket.socket) -> Iterator[Message]:
    """Return what a blocking socket brings, until its other end is closed.

    Raises:
        BadMessage: if something is no message.
        OSError: of the socket.
    """
    unpacker = Unpacker()
    while piece := channel.recv(_READ_BYTES):
        yield from unpacker.feed(piece)


def _unpack(body: bytes) -> Message:
    try:
        name, *values = json.loads(body)
        kind = _KINDS[name]
        for field, value in zip(fields(kind), values, strict=True):
            if type(value) is not field.type:
                raise TypeError(field.name)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadMessage(f"no message: {body[:80]!r}") from error
    return kind(*values)
