"""The messages between a model's process and its parent: what is written is read, and nothing else is."""

import socket
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine.messages import (
    MAX_BYTES,
    Answered,
    Ask,
    BadMessage,
    Failed,
    Measure,
    Measured,
    Message,
    Ready,
    Start,
    Unpacker,
    pack,
    receive,
)

KINDS = (Start, Ask, Measure, Ready, Answered, Measured, Failed)
VALUES = {
    str: st.text(st.characters()),  # lone surrogates, too
    int: st.integers(),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
}
MESSAGES = st.one_of(*[st.builds(kind, **{field.name: VALUES[field.type] for field in fields(kind)}) for kind in KINDS])  # type: ignore[index]


def unpack(data: bytes) -> list[Message]:
    return list(Unpacker().feed(data))


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 60), max_size=20))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(map(pack, messages))
    unpacker = Unpacker()
    read: list[Message] = []
    for cut in cuts:
        read += unpacker.feed(data[:cut])
        data = data[cut:]
    read += unpacker.feed(data)
    assert read == messages


@given(st.binary(max_size=200))
def test_rubbish_is_refused_or_waited_for_and_nothing_else(data: bytes) -> None:
    try:
        unpack(data)
    except BadMessage:
        return
    assert len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big")


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'["Nobody",1]',
        b'["Measure",1]',
        b'["Measure",1,0,2]',
        b'["Measure",true,0]',
        b'["Measure","1",0]',
        b'["Measured",1,2,3]',
        b'["Failed",1,"Unsupported",null]',
        b'[["Ask"],1,"","",1]',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        unpack(framed(body))


def test_a_message_that_is_too_long_is_neither_written_nor_waited_for() -> None:
    with pytest.raises(BadMessage, match="more than"):
        pack(Ask(1, "x" * MAX_BYTES, "{}", 1))
    with pytest.raises(BadMessage, match="more than"):
        unpack((MAX_BYTES + 1).to_bytes(4, "big"))
    assert unpack(MAX_BYTES.to_bytes(4, "big")) == []


def test_a_socket_is_read_until_its_other_end_is_closed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(Measure(1, 0)) + pack(Ready(0.5, 2.0, 8)) + pack(Measure(2, 0))[:5])
        ours.close()
        assert list(receive(theirs)) == [Measure(1, 0), Ready(0.5, 2.0, 8)]
